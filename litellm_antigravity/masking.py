"""How texts of others are made fit to be shown: without secrets and what steers a terminal, e-mail addresses masked."""

from __future__ import annotations

import re
from typing import Final

from litellm_antigravity.redaction import SECRETS

_HIDDEN = "***"

# The first part starts at a boundary and is bounded, so that a long run of letters is not searched again and again.
_EMAIL: Final = re.compile(r"(?<![\w.+\-%*])[\w.+\-%]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+")
_NOT_IN_A_HEADER: Final = re.compile(r"[^\x20-\x7e]")


def mask_email(email: str) -> str:
    """Return an e-mail address as it may be logged: ``us***1@gmail.com`` for ``user1@gmail.com``.

    Of a local part of five characters or more, the first two and the last one are left; of a shorter one the first
    one; of a single character nothing. The number of stars says nothing. A text without ``@`` is all local part.
    """
    local, at, domain = email.strip().rpartition("@")
    if not at:
        local, domain = domain, ""
    if len(local) >= 5:
        return f"{local[:2]}{_HIDDEN}{local[-1]}{at}{domain}"
    first = local[:1] if len(local) > 1 else ""
    return f"{first}{_HIDDEN}{at}{domain}"


def mask_emails(text: str) -> str:
    """Return a text with every e-mail address masked."""
    return _EMAIL.sub(lambda found: mask_email(found.group()), text)


def printable(text: str, *, lines: bool = False) -> str:
    """Return a text without what could steer a terminal or end a line of a log: each such character is a blank.

    That is control characters, line and paragraph breaks, direction marks, and halves of surrogate pairs.

    Args:
        text: whoever's.
        lines: whether line breaks stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or (lines and one == "\n") else " " for one in text)


def shown(text: str, longest: int | None = None, *, lines: bool = False) -> str:
    """Return a text as it may be shown anywhere: `printable`, and without any secret that is known by value.

    Args:
        text: whoever's.
        longest: how many characters to show at most.
        lines: whether line breaks stay.
    """
    fit = SECRETS.hide(printable(text, lines=lines), longest)
    return fit if longest is None or len(fit) <= longest else f"{fit[: longest - 1]}…"


def header_value(text: str) -> str:
    """Return a text as the value of an HTTP header: visible ASCII and blanks only (RFC 9110, section 5.5)."""
    return _NOT_IN_A_HEADER.sub("?", shown(text, 200)).strip()


__all__ = ["header_value", "mask_email", "mask_emails", "printable", "shown"]
