"""The command line. Importing it imports click and nothing that is slow; a command loads what it needs when it runs."""

from __future__ import annotations

import io
import os
import sys

import click

from litellm_antigravity._version import __version__
from litellm_antigravity.cli.ask import ask
from litellm_antigravity.cli.auth import auth
from litellm_antigravity.cli.completion import completion
from litellm_antigravity.cli.config import config
from litellm_antigravity.cli.demo import demo
from litellm_antigravity.cli.doctor import doctor
from litellm_antigravity.cli.errors import ReportingGroup
from litellm_antigravity.cli.examples import PROGRAM, add_examples
from litellm_antigravity.cli.metrics import metrics
from litellm_antigravity.cli.models import models
from litellm_antigravity.cli.report import report
from litellm_antigravity.cli.reset import reset
from litellm_antigravity.cli.simulate import simulate
from litellm_antigravity.cli.status import status
from litellm_antigravity.cli.why import why

_EPILOG = """\
Google's Antigravity terms forbid third-party clients, and accounts have been suspended for using them: see README.

Settings come from environment variables (LITELLM_ANTIGRAVITY_<NAME>), the project file .opencode/antigravity.json and
the user file ~/.config/opencode/antigravity.json, in this order.
"""


@click.group(PROGRAM, cls=ReportingGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def cli() -> None:
    """Several Google (Antigravity) accounts behind LiteLLM, shared by every process on this machine.

    Each request is served by an account that is free; what one process learns about an account, all others know.
    """


for _command in (
    demo,
    auth,
    doctor,
    ask,
    models,
    status,
    why,
    report,
    metrics,
    reset,
    config,
    simulate,
    completion,
):  # in the order of first use
    cli.add_command(_command)
add_examples(cli)


def main() -> None:
    """Run the command line; the console script ``litellm-antigravity``."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an e-mail that the terminal cannot show is no reason to fail
    cli(prog_name=PROGRAM)


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that was closed (``<&-``), which Python has ``None`` for.

    It also keeps the stream's descriptor from the next file that is opened, such as a database.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - open until the end


__all__ = ["cli", "main"]
