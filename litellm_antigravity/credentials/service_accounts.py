"""Access tokens of Google service accounts, by ``google-auth`` (the extra ``vertex``)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone

import httpx
from pydantic import SecretStr

from litellm_antigravity.accounts import Account, ServiceAccount
from litellm_antigravity.accounts.credential import may_be_token
from litellm_antigravity.credentials.key_file import read_service_account
from litellm_antigravity.credentials.token_replies import DEFAULT_LIFETIME_SECONDS
from litellm_antigravity.errors import CredentialError
from litellm_antigravity.settings import Settings
from litellm_antigravity.wire.asking import ask
from litellm_antigravity.wire.reading import TooLongError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def service_account_token(
    account: Account, credential: ServiceAccount, settings: Settings, client: httpx.Client, timeout: float
) -> tuple[SecretStr, float]:
    """Return an access token and the seconds until it expires.

    The token endpoint is that of the settings: the one in the file is passed over, as it is for every other credential.

    Args:
        account: whose.
        credential: where its key is.
        settings: for ``token_url``.
        client: for the token endpoint.
        timeout: seconds that this may take.

    Raises:
        CredentialError: when it cannot be had.
    """
    try:
        from google.auth import exceptions
        from google.oauth2 import service_account
    except ImportError:
        msg = (
            f"{account.label}: service accounts take the package google-auth: "
            "pip install 'litellm-antigravity[vertex]'."
        )
        raise CredentialError(msg, retryable=False) from None
    fields = {**read_service_account(credential.path), "token_uri": settings.token_url}
    host = httpx.URL(settings.token_url).host
    try:
        signer = service_account.Credentials.from_service_account_info(fields, scopes=[SCOPE])
        signer.refresh(_Transport(client, timeout))
        token, expiry = signer.token, signer.expiry
    except exceptions.TransportError as error:
        problem = f"cannot reach the token endpoint at {host} ({error})"
    except exceptions.RefreshError as error:
        word = error.args[0] if error.args and isinstance(error.args[0], str) else "no reason given"
        problem = f"the token endpoint at {host} refuses the key in {credential.path} ({word[:120]})"
    except (exceptions.GoogleAuthError, ValueError):
        problem = f"the key in {credential.path} cannot be used; make a new one"
    else:
        if isinstance(token, str) and may_be_token(token):
            return SecretStr(token), _seconds_until(expiry)
        problem = f"the token endpoint at {host} answered without an access token"
    # Raised out here: google-auth's exceptions hold what the endpoint said.
    msg = f"{account.label}: {problem}"
    raise CredentialError(msg)


def _seconds_until(expiry: datetime | None) -> float:
    """Return the seconds until a moment; google-auth's are in UTC and say nothing of it."""
    if expiry is None:
        return DEFAULT_LIFETIME_SECONDS
    left = (expiry.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds()
    return left if left > 0 else DEFAULT_LIFETIME_SECONDS


class _Answered:
    """What google-auth wants of an answer (``google.auth.transport.Response``)."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class _Transport:
    """Sends google-auth's requests with our client, all of them within one time limit."""

    def __init__(self, client: httpx.Client, timeout: float) -> None:
        self._client = client
        self._ends = time.monotonic() + timeout

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - google-auth's signature; ours is over all
        **_: object,
    ) -> _Answered:
        from google.auth import exceptions

        left = self._ends - time.monotonic()
        if left <= 0:
            raise exceptions.TransportError("no time was left")
        problem = None
        try:
            answer = ask(self._client, url, headers=headers or {}, timeout=left, content=body, method=method)
            return _Answered(answer.status, answer.headers, answer.content)
        except (httpx.HTTPError, TooLongError) as error:
            problem = type(error).__name__
        raise exceptions.TransportError(problem)
