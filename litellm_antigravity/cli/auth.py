"""``litellm-antigravity auth``: which accounts there are, and back with one that was out."""

from __future__ import annotations

from pathlib import Path

import click

from litellm_antigravity.cli.auth_add import add
from litellm_antigravity.cli.auth_login import login


@click.group()
def auth() -> None:
    """See which accounts there are: auth list, auth retry."""


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


@auth.command("retry")
@click.argument("email")
def retry_account(email: str) -> None:
    """Use the account EMAIL again, once you have verified it or an appeal was granted.

    Ends its cooldowns for every process on this machine. If upstream still refuses it, the next request finds out.
    """
    from litellm_antigravity.errors import AccountsFileError
    from litellm_antigravity.pool import AccountPool

    pool = AccountPool()
    try:
        roster = pool.accounts.current()
        wanted = email.strip().casefold()
        account = next((one for one in roster.accounts if wanted in (one.id, (one.email or "").casefold())), None)
        if account is None:
            known = ", ".join(one.email or one.id for one in roster.accounts)
            msg = f"There is no account {email!r} in {roster.path}. There: {known}."
            raise AccountsFileError(msg)
        ended = pool.release(account.id)
        problem = pool.store.status().problem
    finally:
        pool.store.close()
    if problem is not None:
        msg = f"The shared state cannot be written, so nothing has changed: {problem}"
        raise click.ClickException(msg)
    reasons = ", ".join(sorted({one.reason for one in ended}))
    click.echo(f"{email.strip()} is used again (it was out: {reasons})." if ended else f"{email.strip()} was not out.")
    if account.cooldowns:
        click.echo(f"What {roster.path} says of it stays in force; see `litellm-antigravity status`.")


auth.add_command(login)
auth.add_command(add)
