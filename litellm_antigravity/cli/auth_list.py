"""``litellm-antigravity auth list``: which accounts there are, and whether they can be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from litellm_antigravity.accounts import AccountsSnapshot
    from litellm_antigravity.cli.auth_facts import Saved
    from litellm_antigravity.settings import Settings

_EPILOG = """\
\b
Examples:
  litellm-antigravity auth list
  litellm-antigravity auth list --json | jq '.accounts[] | select(.state != "ready") | .email'
"""


@click.command("list", epilog=_EPILOG)
@click.option(
    "--accounts-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The file to read; by default the one in the settings.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_accounts(accounts_file: Path | None, as_json: bool) -> None:
    """List the accounts, with what keeps them from serving.

    E-mail addresses are shown in full.
    """
    import json

    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.cli.auth_facts import saved_accounts
    from litellm_antigravity.cli.prose import on_screen
    from litellm_antigravity.settings import Settings

    settings = Settings()
    snapshot, saved = saved_accounts(AccountsFile(accounts_file or settings.accounts_file), settings)
    if as_json:
        document = {"accounts_file": str(snapshot.path), "accounts": [one.as_json() for one in saved]}
        click.echo(json.dumps(document, indent=2))
        return
    for line in _lines(snapshot, saved, settings):
        click.echo(on_screen(line, hang=5 if line.startswith(" ") else 2))


def _lines(snapshot: AccountsSnapshot, saved: Sequence[Saved], settings: Settings) -> Iterator[str]:
    from litellm_antigravity.cli.choosing import name_of, numbered
    from litellm_antigravity.credentials.clients import clients_missing
    from litellm_antigravity.masking import shown

    yield f"{len(saved)} account(s) saved:"
    for line, one in zip(numbered(snapshot.accounts), saved, strict=True):
        yield f"{line} ({shown(one.remark)})" if one.remark else line
    for account, one in zip(snapshot.accounts, saved, strict=True):
        for url in dict.fromkeys(limit.url for limit in one.limits if limit.url is not None):
            yield f"{name_of(account)}: open {shown(url)}"
    missing = clients_missing(snapshot.enabled, settings)
    if missing is not None:
        yield missing
