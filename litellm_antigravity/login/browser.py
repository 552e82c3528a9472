"""Opening the page that asks the user, where there is a browser that can show it."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser

_IN_THE_TERMINAL = frozenset({"www-browser", "lynx", "links", "elinks", "w3m", "links2"})
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def can_open() -> bool:
    """Return whether a browser can be opened here: not over SSH or in a container, and none that takes the terminal.

    A browser that the variable ``BROWSER`` names is always one.
    """
    if os.environ.get("BROWSER"):
        return True
    if sys.platform not in ("win32", "darwin") and not any(os.environ.get(name) for name in _DISPLAYS):
        return False
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return False
    return getattr(found, "basename", "") not in _IN_THE_TERMINAL


def open_page(url: str) -> None:
    """Open a page without waiting for it: some browsers end only when they are closed."""
    threading.Thread(target=webbrowser.open, args=(url,), name="antigravity-browser", daemon=True).start()
