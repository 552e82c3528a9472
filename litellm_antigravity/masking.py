"""E-mail addresses as they may be shown outside of the command line."""

from __future__ import annotations

_HIDDEN = "***"


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
