"""``doctor``: the accounts file, and the OAuth client that its refresh tokens need."""

from __future__ import annotations

from collections.abc import Iterator

from litellm_antigravity.accounts import AccountsFile, AccountsSnapshot
from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.credentials.clients import clients_missing, needs_client
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.places import spell_path


def read_accounts(settings: Settings) -> AccountsSnapshot | AccountsFileError:
    """Return the accounts, or why there are none."""
    try:
        return AccountsFile(settings.accounts_file).load()
    except AccountsFileError as error:
        return error


def check_accounts(accounts: AccountsSnapshot | AccountsFileError, settings: Settings) -> Iterator[Finding]:
    """Yield how the accounts file and the clients are."""
    if isinstance(accounts, AccountsFileError):
        yield Finding("accounts file", "failed", str(accounts))
        yield Finding("OAuth client", "skipped", "No account to have one for.")
        return
    enabled, place = len(accounts.enabled), spell_path(accounts.path)
    disabled = len(accounts.accounts) - enabled
    told = f"{enabled} account(s) enabled" + (f", {disabled} disabled" if disabled else "") + f", in {place}."
    if enabled:
        yield Finding("accounts file", "ok", told)
    else:
        yield Finding("accounts file", "failed", told, "Type `litellm-antigravity auth enable EMAIL`.")
    for warning in accounts.warnings:
        yield Finding("accounts file", "warning", warning)
    missing = clients_missing(accounts.enabled, settings)
    if missing is None:
        yield Finding("OAuth client", "ok", "Every account has what its credential needs.")
    else:
        none_has = all(needs_client(one, settings) for one in accounts.enabled)
        yield Finding("OAuth client", "failed" if none_has else "warning", missing)
