"""Upstream's words, made fit for logs, exceptions and terminals."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import urlsplit

from litellm_antigravity.redaction import HIDDEN, SECRETS

MAX_MESSAGE: Final = 1000
"""The longest message, in characters."""

_MAX_INPUT: Final = 32_000  # characters; what is left of them on one line is only to be shown
_MAX_LINE: Final = 3 * MAX_MESSAGE  # what is hidden makes it shorter
_MAX_NAME: Final = 200
_MAX_URL: Final = 2000  # as many as a row of the state store takes

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
# What an address carries behind its path: one-time tokens of pages to open, keys, signatures.
_QUERY: Final = re.compile(r"(?<=://)([^\s?#\"'<>]{1,2000})[?#][^\s\"'<>]+")


def clean(text: str) -> str:
    """Return a text on one line, at most `MAX_MESSAGE` characters, without control characters and secrets.

    What is known to be a secret is taken out by value before anything is cut, what looks like one by pattern; of
    addresses the query and the fragment are hidden.
    """
    line = _one_line(text[:_MAX_INPUT])
    if len(text) > _MAX_INPUT and len(line) <= _MAX_LINE + SECRETS.longest:
        line = line[: max(0, len(line) - SECRETS.longest)]  # the cut may have gone through a secret
    hidden = SECRETS.hide(line, _MAX_LINE)
    hidden = _QUERY.sub(rf"\1?{HIDDEN}", _SECRETS.sub(HIDDEN, hidden))
    return hidden if len(hidden) <= MAX_MESSAGE else hidden[: MAX_MESSAGE - 1] + "…"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return " ".join("".join(char for char in line if unicodedata.category(char) not in _UNPRINTABLE).split())


def clean_name(value: object) -> str | None:
    """Return a reason, a status or a model's name as upstream gave it; ``None`` for what is no short text."""
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        return None
    return clean(value) or None


def https_url(value: object) -> str | None:
    """Return an address that a user may be sent to; ``None`` for anything but a plain https one, or with a secret."""
    if not isinstance(value, str) or len(value) > _MAX_URL:
        return None
    url = value.strip()
    if not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        plain = parts.username is None and parts.password is None
        if parts.scheme == "https" and parts.hostname and plain and not SECRETS.holds(url):
            return url
    except ValueError:
        pass
    return None
