"""How ``config show`` shows the settings."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.settings.effective import EffectiveSetting


def show_settings(console: Console, effective: Sequence[EffectiveSetting]) -> None:
    """Print a line for each: name, value, source; on a narrow terminal the source goes below."""
    rows = [(one, _spelled(one.value)) for one in effective]
    name = max(len(one.name) for one in effective)
    value = min(max(len(text) for _, text in rows), max(24, console.width // 3))
    for one, text in rows:
        head = f"{one.name:<{name}}  {text:<{value}}"
        fits = len(head) + 2 + len(one.source) < console.width
        line = f"{head}  {one.source}" if fits else f"{head.rstrip()}\n    {one.source}"
        console.print(Text(printable(line, lines=True), "" if one.is_set else "dim"), soft_wrap=True)


def _spelled(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
