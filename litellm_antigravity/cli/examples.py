"""The examples that ``--help`` shows below the options, of commands that bring none of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

PROGRAM: Final = "litellm-antigravity"

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "demo": ("demo", "demo --strategy sticky --requests 3"),
    "ask": (
        'ask "Hello" --model claude-sonnet-4-6',
        "git diff | litellm-antigravity ask - --model gemini-3-flash",
        'ask "Hello" --json',
    ),
    "models": ("models", "models --offline", "models --json"),
    "status": (
        "status",
        "status --watch",
        "status --model claude-sonnet-4-6 --account user1@gmail.com",
        "status --json | jq '.summary[] | select(.free == 0)'",
    ),
    "why": ("why claude-sonnet-4-6", "why --last 20", "why 5f1c2f6e-8a0d-4a52-9a55-0d2f8f1f2b11"),
    "report": ("report", "report --since 90m", "report --since 7d --html report.html", "report --json | jq .served"),
    "metrics": (
        "metrics",
        "# for node_exporter, every minute",
        "metrics > antigravity.prom.new && mv antigravity.prom.new /var/lib/node_exporter/antigravity.prom",
    ),
    "reset": (
        "reset user1@gmail.com",
        "reset --pool claude",
        "reset --all --force --yes",
        "reset --scores --all",
        "reset --slot 0",
    ),
    "doctor": ("doctor", "doctor --json"),
    "config show": ("config show",),
    "config proxy": ("config proxy --pool > config.yaml", "config proxy --pinned > config.yaml"),
    "simulate": (
        "simulate",
        "simulate --accounts 2 --quota 20 --window 60",
        "simulate --script agent-session",
    ),
    "completion": (
        "# bash, in ~/.bashrc",
        'eval "$(litellm-antigravity completion bash)"',
        "# zsh, in ~/.zshrc below compinit",
        'eval "$(litellm-antigravity completion zsh)"',
        "# fish, once",
        "completion fish > ~/.config/fish/completions/litellm-antigravity.fish",
    ),
}
"""By command. The program's name is put before those that do not hold it already; a comment begins with ``#``."""


def add_examples(group: click.Group, path: str = "") -> None:
    """Give every command below a group the examples that there are for it, as the end of its ``--help``."""
    for name, command in group.commands.items():
        whole = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            add_examples(command, whole)
        elif whole in EXAMPLES and command.epilog is None:
            command.epilog = _epilog(EXAMPLES[whole])


def spelled(example: str) -> str:
    """Return an example as it is typed."""
    whole = example.startswith("#") or PROGRAM in example.partition(">")[0]
    return example if whole else f"{PROGRAM} {example}"


def _epilog(examples: tuple[str, ...]) -> str:
    # \b keeps click from wrapping the lines: what is typed in one line is shown in one.
    return "\b\n" + "\n".join(["Examples:", *(f"  {spelled(one)}" for one in examples)])
