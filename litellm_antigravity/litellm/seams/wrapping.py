"""Wrappers around functions of LiteLLM's, put on once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_MARK = "_litellm_antigravity"


def wrap(holder: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a function by what ``wrapper`` makes of it, unless that has been done or there is none.

    Args:
        holder: the module or class that has the function.
        name: of the function.
        wrapper: gets the function and returns the one to be called instead.
    """
    known = getattr(holder, name, None)
    if known is None or hasattr(known, _MARK):
        return
    wrapped = functools.wraps(known)(wrapper(known))
    setattr(wrapped, _MARK, True)
    is_static = isinstance(holder, type) and isinstance(vars(holder).get(name), staticmethod)
    setattr(holder, name, staticmethod(wrapped) if is_static else wrapped)


__all__ = ["wrap"]
