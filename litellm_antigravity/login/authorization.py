"""The question to the user, which the browser carries to the authorization endpoint, and the answer it carries back.

Parameters are those of "OAuth 2.0 for desktop apps" (developers.google.com/identity/protocols/oauth2/native-app): with
``access_type=offline`` a refresh token is given, with ``prompt=consent`` also when the user has agreed before.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import SecretStr

from litellm_antigravity.errors import SignInError
from litellm_antigravity.login.pkce import METHOD, challenge_of, new_verifier
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals.messages import clean_name

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
"""What requests to Cloud Code and Vertex AI need."""

SCOPES = ("openid", "https://www.googleapis.com/auth/userinfo.email", CLOUD_PLATFORM)
"""What is asked for: who signs in (the first two, for the userinfo endpoint), and `CLOUD_PLATFORM`."""

_LONGEST_CODE = 2048
_LONGEST_ANSWER = 16_384


class WrongAnswerError(SignInError):
    """What came back is no answer to this question: another sign-in's, or something else altogether."""


@dataclass(frozen=True, slots=True, repr=False)
class AuthorizationRequest:
    """One question, good for one sign-in.

    Attributes:
        url: the page that asks the user.
        redirect_uri: where the browser takes the answer.
        state: tells the answer to this question from any other.
        verifier: proves to the token endpoint that whoever redeems the answer is who asked.
    """

    url: str
    redirect_uri: str
    state: str
    verifier: SecretStr

    @classmethod
    def new(cls, auth_url: str, client_id: str, redirect_uri: str) -> AuthorizationRequest:
        """Return a new question, with a state and a verifier of its own.

        Args:
            auth_url: the authorization endpoint.
            client_id: of the user's own OAuth client.
            redirect_uri: on loopback.
        """
        state, verifier = secrets.token_urlsafe(32), new_verifier()
        SECRETS.remember(verifier)
        fields = {
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": " ".join(SCOPES),
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": METHOD,
            "state": state,
            "access_type": "offline",
            "prompt": "consent",
        }
        return cls(f"{auth_url}?{urlencode(fields)}", redirect_uri, state, SecretStr(verifier))

    def is_answered_by(self, answer: str) -> bool:
        """Return whether an answer belongs to this question, be it a yes or a no."""
        fields = _fields_of(answer)
        same = hmac.compare_digest(fields.get("state", "").encode(), self.state.encode())
        return same and ("error" in fields or "code" in fields)

    def code_in(self, answer: str) -> SecretStr:
        """Return the authorization code of an answer (RFC 6749, section 4.1.2).

        Args:
            answer: the address that the browser was sent to, or its query alone.

        Raises:
            WrongAnswerError: when it does not belong to this question; another one may still come.
            SignInError: when the user, or the authorization endpoint, has said no.
        """
        fields = _fields_of(answer)
        if not hmac.compare_digest(fields.get("state", "").encode(), self.state.encode()):
            what = "belongs to another sign-in" if fields.get("state") else "is none of that page's"
            msg = f"That answer {what}. Take the whole address that the browser shows after you have agreed."
            raise WrongAnswerError(msg)
        if "error" in fields:
            raise _refused(fields["error"])
        code = fields.get("code", "")
        if not 0 < len(code) <= _LONGEST_CODE:
            msg = 'That answer has no "code". Take the whole address that the browser shows after you have agreed.'
            raise WrongAnswerError(msg)
        SECRETS.remember(code)
        return SecretStr(code)


def _fields_of(answer: str) -> Mapping[str, str]:
    """Return the query of an address as terminals and mails hand it on: with quotes, brackets, or line breaks in it."""
    text = "".join(answer[:_LONGEST_ANSWER].split()).strip("\"'<>")
    try:
        query = urlsplit(text).query
    except ValueError:
        query = ""
    # Of a name that comes twice, the first: what is appended to an address does not count.
    return dict(reversed(parse_qsl(query or text.lstrip("?"), keep_blank_values=True)))


def _refused(error: str) -> SignInError:
    if error == "access_denied":
        return SignInError("The sign-in was declined in the browser. Nothing has changed.")
    word = clean_name(error)
    return SignInError(f"The authorization endpoint refused the sign-in ({word or 'no reason given'}).")
