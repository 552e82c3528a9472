"""Error bodies: from bytes to the fields that matter, whatever the shape. Nothing here judges."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final

from litellm_antigravity.masking import mask_emails
from litellm_antigravity.refusals.messages import clean, clean_name

_MAX_JSON_BYTES: Final = 2_000_000  # upstream's error bodies are a few hundred bytes
_MAX_WORDS: Final = 200
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]+)<", re.IGNORECASE)  # whole: half a secret would not be known

NOT_JSON: Final = object()
"""Stands for a body that is not JSON; ``None`` is ``null``."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What an error body says.

    Attributes:
        message: upstream's words, cleaned; empty when there are none.
        code: ``error.code`` when it is an HTTP error status.
        grpc_status: ``error.status``.
        word: ``error`` itself when it is text, as OAuth has it (RFC 6749, section 5.2).
        reasons: ``reason`` of every ``google.rpc.ErrorInfo``.
        metadata: the ``metadata`` of every ``ErrorInfo``, as it came.
        retry_delays: ``retryDelay`` of every ``google.rpc.RetryInfo``.
        quota_ids: ``quotaId`` of every violation in ``google.rpc.QuotaFailure``.
    """

    message: str = ""
    code: int | None = None
    grpc_status: str | None = None
    word: str | None = None
    reasons: tuple[str, ...] = ()
    metadata: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    retry_delays: tuple[object, ...] = ()
    quota_ids: tuple[str, ...] = ()

    def named(self, name: str) -> tuple[object, ...]:
        """Return every value that ``ErrorInfo.metadata`` has under a name."""
        return tuple(fields[name] for fields in self.metadata if name in fields)


def decode(body: bytes) -> object:
    """Return the JSON value in a body, or `NOT_JSON`. A broken byte does not cost the rest of the body."""
    if len(body) > _MAX_JSON_BYTES:
        return NOT_JSON
    try:
        return json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return NOT_JSON


def error_in(value: object) -> ErrorBody | None:
    """Return the error in a decoded body; ``None`` when there is none.

    Args:
        value: an object with ``error``, or a list that holds one, as streams without server-sent events come.
    """
    for entry in value if isinstance(value, list) else (value,):
        if isinstance(entry, dict) and entry.get("error"):
            return _read(entry["error"], entry.get("error_description"))
    return None


def text_of(body: bytes) -> str:
    """Return the first words of a body that is not JSON; of a page its title."""
    text = body[:_MAX_JSON_BYTES].decode("utf-8-sig", "replace")
    if text.lstrip().startswith("<"):
        title = _TITLE.search(text)
        text = unescape(title.group(1)) if title else ""
    return mask_emails(clean(text))[:_MAX_WORDS]


def _read(error: object, description: object) -> ErrorBody:
    if isinstance(error, str):
        said = f"{error}: {description}" if isinstance(description, str) and description.strip() else error
        return ErrorBody(mask_emails(clean(said)), word=clean_name(error))
    if not isinstance(error, dict):
        return ErrorBody()
    message = error.get("message")
    infos = list(_infos(error))
    return ErrorBody(
        message=mask_emails(clean(message)) if isinstance(message, str) else "",
        code=_http_code(error.get("code")),
        grpc_status=clean_name(error.get("status")),
        reasons=tuple(name for info in infos if (name := clean_name(info.get("reason"))) is not None),
        metadata=tuple(fields for info in infos if isinstance(fields := info.get("metadata"), dict)),
        retry_delays=tuple(info["retryDelay"] for info in infos if "retryDelay" in info),
        quota_ids=tuple(name for info in infos for name in _quota_ids(info.get("violations"))),
    )


def _infos(error: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every entry of ``error.details`` that is an object; which one it is, its fields say."""
    details = error.get("details")
    for entry in details if isinstance(details, list) else (details,):
        if isinstance(entry, dict):
            yield entry


def _quota_ids(violations: object) -> Iterator[str]:
    for violation in violations if isinstance(violations, list) else ():
        name = clean_name(violation.get("quotaId")) if isinstance(violation, dict) else None
        if name is not None:
            yield name


def _http_code(value: object) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None
