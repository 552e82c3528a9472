"""``litellm-antigravity auth enable | disable | retry | remove``: which of the saved accounts are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.completing import complete_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from litellm_antigravity.accounts import Account, AccountsFile, AccountsSnapshot
    from litellm_antigravity.cooldowns import Cooldown

_FAMILIES = ("claude", "gemini")  # of `models`, which a command that shows its help has no time for

_ACCOUNTS = click.argument("accounts", metavar="ACCOUNT...", nargs=-1, required=True, shell_complete=complete_accounts)
_FAMILY = click.option(
    "--family", type=click.Choice(_FAMILIES), help="For the models of this family alone; by default for all."
)
_YES = click.option("--yes", "-y", is_flag=True, help="Ask no questions.")


@click.command(epilog="\b\nExample:\n  litellm-antigravity auth enable user1@gmail.com --family claude\n")
@_ACCOUNTS
@_FAMILY
def enable(accounts: tuple[str, ...], family: str | None) -> None:
    """Use an account that was disabled.

    Processes that run use it from their next request on.
    """
    _switch(accounts, family, on=True)


@click.command(epilog="\b\nExample:\n  litellm-antigravity auth disable user1@gmail.com --family claude\n")
@_ACCOUNTS
@_FAMILY
def disable(accounts: tuple[str, ...], family: str | None) -> None:
    """Do not use an account, or not for one family of models.

    Processes that run use it no more from their next request on. It stays disabled when OpenCode writes the accounts
    file anew.
    """
    _switch(accounts, family, on=False)


@click.command(epilog="\b\nExamples:\n  litellm-antigravity auth retry user1@gmail.com\n"
                      "  litellm-antigravity auth retry --all\n")  # fmt: skip
@click.argument("accounts", metavar="[ACCOUNT...]", nargs=-1, shell_complete=complete_accounts)
@click.option("--all", "everybody", is_flag=True, help="All accounts.")
def retry(accounts: tuple[str, ...], everybody: bool) -> None:
    """Use an account again, once you have verified it or an appeal was granted.

    Ends its cooldowns for every process on this machine, and what OpenCode has noted about a verification. If upstream
    still refuses it, the next request finds out.
    """
    from litellm_antigravity.cli.choosing import chosen
    from litellm_antigravity.cli.prose import on_screen
    from litellm_antigravity.pool import AccountPool
    from litellm_antigravity.upkeep import use_again

    if everybody == bool(accounts):
        msg = "say which accounts, or --all."
        raise click.UsageError(msg)
    pool = AccountPool()
    try:
        snapshot = pool.accounts.current()
        ended = use_again(pool, snapshot.accounts if everybody else chosen(snapshot, accounts))
    finally:
        pool.store.close()
    for account, cooldowns in ended:
        for line in _released(account, cooldowns, snapshot):
            click.echo(on_screen(line))


@click.command(epilog="\b\nExample:\n  litellm-antigravity auth remove user1@gmail.com\n")
@_ACCOUNTS
@_YES
def remove(accounts: tuple[str, ...], yes: bool) -> None:
    """Forget an account and its credential. Asks first.

    It stays away even if an OpenCode that still has it in memory writes it back. The sign-in itself stays valid with
    Google: revoke it at https://myaccount.google.com/connections.
    """
    from litellm_antigravity.cli.asking import confirm
    from litellm_antigravity.cli.choosing import chosen, name_of

    source, snapshot = _source()
    wanted = chosen(snapshot, accounts)
    if not yes:
        click.echo("\n".join(["To be removed:", *(f"  {name_of(account)}" for account in wanted)]))
        if not confirm(f"Remove {len(wanted)} account(s)?"):
            click.echo("Nothing was changed.")
            raise click.exceptions.Exit(1)
    for account in wanted:
        source.remove(account.id)
        click.echo(f"{name_of(account)} is removed.")


def _switch(words: Sequence[str], family: str | None, *, on: bool) -> None:
    from litellm_antigravity.cli.choosing import chosen, name_of
    from litellm_antigravity.cli.prose import on_screen
    from litellm_antigravity.upkeep import OPENCODE_DISABLES, switch

    source, snapshot = _source()
    for account in chosen(snapshot, words):
        name, for_family = name_of(account), "" if family is None else f" for {family}"
        if not switch(source, account, family, on=on):
            click.echo(f"{name} was {'enabled' if on else 'disabled'}{for_family} already.")
            continue
        click.echo(f"{name} is {'enabled' if on else 'disabled'}{for_family}.")
        if on and not account.enabled:
            click.echo(on_screen(OPENCODE_DISABLES))


def _source() -> tuple[AccountsFile, AccountsSnapshot]:
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.settings import Settings

    source = AccountsFile(Settings().accounts_file)
    return source, source.load()


def _released(account: Account, ended: Sequence[Cooldown], snapshot: AccountsSnapshot) -> Iterator[str]:
    from litellm_antigravity.accounts.file_cooldowns import VERIFICATION
    from litellm_antigravity.cli.choosing import name_of
    from litellm_antigravity.upkeep import OPENCODE_NOTES, needs_verification

    name = name_of(account)
    reasons = {one.reason for one in ended} | ({VERIFICATION} if needs_verification(account) else set())
    yield f"{name} is used again (it was out: {', '.join(sorted(reasons))})." if reasons else f"{name} was not out."
    if needs_verification(account):
        yield OPENCODE_NOTES
    if any(one.reason != VERIFICATION for one in account.cooldowns):
        yield f"What {snapshot.path} says of it stays in force; see `litellm-antigravity status`."
