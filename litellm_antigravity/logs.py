"""The decision log: one line per decision, for people who asked to see them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from litellm_antigravity.masking import shown

LOGGER = logging.getLogger("litellm_antigravity")
_LITELLM = logging.getLogger("LiteLLM")


class _FitToBeShown(logging.Filter):
    """Takes secrets, line breaks and control characters out of every line of ours, whoever it quotes."""

    def filter(self, record: logging.LogRecord) -> bool:
        with contextlib.suppress(TypeError, ValueError):  # arguments that do not fit: the handlers say so
            said = record.getMessage()
            fit = shown(said)
            if fit != said:
                record.msg, record.args = fit, None
        return True


LOGGER.addFilter(_FitToBeShown())

_MOST_TOLD: Final = 1000  # names come from requests
_told: set[tuple[str, str]] = set()


def show_decisions() -> None:
    """Make the decision log visible: on standard error, unless the application has configured logging itself.

    Lines are printed as they are, without a prefix, so that people can search for the ones they know.
    """
    LOGGER.setLevel(logging.DEBUG)
    if not LOGGER.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        LOGGER.addHandler(handler)


def decisions_are_visible() -> bool:
    """Return whether anybody would see a decision: our logger or LiteLLM's is at DEBUG."""
    return LOGGER.isEnabledFor(logging.DEBUG) or _LITELLM.isEnabledFor(logging.DEBUG)


def decision(message: str, *args: object) -> None:
    """Log one decision, through LiteLLM's logger when only that one is at DEBUG."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        LOGGER.debug(message, *args)
    else:
        _LITELLM.debug("%s", shown(message % args))


def not_told(about: str, names: Iterable[str]) -> list[str]:
    """Return those of the names that nobody has been told of in this process: from now on they are told.

    For warnings about what a client sends with each of its requests. After a thousand names there are no more.

    Args:
        about: what is told of them.
        names: perhaps with doubles.
    """
    new = [name for name in dict.fromkeys(names) if (about, name) not in _told]
    if len(_told) + len(new) > _MOST_TOLD:
        return []
    _told.update((about, name) for name in new)
    return new


def spell_duration(seconds: float) -> str:
    """Return a duration as people write it: ``4s``, ``10m0s``, ``2h10m5s``, ``3d4h``."""
    whole = max(0, round(seconds))
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
