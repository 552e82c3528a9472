"""The page that the proxy serves: one document, which asks nobody but the proxy that it came from.

`page.html` takes `page.css` and `page.js` in; there is nothing to build. The policy that goes with it lets nothing else
run, by the digests of the two.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

_STYLE, _SCRIPT = "/* page.css */", "/* page.js */"


@functools.cache
def page() -> str:
    """Return the document. It is the same for everybody; read once."""
    return _read("page.html").replace(_STYLE, _read("page.css")).replace(_SCRIPT, _read("page.js"))


@functools.cache
def headers() -> Mapping[str, str]:
    """Return the headers that go with it."""
    policy = {
        "default-src": "'none'",
        "script-src": _digest("page.js"),
        "style-src": _digest("page.css"),
        "connect-src": "'self'",
        "img-src": "data:",  # the icon, which is empty
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'self'",  # LiteLLM's admin UI shows it in a frame
        "require-trusted-types-for": "'script'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


def _read(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


def _digest(name: str) -> str:
    digest: Final = base64.b64encode(hashlib.sha256(_read(name).encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


__all__ = ["headers", "page"]
