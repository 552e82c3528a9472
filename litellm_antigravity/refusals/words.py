"""Upstream's words, made fit for logs, exceptions and terminals."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import urlsplit

from litellm_antigravity.masking import mask_email

MAX_MESSAGE: Final = 1000
"""The longest message, in characters."""

_MAX_INPUT: Final = 8000  # read no more than this of a message: it is only to be shown
_MAX_NAME: Final = 200
_MAX_URL: Final = 2000  # as many as a row of the state store takes
_HIDDEN: Final = "[hidden]"

# Controls (terminal escapes among them), format characters (bidirectional overrides), halves of surrogate pairs.
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs"})

_SECRETS: Final = re.compile(
    r"ya29\.[\w.\-/+=]*"  # Google access tokens
    r"|1//[\w\-/+=]+"  # Google refresh tokens
    r"|\bAIza[\w\-]{16,}"  # Google API keys
    r"|\bGOCSPX[\-][\w\-]+"  # Google OAuth client secrets
    r"|\beyJ[\w\-]{8,}(?:\.[\w\-]*)*"  # JSON web tokens
    r"|(?<=//)[^\s/@:]{1,100}:[^\s/@]{1,200}@"  # user and password in an address
    r"|(?<=bearer )[\w.~+/\-]{16,}=*",  # anything else that was sent as a bearer token
    re.IGNORECASE,
)
# The first part starts at a boundary and is bounded, so that a long run of letters is not searched again and again.
_EMAIL: Final = re.compile(r"(?<![\w.+\-%*])[\w.+\-%]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+")


def clean(text: str) -> str:
    """Return a text on one line, at most `MAX_MESSAGE` characters, without control characters and tokens."""
    one_line = " ".join(text[:_MAX_INPUT].split())
    printable = "".join(char for char in one_line if unicodedata.category(char) not in _UNPRINTABLE)
    hidden = _SECRETS.sub(_HIDDEN, " ".join(printable.split()))
    return hidden if len(hidden) <= MAX_MESSAGE else hidden[: MAX_MESSAGE - 1] + "…"


def mask_emails(text: str) -> str:
    """Return a text with every e-mail address masked."""
    return _EMAIL.sub(lambda found: mask_email(found.group()), text)


def clean_name(value: object) -> str | None:
    """Return a reason, a status or a model's name as upstream gave it; ``None`` for what is no short text."""
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        return None
    return clean(value) or None


def https_url(value: object) -> str | None:
    """Return an address that a user may be sent to; ``None`` for anything but a plain https one."""
    if not isinstance(value, str) or len(value) > _MAX_URL:
        return None
    url = value.strip()
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.hostname and parts.username is None and parts.password is None:
            return url
    except ValueError:
        pass
    return None
