"""Where an access token comes from: one function per kind of credential. Nothing is cached here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from litellm_antigravity.accounts import (
    Account,
    AuthorizedUser,
    RefreshToken,
    ServiceAccount,
    StaticToken,
    TokenCommand,
)
from litellm_antigravity.accounts.credential import may_be_token
from litellm_antigravity.credentials.clients import NEEDS_CLIENT, client_for, why_and_how
from litellm_antigravity.credentials.token_replies import DEFAULT_LIFETIME_SECONDS, error_code, json_object, token_in
from litellm_antigravity.errors import CredentialError, GrantRevokedError
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals.messages import clean_name
from litellm_antigravity.settings import Settings
from litellm_antigravity.wire.asking import ask
from litellm_antigravity.wire.reading import TooLongError

COMMAND_TIMEOUT_SECONDS = 30.0
"""A token command that takes longer hangs, most likely because it waits for somebody to answer a question."""

_LONGEST_CODE = 60  # characters; OAuth's have up to 25


@dataclass(frozen=True, slots=True)
class Grant:
    """What a source gave.

    Attributes:
        token: the access token.
        lifetime: seconds until it expires.
        refresh_token: a new refresh token that replaces the one that was used; ``None`` to keep the old one.
    """

    token: SecretStr
    lifetime: float
    refresh_token: SecretStr | None = None

    def __post_init__(self) -> None:
        SECRETS.remember(self.token.get_secret_value(), passes=True)
        if self.refresh_token is not None:
            SECRETS.remember(self.refresh_token.get_secret_value())


def fetch(account: Account, settings: Settings, client: httpx.Client, timeout: float) -> Grant:
    """Get a new access token for an account.

    Args:
        account: whose.
        settings: for the token endpoint and the OAuth client.
        client: for the token endpoint.
        timeout: seconds that this may take.

    Raises:
        GrantRevokedError: when the token endpoint answers ``invalid_grant``.
        CredentialError: for everything else that keeps the token from coming.
    """
    credential = account.credential
    if isinstance(credential, StaticToken):
        return Grant(credential.token, DEFAULT_LIFETIME_SECONDS)
    if isinstance(credential, TokenCommand):
        return _from_command(account, credential, timeout)
    if isinstance(credential, ServiceAccount):
        from litellm_antigravity.credentials.service_accounts import service_account_token

        return Grant(*service_account_token(account, credential, settings, client, timeout))
    if isinstance(credential, AuthorizedUser):
        return _refreshed(account, _authorized_user_form(account, credential), settings, client, timeout)
    return _refreshed(account, _refresh_form(account, credential, settings), settings, client, timeout)


def _refresh_form(account: Account, credential: RefreshToken, settings: Settings) -> dict[str, str]:
    client = client_for(account, settings)
    if client is None:
        raise CredentialError(f"{account.label}: {NEEDS_CLIENT}. {why_and_how(account)}", retryable=False)
    secret = client.client_secret
    return _form(client.client_id, secret.get_secret_value() if secret else None, credential.token)


def _authorized_user_form(account: Account, credential: AuthorizedUser) -> dict[str, str]:
    """Return the form for a file as ``gcloud auth application-default login`` writes it."""
    path = credential.path
    try:
        fields = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        remedy = "Write it with `gcloud auth application-default login`."
        msg = f"{account.label}: cannot read {path}: {error.strerror}. {remedy}"
        raise CredentialError(msg) from None
    except (ValueError, RecursionError):
        msg = f"{account.label}: {path} is not JSON. Write it again with `gcloud auth application-default login`."
        raise CredentialError(msg) from None
    wanted = ("client_id", "client_secret", "refresh_token")
    if not isinstance(fields, dict) or fields.get("type") != "authorized_user":
        msg = f'{account.label}: {path} is not an authorized_user file ("type": "authorized_user" is missing)'
        raise CredentialError(msg)
    missing = [name for name in wanted if not isinstance(fields.get(name), str) or not fields[name]]
    if missing:
        msg = f"{account.label}: {path} lacks {', '.join(missing)}"
        raise CredentialError(msg)
    return _form(fields["client_id"], fields["client_secret"], SecretStr(fields["refresh_token"]))


def _form(client_id: str, client_secret: str | None, refresh_token: SecretStr) -> dict[str, str]:
    """Return the form of RFC 6749, section 6."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token.get_secret_value(),
        "client_id": client_id,
    }
    if client_secret is not None:
        form["client_secret"] = client_secret
        SECRETS.remember(client_secret)
    SECRETS.remember(form["refresh_token"])  # not only when it was read: it counts as new, see `KnownSecrets`
    return form


def _refreshed(
    account: Account, form: Mapping[str, str], settings: Settings, client: httpx.Client, timeout: float
) -> Grant:
    host = httpx.URL(settings.token_url).host
    try:
        answer = ask(
            client,
            settings.token_url,
            headers={"user-agent": settings.user_agent, "accept": "application/json"},
            timeout=timeout,
            form=form,
        )
    except httpx.TimeoutException:
        msg = f"{account.label}: the token endpoint at {host} did not answer within {timeout:.3g} s"
        raise CredentialError(msg) from None
    except (TooLongError, httpx.DecodingError):
        msg = f"{account.label}: what the token endpoint at {host} answers cannot be read; is `token_url` right?"
        raise CredentialError(msg) from None
    except httpx.HTTPError as error:
        msg = f"{account.label}: cannot reach the token endpoint at {host} ({type(error).__name__})"
        raise CredentialError(msg) from None
    fields = json_object(answer.content)
    if answer.status == 200:
        token, lifetime = token_in(fields)
        if token is not None:
            rotated = fields.get("refresh_token")
            keeps = not isinstance(rotated, str) or not rotated or rotated == form["refresh_token"]
            return Grant(token, lifetime, None if keeps else SecretStr(str(rotated)))
        msg = f"{account.label}: the token endpoint at {host} answered without an access token; is `token_url` right?"
        raise CredentialError(msg)
    raise _oauth_error(account, fields, answer.status, host)


def _oauth_error(account: Account, fields: Mapping[str, object], status: int, host: str) -> CredentialError:
    """Return the error for a refusal of the token endpoint: RFC 6749 section 5.2, or Google's own error object."""
    code = error_code(fields)
    if code == "invalid_grant":
        program = "gcloud auth application-default login"
        if isinstance(account.credential, RefreshToken):
            program = "litellm-antigravity auth login"
        return GrantRevokedError(
            f"{account.label}: the token endpoint says invalid_grant, so its sign-in is no longer valid (revoked, "
            f"expired, or issued to another OAuth client). Sign in again (`{program}`); it is used again as soon as "
            "its credential changes."
        )
    if code in ("invalid_client", "unauthorized_client"):
        said = f"{account.label}: the token endpoint at {host} says {code}."
        if isinstance(account.credential, AuthorizedUser):
            return CredentialError(
                f"{said} {account.credential.path} names a client that is not known, or not the one that its refresh "
                "token was issued to. Write it again with `gcloud auth application-default login`."
            )
        if account.oauth_client is not None:
            return CredentialError(
                f"{said} Check the `oauthClient` of its entry ({account.oauth_client.source}): it must be the client "
                "that its refresh token was issued to."
            )
        return CredentialError(
            f"{said} Check `oauth_client_id` and `oauth_client_secret`: both must belong to the client that the "
            "refresh token was issued to.",
            retryable=code == "unauthorized_client",  # another account's token may have been issued to it
        )
    word = clean_name(code)
    said = f" ({word})" if word is not None and len(word) <= _LONGEST_CODE else ""
    return CredentialError(f"{account.label}: the token endpoint at {host} answered HTTP {status}{said}")


def _from_command(account: Account, credential: TokenCommand, timeout: float) -> Grant:
    """Run a command that prints a token, or ``{"access_token", "expires_in"}``. Its output is never shown."""
    name = credential.argv[0]
    try:
        done = subprocess.run(  # noqa: S603 - no shell; the command comes from the user's own accounts file
            credential.argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=min(timeout, COMMAND_TIMEOUT_SECONDS),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{account.label}: token command {name!r} did not end within {error.timeout:.3g} s"
        raise CredentialError(msg) from None
    except OSError as error:
        msg = f"{account.label}: cannot run token command {name!r}: {error.strerror}"
        raise CredentialError(msg) from None
    if done.returncode != 0:
        msg = f"{account.label}: token command {name!r} ended with code {done.returncode}; run it by hand to see why"
        raise CredentialError(msg)
    token, lifetime = token_in(json_object(done.stdout))
    if token is None:
        token, lifetime = _plain_token(done.stdout), DEFAULT_LIFETIME_SECONDS
    if token is None:
        msg = (
            f"{account.label}: token command {name!r} printed neither a token on one line nor "
            '{"access_token": ..., "expires_in": ...}'
        )
        raise CredentialError(msg)
    return Grant(token, lifetime)


def _plain_token(output: bytes) -> SecretStr | None:
    text = output.decode("ascii", "replace").strip()
    # JSON without a token in it is no token, however it is spelt.
    return SecretStr(text) if may_be_token(text) and text[0] not in '{["' else None
