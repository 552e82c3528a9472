"""``litellm-antigravity auth verify``: does each account still work?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from litellm_antigravity.accounts import Account
    from litellm_antigravity.catalog import AvailableModel, Catalogs, Check
    from litellm_antigravity.settings import Settings

_AT_ONCE = 8

_EPILOG = """\
\b
Examples:
  litellm-antigravity auth verify
  litellm-antigravity auth verify user1@gmail.com --json
"""


@click.command(epilog=_EPILOG)
@click.argument("accounts", metavar="[ACCOUNT...]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(accounts: tuple[str, ...], as_json: bool) -> None:
    """Try what each account needs: a new access token, its project, and the list of models.

    None of it takes from a quota. Ends with 1 if anything does not work for an account that is enabled.
    """
    import json

    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.catalog import Catalogs
    from litellm_antigravity.cli.auth_facts import saved_accounts
    from litellm_antigravity.cli.choosing import chosen
    from litellm_antigravity.cli.prose import on_screen
    from litellm_antigravity.settings import Settings

    settings = Settings()
    source = AccountsFile(settings.accounts_file)
    snapshot = source.load()
    wanted = chosen(snapshot, accounts) if accounts else snapshot.accounts
    numbers = {account.id: number for number, account in enumerate(snapshot.accounts, 1)}
    remarks = {one.id: one.out for one in saved_accounts(source, settings)[1]}
    catalogs = Catalogs(settings)
    checks = []
    try:
        for check in _checked(catalogs, wanted, settings):
            checks.append(check)
            for line in () if as_json else _lines(check, numbers[check.account.id], remarks.get(check.account.id)):
                click.echo(on_screen(line, hang=3))
    finally:
        catalogs.close()
    if as_json:
        click.echo(json.dumps({"accounts": [_as_json(check, numbers[check.account.id]) for check in checks]}, indent=2))
    if any(check.failed is not None and check.account.enabled for check in checks):
        raise click.exceptions.Exit(1)


def _checked(catalogs: Catalogs, accounts: Sequence[Account], settings: Settings) -> Iterator[Check]:
    """Yield one check per account, in order; several accounts are asked at the same time."""
    from concurrent.futures import ThreadPoolExecutor

    from litellm_antigravity.catalog import Check
    from litellm_antigravity.credentials.clients import clients_missing, needs_client

    def check(account: Account) -> Check:
        if needs_client(account, settings):  # the token endpoint need not be asked
            return Check(account, "token", clients_missing([account], settings))
        return catalogs.check(account)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(check, accounts)


def _lines(check: Check, number: int, out: str | None) -> Iterator[str]:
    from litellm_antigravity.cli.choosing import name_of
    from litellm_antigravity.masking import shown

    name = f"{number}. {name_of(check.account)}"
    off = "" if check.account.enabled else ", but it is disabled"
    if check.failed is None:
        what = f"token, project {shown(check.project or '')}, {len(check.models)} models ({_left(check.models)})"
        yield f"{name}: works{off}: {what}."
        if out is not None and check.account.enabled:
            yield f"   It is not used now ({shown(out)}): litellm-antigravity auth retry {number}"
        return
    yield f"{name}: does not work{off}. {_STEPS[check.failed]}: {shown(check.problem or '')}"
    if check.url is not None:
        yield f"   Open {shown(check.url)}"
    if check.failed == "token" and "invalid_grant" in (check.problem or ""):
        yield "   Sign in again: litellm-antigravity auth login"


_STEPS = {"token": "No access token", "project": "No project", "models": "No list of models"}


def _left(models: Sequence[AvailableModel]) -> str:
    """Return what is left of each family's quota: the least that upstream names for one of its models."""
    import math

    from litellm_antigravity.models import FAMILIES, family_of

    said = []
    for family in FAMILIES:
        parts = [one.remaining for one in models if one.remaining is not None and family_of(one.name) == family]
        said.append(f"{family}: {math.floor(min(parts) * 100)} % left" if parts else f"{family}: left not said")
    return ", ".join(said)


def _as_json(check: Check, number: int) -> dict[str, Any]:
    account = check.account
    return {
        "number": number,
        "email": account.email,
        "id": account.id,
        "enabled": account.enabled,
        "works": check.failed is None,
        "failed": check.failed,
        "problem": check.problem,
        "url": check.url,
        "project": check.project,
        "models": [one.name for one in check.models],
    }


__all__ = ["verify"]
