"""From an authorization code to a refresh token and the e-mail of who signed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

from litellm_antigravity.accounts.client import OAuthClient
from litellm_antigravity.accounts.credential import may_be_token
from litellm_antigravity.credentials.token_replies import error_code, json_object, token_in
from litellm_antigravity.errors import SignInError
from litellm_antigravity.login.authorization import CLOUD_PLATFORM, AuthorizationRequest
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals.messages import clean_name
from litellm_antigravity.settings import Settings
from litellm_antigravity.wire.asking import Answer, ask
from litellm_antigravity.wire.reading import TooLongError

TIMEOUT_SECONDS = 30.0
"""How long each question may take."""

_AGAIN = "Nothing has changed; run the command again."


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a sign-in gave.

    Attributes:
        email: of whoever signed in.
        refresh_token: good with the client that asked, and no other.
        access_token: to ask upstream with, at once.
    """

    email: str = field(repr=False)
    refresh_token: SecretStr
    access_token: SecretStr


def finish(
    request: AuthorizationRequest, code: SecretStr, oauth_client: OAuthClient, settings: Settings, http: httpx.Client
) -> SignedIn:
    """Redeem an authorization code, and ask who has signed in.

    Args:
        request: the question that the code answers.
        code: of the answer.
        oauth_client: that asked.
        settings: for ``token_url`` and ``userinfo_url``.
        http: for both questions.

    Raises:
        SignInError: when either cannot be had.
    """
    fields = _redeemed(request, code, oauth_client, settings, http)
    access, _ = token_in(fields)
    if access is None:
        msg = f"The token endpoint at {_host(settings.token_url)} answered without an access token. {_AGAIN}"
        raise SignInError(msg)
    SECRETS.remember(access.get_secret_value(), passes=True)
    granted = fields.get("scope")
    if isinstance(granted, str) and CLOUD_PLATFORM not in granted.split():
        msg = (
            "The sign-in was allowed, but not the use of Google Cloud, without which no request can be made. "
            "Sign in again, and leave every box on the page ticked."
        )
        raise SignInError(msg)
    refresh = fields.get("refresh_token")
    if not isinstance(refresh, str) or not may_be_token(refresh) or "|" in refresh:
        msg = (
            "The token endpoint gave no refresh token. Remove this client's access at "
            "https://myaccount.google.com/connections and sign in again."
        )
        raise SignInError(msg)
    SECRETS.remember(refresh)
    return SignedIn(email_of(access, settings, http), SecretStr(refresh), access)


def email_of(token: SecretStr, settings: Settings, http: httpx.Client) -> str:
    """Return the e-mail of an access token's account.

    Asks the userinfo endpoint (OpenID Connect Core 1.0, section 5.3); the claims are ``email`` and ``email_verified``.

    Args:
        token: with the scope ``userinfo.email``.
        settings: for ``userinfo_url``.
        http: for the question.

    Raises:
        SignInError: when it does not say.
    """
    answer = _ask(
        http,
        settings.userinfo_url,
        "userinfo endpoint",
        method="GET",
        headers={"authorization": f"Bearer {token.get_secret_value()}", **_headers(settings)},
    )
    email = json_object(answer.content).get("email") if answer.status == 200 else None
    if not isinstance(email, str) or "@" not in email or not email.isprintable() or len(email) > 320:
        host = _host(settings.userinfo_url)
        msg = f"The userinfo endpoint at {host} does not say who has signed in (HTTP {answer.status}). {_AGAIN}"
        raise SignInError(msg)
    return email.strip()


def _redeemed(
    request: AuthorizationRequest, code: SecretStr, oauth_client: OAuthClient, settings: Settings, http: httpx.Client
) -> Mapping[str, object]:
    """Return the reply to a code: RFC 6749, section 4.1.3, with the verifier of RFC 7636, section 4.5."""
    form = {
        "grant_type": "authorization_code",
        "code": code.get_secret_value(),
        "redirect_uri": request.redirect_uri,
        "client_id": oauth_client.client_id,
        "code_verifier": request.verifier.get_secret_value(),
    }
    if oauth_client.client_secret is not None:
        form["client_secret"] = oauth_client.client_secret.get_secret_value()
    answer = _ask(http, settings.token_url, "token endpoint", form=form, headers=_headers(settings))
    fields = json_object(answer.content)
    if answer.status != 200:
        raise _refused(error_code(fields), answer.status, oauth_client, _host(settings.token_url))
    return fields


def _refused(code: object, status: int, oauth_client: OAuthClient, host: str) -> SignInError:
    if code == "invalid_client":
        return SignInError(
            f"The token endpoint at {host} does not know the OAuth client of {oauth_client.source}, or its secret is "
            "another one. Download its JSON again."
        )
    if code == "invalid_grant":
        return SignInError(f"The token endpoint at {host} says that the answer has expired or was used. {_AGAIN}")
    word = clean_name(code)
    said = f"HTTP {status}" if word is None else f"HTTP {status}, {word}"
    return SignInError(f"The token endpoint at {host} refused the sign-in ({said}). {_AGAIN}")


def _ask(
    http: httpx.Client,
    url: str,
    name: str,
    *,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None = None,
    method: str = "POST",
) -> Answer:
    try:
        return ask(http, url, headers=headers, timeout=TIMEOUT_SECONDS, form=form, method=method)
    except httpx.TimeoutException:
        problem = f"did not answer within {TIMEOUT_SECONDS:.0f} s"
    except (TooLongError, httpx.DecodingError):
        problem = "gives an answer that cannot be read"
    except httpx.HTTPError as error:
        problem = f"cannot be reached ({type(error).__name__})"
    # Raised out here: the exceptions hold the request.
    msg = f"The {name} at {_host(url)} {problem}. {_AGAIN}"
    raise SignInError(msg)


def _headers(settings: Settings) -> dict[str, str]:
    return {"user-agent": settings.user_agent, "accept": "application/json"}


def _host(url: str) -> str:
    return httpx.URL(url).host
