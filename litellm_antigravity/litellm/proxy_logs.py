"""The proxy's log: a refusal is one warning, since its message says all there is to say.

LiteLLM logs whatever a provider raises as an error with its traceback, for a rate limit 57 lines. It has a switch for
the errors of clients, and no way to say of an error that it is expected; so the records that carry one of ours are
rewritten by a filter, which is what `logging` offers for it. Nothing else of its loggers is touched.
"""

from __future__ import annotations

import logging

import litellm

from litellm_antigravity.litellm.errors import is_ours

_LOGGERS = ("LiteLLM Proxy", "LiteLLM Router", "LiteLLM")


class _OneLine(logging.Filter):
    """Rewrites the records that carry an error of ours; never drops one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR or _shows_everything(record.name) or not _carries_ours(record):
            return True
        record.msg = " ".join(record.getMessage().split())
        record.args = record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        return True


def _shows_everything(name: str) -> bool:
    """Return whether somebody has asked for tracebacks: by LiteLLM's setting, or by its debugging."""
    wanted = getattr(litellm, "log_client_error_tracebacks", False) is True
    return wanted or logging.getLogger(name).isEnabledFor(logging.DEBUG)


def _carries_ours(record: logging.LogRecord) -> bool:
    arguments = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[1] if record.exc_info else None
    return is_ours(raised) or any(is_ours(one) for one in arguments)


def shorten() -> None:
    """Have LiteLLM's loggers write a refusal in one line; once."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _OneLine) for one in logger.filters):
            logger.addFilter(_OneLine())


__all__ = ["shorten"]
