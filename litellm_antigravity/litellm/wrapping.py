"""Wrappers around functions of LiteLLM's, put on once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

_MARK = "_litellm_antigravity"


class Seam(NamedTuple):
    """A function of LiteLLM's that is wrapped, or was to be.

    Attributes:
        where: the module or class that has it, and its name.
        holds: whether this release has it.
        purpose: what the wrapper is for.
    """

    where: str
    holds: bool
    purpose: str


_seams: dict[str, Seam] = {}


def wrap(
    holder: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]], *, optional: bool = False
) -> None:
    """Replace a function by what ``wrapper`` makes of it, unless that has been done or there is none.

    Args:
        holder: the module or class that has the function; ``None`` where there is none.
        name: of the function.
        wrapper: gets the function and returns the one to be called instead.
        optional: whether releases that we support may lack it.
    """
    known = getattr(holder, name, None)
    if known is not None or not optional:
        _note(holder, name, wrapper, holds=known is not None)
    if known is None or hasattr(known, _MARK):
        return
    wrapped = functools.wraps(known)(wrapper(known))
    setattr(wrapped, _MARK, True)
    is_static = isinstance(holder, type) and isinstance(vars(holder).get(name), staticmethod)
    setattr(holder, name, staticmethod(wrapped) if is_static else wrapped)


def _note(holder: Any, name: str, wrapper: Callable[..., Any], *, holds: bool) -> None:
    function = wrapper.func if isinstance(wrapper, functools.partial) else wrapper
    where = f"{getattr(holder, '__name__', 'LiteLLM')}.{name}"
    _seams[where] = Seam(where, holds, (function.__doc__ or name).partition("\n")[0])


def seams() -> tuple[Seam, ...]:
    """Return all functions that `wrap` was called for, in this order."""
    return tuple(_seams.values())


__all__ = ["Seam", "seams", "wrap"]
