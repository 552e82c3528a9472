"""How the command line reports what goes wrong: one line instead of a traceback, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import click

from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.masking import shown

STOPPED = 130
"""The exit code after Ctrl-C: 128 and the signal's number, as shells have it."""

_DEBUG_VARIABLE = "LITELLM_ANTIGRAVITY_DEBUG"

_DISKS: Final = {
    errno.ENOSPC: "there is no space left on the disk. Make room there and try again.",
    errno.EDQUOT: "your share of the disk is used up. Make room there and try again.",
    errno.EROFS: "the disk is mounted read-only. Mount it for writing, or name another place in the settings.",
}


class ReportingGroup(click.Group):
    """A group whose commands report errors as people want to read them.

    An `AntigravityError` becomes ``Error: <message>`` and exit code 1; so does an unexpected exception, unless
    ``LITELLM_ANTIGRAVITY_DEBUG`` is set: then it keeps its traceback. Ctrl-C becomes ``Stopped.`` and exit code 130.
    The package's warnings go to standard error. Commands are listed in the order in which they were added.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands' names in the order of first use; click would sort them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and report how it fails."""
        with _warnings_shown():
            try:
                return super().invoke(ctx)
            except AntigravityError as error:
                raise click.ClickException(_wrapped(str(error))) from error
            except KeyboardInterrupt:
                click.echo("Stopped.", err=True)
                ctx.exit(STOPPED)
            except click.ClickException as error:
                raise _within_screen(error) from error
            except (click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise
            except Exception as error:
                if os.environ.get(_DEBUG_VARIABLE, "").lower() in ("1", "true"):
                    raise
                if (disk := _about_disk(error)) is not None:
                    raise click.ClickException(_wrapped(disk)) from error
                said = shown(str(error), lines=True)
                msg = (
                    f"something unexpected happened ({type(error).__name__}: {said}). "
                    f"Set {_DEBUG_VARIABLE}=1 and try again to see where."
                )
                raise click.ClickException(msg) from error


def _about_disk(error: Exception) -> str | None:
    """Return what to say of a disk that takes nothing; ``None`` for any other error."""
    why = _DISKS.get(error.errno or 0) if isinstance(error, OSError) else None
    if why is None:
        return None
    name = getattr(error, "filename", None)
    what = shown(os.fsdecode(name)) if isinstance(name, (str, bytes)) else "The output"
    return f"{what} cannot be written: {why}"


def _within_screen(error: click.ClickException) -> click.ClickException:
    """Return an error whose message is wrapped; those that click words itself are left as they are."""
    if type(error) is click.UsageError:
        return click.UsageError(_wrapped(error.message), error.ctx)
    return click.ClickException(_wrapped(error.message)) if type(error) is click.ClickException else error


def _wrapped(message: str) -> str:
    """Return a message in lines of whole words, where the screen's width is known; whoever searches a log gets one."""
    if not sys.stderr.isatty() and not os.environ.get("COLUMNS"):
        return message
    width = shutil.get_terminal_size().columns
    heading = "Error: "  # which click puts before the first line
    lines = []
    for number, line in enumerate(message.splitlines()):
        indent = " " * (len(line) - len(line.lstrip()))
        wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False, subsequent_indent=indent)
        whole = wrapper.fill(line if number else heading + line)
        lines.append(whole if number else whole.removeprefix(heading))
    return "\n".join(lines)


class _OnStandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        prefix = f"{record.levelname.capitalize()}: " if record.levelno >= logging.WARNING else ""
        click.echo(prefix + record.getMessage(), err=True)


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    handler, level, propagate = _OnStandardError(), LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)  # the setting `debug` lowers it
        LOGGER.propagate = propagate
