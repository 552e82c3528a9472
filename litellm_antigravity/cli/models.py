"""``litellm-antigravity models``: what to write after ``antigravity/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from litellm_antigravity.cli.spinner import spinning

if TYPE_CHECKING:
    from rich.console import Console

    from litellm_antigravity.catalog import AvailableModel, Catalog


@click.command()
@click.option("--offline", is_flag=True, help="Show the built-in list; ask nobody.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(offline: bool, as_json: bool) -> None:
    """List the models, and how much of each is left.

    Asks upstream as the first account that it answers, which takes nothing from the account's quota. When upstream
    cannot be asked, the list is the one built into this release.
    """
    import json

    from litellm_antigravity.clock import SystemClock

    catalog, why = (None, "not asked") if offline else _fetch()
    now = SystemClock().time()
    if as_json:
        click.echo(json.dumps(_as_json(catalog, why, now), indent=2))
        return
    from litellm_antigravity.cli.consoles import new_console

    console = new_console()
    if catalog is None:
        _show_built_in(console, why)
    else:
        _show(console, catalog, now)


def _fetch() -> tuple[Catalog | None, str]:
    """Return what upstream tells; else ``None`` and why not."""
    from litellm_antigravity.catalog import Catalogs
    from litellm_antigravity.errors import AccountsFileError, CredentialError, RequestRefusedError

    try:
        catalogs = Catalogs()
        try:
            with spinning("Asking upstream ..."):
                return catalogs.fetch(), ""
        finally:
            catalogs.close()
    except (AccountsFileError, CredentialError, RequestRefusedError) as error:
        return None, str(error)


def _as_json(catalog: Catalog | None, why: str, now: float) -> dict[str, Any]:
    from litellm_antigravity.models import BUILT_IN_MODELS, family_of

    if catalog is None:
        known = [{"name": name, "family": family_of(name)} for name in BUILT_IN_MODELS]
        return {"source": "built-in", "reason": why, "models": known}
    return {
        "source": "upstream",
        "account": catalog.account.email,
        "models": [
            {
                "name": one.name,
                "family": family_of(one.name),
                "title": one.title,
                "remaining": one.remaining,
                "resets_in_seconds": None if one.resets_at is None else max(0.0, one.resets_at - now),
            }
            for one in catalog.models
        ],
    }


def _show_built_in(console: Console, why: str) -> None:
    from rich.text import Text

    from litellm_antigravity.cli.consoles import printable
    from litellm_antigravity.cli.layout import flow, show
    from litellm_antigravity.models import BUILT_IN_MODELS

    heading = f"{len(BUILT_IN_MODELS)} models, from the list built into this release; others are passed on too:"
    show(console, flow(Text(heading), console.width))
    show(console, (Text(f"  antigravity/{name}") for name in BUILT_IN_MODELS))
    show(console, flow(Text(f"Upstream's own list is not shown: {printable(why)}"), console.width))


def _show(console: Console, catalog: Catalog, now: float) -> None:
    from rich.text import Text

    from litellm_antigravity.cli.consoles import printable
    from litellm_antigravity.cli.layout import fits, flow, joined, rows, show

    account = printable(catalog.account.email or catalog.account.id)
    heading = f"{len(catalog.models)} models, as upstream tells {account}; what is left is this account's:"
    show(console, flow(Text(heading), console.width))
    table = [[Text(cell) for cell in _cells(one, now)] for one in catalog.models]
    if not fits(table, console.width, indent=2):
        table = [[name, joined(about)] for name, *about in table]
    for lines in rows(table, console.width, indent=2, widest_first=console.width):
        show(console, lines)


def _cells(model: AvailableModel, now: float) -> tuple[str, str, str, str]:
    import math

    from litellm_antigravity.cli.consoles import printable
    from litellm_antigravity.logs import spell_duration

    left = "left: not said" if model.remaining is None else f"{math.floor(model.remaining * 100)} % left"
    resets = model.resets_at is not None and model.resets_at > now
    until = f"full again in {spell_duration(math.ceil((model.resets_at or now) - now))}" if resets else ""
    return f"antigravity/{printable(model.name)}", left, until, printable(model.title or "")
