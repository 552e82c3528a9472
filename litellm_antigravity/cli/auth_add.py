"""``litellm-antigravity auth add``: an account whose tokens come from a file or a command, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import SecretStr

    from litellm_antigravity.accounts import Account, Credential
    from litellm_antigravity.settings import Settings
    from litellm_antigravity.wire.http import HttpClients

_FILE = click.Path(path_type=Path)

_EPILOG = """\
\b
Examples:
  litellm-antigravity auth add --authorized-user ~/.config/gcloud/application_default_credentials.json
  litellm-antigravity auth add --service-account key.json --project my-project
  litellm-antigravity auth add --email me@example.com --command gcloud auth print-access-token
"""


@click.command("add", epilog=_EPILOG, context_settings={"ignore_unknown_options": True})
@click.option("--authorized-user", type=_FILE, metavar="FILE", help="What gcloud auth application-default login wrote.")
@click.option("--service-account", type=_FILE, metavar="FILE", help="A service account's key. Takes google-auth.")
@click.option("--command", "is_command", is_flag=True, help="The words that follow are run, and print a token.")
@click.option("--email", metavar="EMAIL", help="Whose it is; by default whoever Google says.")
@click.option("--project", metavar="ID", help="The project to book requests on; by default the one Google names.")
@click.option("--label", metavar="NAME", help="What to call the account in logs and answers.")
@click.option("--accounts-file", type=_FILE, metavar="PATH", help="Where to keep it; by default beside the settings.")
@click.option("--no-check", is_flag=True, help="Save it without fetching a token first.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def add(
    authorized_user: Path | None,
    service_account: Path | None,
    is_command: bool,
    email: str | None,
    project: str | None,
    label: str | None,
    accounts_file: Path | None,
    no_check: bool,
    words: tuple[str, ...],
) -> None:
    """Add an account whose tokens come from a file of Google's or from a command.

    A file stays where it is, and is read whenever a token is needed; so is a command run, without a shell. A token is
    fetched first to see that it works. Such accounts are kept beside the accounts file, where
    opencode-antigravity-auth leaves them alone.
    """
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.settings import Settings

    credential, entry = _credential(authorized_user, service_account, words if is_command else None)
    if words and not is_command:
        msg = f"Got unexpected extra argument ({words[0]})"
        raise click.UsageError(msg)
    settings = Settings()
    chosen = {"email": email or entry.get("email"), "projectId": project or entry.get("projectId"), "label": label}
    entry |= {name: value for name, value in chosen.items() if value}
    if not no_check:
        entry |= _found_out(entry, credential, settings)
    file = AccountsFile(accounts_file or settings.accounts_file)
    account = file.add(entry)
    from litellm_antigravity.cli.choosing import name_of

    where = f", project {account.project}" if account.project else ""
    click.echo(f"Added {name_of(account)}{where}.")
    click.echo(f"{len(file.load().accounts)} account(s) saved; this one in {file.companion}.")


def _credential(
    authorized_user: Path | None, service_account: Path | None, command: tuple[str, ...] | None
) -> tuple[Credential, dict[str, Any]]:
    """Return the credential, and what the entry holds because of it."""
    from litellm_antigravity.accounts import AuthorizedUser, ServiceAccount, TokenCommand
    from litellm_antigravity.credentials.key_file import read_service_account

    if sum(one is not None for one in (authorized_user, service_account, command)) != 1:
        msg = "Name one of --authorized-user FILE, --service-account FILE and --command PROGRAM ARGUMENT..."
        raise click.UsageError(msg)
    if authorized_user is not None:
        path = authorized_user.expanduser().absolute()
        return AuthorizedUser(path), {"authorizedUserFile": str(path)}
    if service_account is not None:
        path = service_account.expanduser().absolute()
        key = read_service_account(path)
        project = key.get("project_id")
        named = {"projectId": project} if isinstance(project, str) and project else {}
        return ServiceAccount(path), {"serviceAccountFile": str(path), "email": key["client_email"], **named}
    if not command:
        msg = "--command takes a program and its arguments"
        raise click.UsageError(msg)
    return TokenCommand(command), {"tokenCommand": list(command)}


def _found_out(entry: dict[str, Any], credential: Credential, settings: Settings) -> dict[str, Any]:
    """Fetch a token, and return what it tells of the account that nobody has said yet."""
    from litellm_antigravity.accounts import Account
    from litellm_antigravity.credentials.sources import fetch
    from litellm_antigravity.errors import CredentialError
    from litellm_antigravity.login.exchange import TIMEOUT_SECONDS
    from litellm_antigravity.wire.http import HttpClients

    http = HttpClients()
    try:
        account = Account.create(entry.get("email"), credential, project_id=entry.get("projectId"))
        try:
            token = fetch(account, settings, http.sync(), TIMEOUT_SECONDS).token
        except CredentialError as error:
            msg = f"{str(error).rstrip('.')}. Nothing has changed; --no-check saves it all the same."
            raise click.ClickException(msg) from None
        return _told(account, token, settings, http)
    finally:
        http.close()


def _told(account: Account, token: SecretStr, settings: Settings, http: HttpClients) -> dict[str, Any]:
    from litellm_antigravity.clock import SystemClock
    from litellm_antigravity.errors import SignInError
    from litellm_antigravity.login.exchange import email_of
    from litellm_antigravity.login.saving import project_of

    found: dict[str, Any] = {}
    if account.email is None:
        try:
            found["email"] = email_of(token, settings, http.sync())
        except SignInError as error:
            click.echo(f"Warning: it has no e-mail yet: {error} Name one with --email.", err=True)
    if account.project is None:
        project, why_not = project_of(account, token, settings, http, SystemClock())
        if project:
            found["managedProjectId"] = project
        elif why_not is not None:
            click.echo(f"Warning: its project is not known yet: {why_not}", err=True)
    return found
