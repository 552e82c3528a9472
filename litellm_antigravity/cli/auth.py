"""``litellm-antigravity auth list``: which accounts there are."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def auth() -> None:
    """See which accounts were found: auth list."""


@auth.command("list")
@click.option(
    "--accounts-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The file to read; by default the one in the settings.",
)
def list_accounts(accounts_file: Path | None) -> None:
    """List the accounts in the accounts file."""
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.settings import Settings

    roster = AccountsFile(accounts_file or Settings().accounts_file).load()
    click.echo(f"{len(roster.accounts)} account(s) saved:")
    for number, account in enumerate(roster.accounts, 1):
        name = account.email or f"(no e-mail) {account.id}"
        click.echo(f"  {number}. {name}{'' if account.enabled else ' (disabled)'}")
