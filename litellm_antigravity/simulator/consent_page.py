"""What the authorization endpoint shows: who signs in, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from litellm_antigravity.simulator.answers import Answer

CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"

_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:3rem auto;padding:0 1rem;color:#202124}"
    "button{display:block;width:100%;font:inherit;text-align:left;margin:.5rem 0;padding:.75rem 1rem;"
    "border:1px solid #747775;border-radius:.5rem;background:#fff;cursor:pointer}"
    "button:hover,button:focus{background:#e8f0fe}h1{font-size:1.4rem}small{color:#5f6368}"
)


def consent_page(emails: Iterable[str], client_id: str, scopes: Iterable[str]) -> Answer:
    """Return the page with a button for every account, a box for the use of Google Cloud, and one to say no."""
    accounts = "".join(f'<button name="account" value="{escape(email)}">{escape(email)}</button>' for email in emails)
    cloud = (
        f'<p><label><input type="checkbox" name="scope" value="{CLOUD_PLATFORM}" checked> '
        "See and change your Google Cloud data</label></p>"
        if CLOUD_PLATFORM in scopes
        else ""
    )
    return _page(
        "consent",
        200,
        "Choose an account",
        f'<p>to go on to <b>{escape(client_id)}</b></p><form method="post">{cloud}{accounts}'
        '<button name="deny" value="1">Cancel</button></form>'
        "<p><small>This is the simulator of litellm-antigravity, not Google.</small></p>",
    )


def error_page(status: int, code: str, message: str) -> Answer:
    """Return what a browser is shown when the question itself is wrong, so that there is nowhere to send it back to."""
    text = f"<p>{escape(message)}</p><p>Error {status}: {escape(code)}</p>"
    return _page(code, status, "Access blocked: this request is invalid", text)


def redirect(kind: str, address: str) -> Answer:
    """Return what sends a browser elsewhere."""
    return Answer(kind, 302, b"", "text/html; charset=UTF-8", {"location": address, "cache-control": "no-store"})


def _page(kind: str, status: int, title: str, content: str) -> Answer:
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{content}</html>"
    )
    return Answer(kind, status, text.encode(), "text/html; charset=UTF-8", {"cache-control": "no-store"})
