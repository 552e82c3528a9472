"""The caller's own headers (``extra_headers``), as far as they may go upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.litellm.errors import bad_request

# Who asks, for whom, and how a message is read is not the caller's to say: a request must not choose its account.
_OURS: Final = re.compile(
    r"authorization|cookie|user-agent|host|connection|keep-alive|te|trailer|upgrade|expect|transfer-encoding"
    r"|content-.*|accept|accept-encoding|proxy-.*|x-goog-.*|x-forwarded-.*|forwarded"
)
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.1
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*")


def callers_headers(given: Any, model: str) -> dict[str, str]:
    """Return the headers of a call that go along with ours, their names in lower case.

    Raises:
        litellm.BadRequestError: when one cannot be sent.
    """
    kept: dict[str, str] = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        lower = str(name).lower()
        if value is None or _OURS.fullmatch(lower):
            continue
        text = str(value)
        if not _NAME.fullmatch(lower) or not _VALUE.fullmatch(text):
            msg = f"The header {name!r} cannot be sent: it has characters that headers do not have."
            raise bad_request(msg, model)
        kept[lower] = text.strip()
    return kept


__all__ = ["callers_headers"]
