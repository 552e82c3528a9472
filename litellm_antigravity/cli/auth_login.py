"""``litellm-antigravity auth login``: an account more, by signing in with a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.stopping import stopped_by_signals

if TYPE_CHECKING:
    from pydantic import SecretStr

    from litellm_antigravity.accounts import Account, AccountsFile, OAuthClient
    from litellm_antigravity.login.authorization import AuthorizationRequest
    from litellm_antigravity.login.exchange import SignedIn
    from litellm_antigravity.settings import Settings
    from litellm_antigravity.wire.http import HttpClients

TERMS = """\
Google's Antigravity terms forbid third-party clients, and accounts have been suspended for using them; so may be the \
one that you sign in with here. AI Studio keys and Vertex AI projects are allowed, and work with this package as well.
"""

_TRIES = 3
_PATIENCE_SECONDS = 15 * 60.0

_EPILOG = """\
\b
Examples:
  litellm-antigravity auth login --client-secrets client_secret.json
  litellm-antigravity auth login --no-browser        over SSH, or in a container
"""


@click.command("login", epilog=_EPILOG)
@click.option(
    "--client-secrets",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your OAuth client, in Google's JSON form. It is kept with the account.",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and take the one that you are sent to.")
@click.option(
    "--accounts-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to keep the account; by default the file in the settings.",
)
@click.option("--yes", "-y", is_flag=True, help="Ask no questions: add one account to those that there are.")
def login(client_secrets: Path | None, no_browser: bool, accounts_file: Path | None, yes: bool) -> None:
    """Sign in with a Google account in a browser, and keep it in the accounts file.

    Takes an OAuth client of your own; without one it says how to make it. Whoever is in the file already is signed in
    anew. Until a sign-in is complete nothing is written, and Ctrl-C leaves nothing behind.
    """
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.cli.wrapping import wrapped
    from litellm_antigravity.login.clients import NO_CLIENT, client_to_ask_with
    from litellm_antigravity.settings import Settings

    settings = Settings()
    file = AccountsFile(accounts_file or settings.accounts_file)
    accounts = saved_accounts(file)
    oauth_client = client_to_ask_with(client_secrets, settings, accounts)
    if oauth_client is None:
        raise click.ClickException(wrapped(NO_CLIENT, beside=len("Error: ")))
    with stopped_by_signals():
        click.echo(wrapped(TERMS))
        fresh = not yes and _starts_over(accounts)
        while True:
            _add_one(file, oauth_client, settings, no_browser=no_browser, fresh=fresh)
            fresh = False
            if yes or not _wants_another():
                return


def saved_accounts(file: AccountsFile) -> tuple[Account, ...]:
    """Return the accounts in a file; none when it does not exist or holds none that can be used.

    Raises:
        AccountsFileError: when there is a file that is broken, which is never written over.
    """
    from litellm_antigravity.accounts.accounts_file import MissingFileError
    from litellm_antigravity.accounts.parsing import NoUsableAccountError

    try:
        return file.load().accounts
    except (MissingFileError, NoUsableAccountError):
        return ()


def _starts_over(accounts: tuple[Account, ...]) -> bool:
    """Ask once, before anything is done; return whether the accounts that there are have to go."""
    from litellm_antigravity.cli.asking import ask, confirm
    from litellm_antigravity.cli.choosing import numbered

    if not accounts:
        if not confirm("Go on?"):
            raise click.exceptions.Exit(1)
        return False
    click.echo(f"{len(accounts)} account(s) saved:")
    click.echo("\n".join(numbered(accounts)) + "\n")
    return ask("(a)dd new account(s) or (f)resh start? [a/f]", among=("a", "f")) == "f"


def _wants_another() -> bool:
    from litellm_antigravity.cli.asking import confirm

    return confirm("Add another account?")


def _add_one(
    file: AccountsFile, oauth_client: OAuthClient, settings: Settings, *, no_browser: bool, fresh: bool
) -> None:
    from litellm_antigravity.login.browser import can_open

    if not no_browser and not can_open():
        click.echo("No browser can be opened here: going on as with --no-browser.")
        no_browser = True
    request, code = (_by_hand if no_browser else _by_browser)(oauth_client, settings)
    from litellm_antigravity.login.exchange import finish  # httpx: while the user was busy, nobody waited for it
    from litellm_antigravity.wire.http import HttpClients

    http = HttpClients()
    try:
        signed_in = finish(request, code, oauth_client, settings, http.sync())
        _keep(file, signed_in, oauth_client, settings, http, fresh=fresh)
    finally:
        http.close()


def _by_browser(oauth_client: OAuthClient, settings: Settings) -> tuple[AuthorizationRequest, SecretStr]:
    from litellm_antigravity.cli.wrapping import wrapped
    from litellm_antigravity.login.authorization import AuthorizationRequest
    from litellm_antigravity.login.browser import open_page
    from litellm_antigravity.login.callback import listening

    with listening() as callback:
        request = AuthorizationRequest.new(settings.auth_url, oauth_client.client_id, callback.redirect_uri)
        click.echo(f"Your browser opens this page; choose the account there:\n\n{request.url}\n")
        click.echo(wrapped(f"Waiting for the answer at {callback.redirect_uri} (Ctrl-C stops)."))
        callback.expect(request.is_answered_by)
        open_page(request.url)
        return request, request.code_in(callback.wait(_PATIENCE_SECONDS))


def _by_hand(oauth_client: OAuthClient, settings: Settings) -> tuple[AuthorizationRequest, SecretStr]:
    from litellm_antigravity.cli.wrapping import wrapped
    from litellm_antigravity.login.authorization import AuthorizationRequest
    from litellm_antigravity.login.callback import redirect_uri

    request = AuthorizationRequest.new(settings.auth_url, oauth_client.client_id, redirect_uri())
    click.echo(f"{wrapped('Open this page in a browser, on any machine, and choose the account there:')}\n")
    click.echo(f"{request.url}\n")
    click.echo(wrapped("The browser then goes to a page of 127.0.0.1 that it cannot show. Copy its whole address."))
    code = None
    for tries_left in range(_TRIES - 1, -1, -1):
        code = code or _pasted(request, insist=not tries_left)
    assert code is not None  # noqa: S101 - the last try raises
    return request, code


def _pasted(request: AuthorizationRequest, *, insist: bool) -> SecretStr | None:
    """Return the code of what is pasted; ``None`` when that is no answer, which is said."""
    from litellm_antigravity.cli.asking import ask
    from litellm_antigravity.cli.wrapping import wrapped
    from litellm_antigravity.login.authorization import WrongAnswerError

    try:
        return request.code_in(ask("Paste the address here"))
    except WrongAnswerError as error:
        if insist:
            raise
        click.echo(wrapped(str(error)), err=True)
        return None


def _keep(
    file: AccountsFile,
    signed_in: SignedIn,
    oauth_client: OAuthClient,
    settings: Settings,
    http: HttpClients,
    *,
    fresh: bool,
) -> None:
    from litellm_antigravity.clock import SystemClock
    from litellm_antigravity.login.saving import account_of, entry_of, lift_revocation, project_of

    clock = SystemClock()
    known = {account.id for account in saved_accounts(file)}
    project, why_not = project_of(account_of(signed_in), signed_in.access_token, settings, http, clock)
    entry = entry_of(signed_in, oauth_client, project)
    account = file.replace_all([entry])[0] if fresh else file.add(entry)
    problem = lift_revocation(account, settings, clock)
    again = " again" if account.id in known and not fresh else ""
    accounts = saved_accounts(file)
    booked = next((one.project for one in accounts if one.id == account.id), None)
    where = f", project {booked}" if booked else ""
    click.echo(f"\nSigned in{again} as {account.email}{where}.")
    if why_not is not None:
        click.echo(f"Warning: its project is not known yet: {why_not}", err=True)
    if problem is not None:
        click.echo(f"Warning: the shared state was not told: {problem}", err=True)
    click.echo(f"{len(accounts)} account(s) saved in {file.path}.")
