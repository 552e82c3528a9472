"""Thought signatures: each belongs to a family of models, and whoever changes one breaks it.

Upstream's are encrypted, and only their maker can read them. Ours are base64 of a header with the family, a digest of
the signed text, filler to a realistic length and a checksum. So any simulator knows its own and others' signatures
again, whole or broken, without having to remember them. What a test made its model sign with is remembered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.models import ModelFamily, canonical_model, family_of

DUMMIES: Final = frozenset(
    spelled
    for word in ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
    for spelled in (word, base64.b64encode(word.encode()).decode())
)
"""What Google's documentation of thought signatures offers for calls that no Gemini 3 model has made.

As the bare word (in the document, and from other gateways) and in base64 (from LiteLLM); it is not known that upstream
takes both.
"""

_MAGIC: Final = b"simulated-thought:"
_DIGEST: Final = 16
_CHECKSUM: Final = 8
_FILLER: Final = 208  # bytes; upstream's are some hundreds to some thousands of characters
_KEPT: Final = 20_000


def signature_for(model: str, text: str = "") -> str:
    """Return a signature of a model's family, in base64; the same one for the same text.

    Args:
        model: whose signature it is.
        text: that it is for; of a thought, the whole of it.
    """
    head = _MAGIC + family_of(model).encode() + b":" + _digest(text)
    filler, number = b"", 0
    while True:
        filler = b"".join(hashlib.sha256(head + bytes([number, block])).digest() for block in range(_FILLER // 32 + 1))
        body = head + filler[:_FILLER]
        while (len(body) + _CHECKSUM) % 3 == 0:  # so that base64 needs a `=`
            body += b"\0"
        signature = base64.b64encode(body + _checksum(body)).decode()
        if "+" in signature and "/" in signature:  # so that whoever writes it in another alphabet breaks it
            return signature
        number += 1


def signed(model: str, parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a reply's parts with signatures where upstream has them.

    Claude signs every thought. Gemini 3 signs the first call of a reply, or else its last text.

    Args:
        model: that replies.
        parts: of the reply; those that have signatures keep them.
    """
    copies = [dict(part) for part in parts]
    if "claude" in canonical_model(model):
        chosen = [part for part in copies if part.get("thought")]
    elif family_of(model) == "gemini":
        calls = [part for part in copies if "functionCall" in part]
        texts = [part for part in copies if "text" in part and not part.get("thought")]
        chosen = calls[:1] or texts[-1:]
    else:
        chosen = []
    for part in chosen:
        part.setdefault("thoughtSignature", signature_for(model, str(part.get("text") or "")))
    return copies


class GivenSignatures:
    """The signatures that models gave; safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: OrderedDict[tuple[ModelFamily, str], str | None] = OrderedDict()

    def add(self, model: str, parts: Sequence[Mapping[str, Any]]) -> None:
        """Take note of the signatures in a model's reply; that of a thought is of all its pieces."""
        said = ""
        for part in parts:
            thought = bool(part.get("thought"))
            said = said + str(part.get("text") or "") if thought else ""
            signature = part.get("thoughtSignature")
            if isinstance(signature, str):
                self._keep((family_of(model), signature), said if thought else None)
                said = ""

    def _keep(self, key: tuple[ModelFamily, str], text: str | None) -> None:
        with self._lock:
            self._texts[key] = text
            while len(self._texts) > _KEPT:
                self._texts.popitem(last=False)

    def holds(self, family: ModelFamily, signature: str, thought: str | None = None) -> bool:
        """Return whether a signature is one of a family, whole, and of this thought if it is to be one's.

        Args:
            family: that is to read it.
            signature: in base64.
            thought: the text of the thought; ``None`` for a signature beside anything else.
        """
        with self._lock:
            known = self._texts.get((family, signature), ...)
        if known is not ...:
            return thought is None or known is None or known == thought
        made_for = _read(signature)
        return made_for is not None and made_for[0] == family and thought in (None, *_texts(made_for[1], thought))


def _texts(digest: bytes, thought: str | None) -> tuple[str, ...]:
    return (thought,) if thought is not None and _digest(thought) == digest else ()


def _read(signature: str) -> tuple[str, bytes] | None:
    """Return the family and the text's digest of a signature of any simulator; ``None`` when it is not whole."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (ValueError, binascii.Error):
        return None
    body, checksum = raw[:-_CHECKSUM], raw[-_CHECKSUM:]
    if not body.startswith(_MAGIC) or checksum != _checksum(body):
        return None
    family, _, rest = body.removeprefix(_MAGIC).partition(b":")
    return family.decode("ascii", "replace"), rest[:_DIGEST]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"checksum" + body).digest()[:_CHECKSUM]


__all__ = ["DUMMIES", "GivenSignatures", "signature_for", "signed"]
