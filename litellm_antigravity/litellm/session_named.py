"""The session that a request names, for now by LiteLLM's own field alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from litellm_antigravity.models import family_of


def conversation_key(call: Mapping[str, Any], model: str) -> str | None:
    """Return the key of the conversation that a call of LiteLLM's names; ``None`` when it names none."""
    params = call.get("litellm_params") or {}
    session = params.get("litellm_session_id") or call.get("litellm_session_id")
    if not isinstance(session, str) or not session:
        return None
    return hashlib.blake2b(f"{family_of(model)}\0{session}".encode("utf-8", "replace"), digest_size=14).hexdigest()


__all__ = ["conversation_key"]
