"""The Google Cloud project that an account's requests are booked on."""

from __future__ import annotations

import json
import math

import httpx
from pydantic import SecretStr

from litellm_antigravity.accounts import Account
from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import CredentialError, RequestRefusedError
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals import (
    Fault,
    connection_refusal,
    parse_refusal,
    timeout_refusal,
    unreadable_refusal,
)
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.wire.asking import Answer, ask
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.reading import TooLongError

_TIMEOUT_SECONDS = 15.0

# Values that every such enum of Google's has for "not said"; we do not pretend to be an editor.
_METADATA = {
    "ideType": "IDE_UNSPECIFIED",
    "platform": "PLATFORM_UNSPECIFIED",
    "pluginType": "PLUGIN_UNSPECIFIED",
}


class Projects:
    """Finds projects: from the account, else what another process found, else from upstream, once per host."""

    def __init__(self, settings: Settings, store: Ledger, clients: HttpClients, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._clock = clock
        self._known: dict[tuple[str, str], str] = {}

    def ready(self, account: Account) -> str | None:
        """Return the project if this process knows it already; touches nothing outside the process."""
        return account.project or self._known.get((account.id, account.credential.fingerprint))

    def project(self, account: Account, token: SecretStr, timeout: float = math.inf) -> str:
        """Return the account's project.

        Args:
            account: whose.
            token: its access token.
            timeout: seconds that the caller can wait.

        Raises:
            CredentialError: when upstream names no project for the account.
            RequestRefusedError: when upstream refuses the question.
        """
        known = self.ready(account) or self._shared(account)
        if known is not None:
            return known
        ends = self._clock.monotonic() + timeout
        with self._store.exclusive(f"project:{account.id}", timeout=min(timeout, 2 * _TIMEOUT_SECONDS)):
            # Without the lock the question is merely asked twice.
            found = self._shared(account) or self._ask(account, token, ends)
            self._known[account.id, account.credential.fingerprint] = found
            return found

    def _shared(self, account: Account) -> str | None:
        note = self._store.read_note(f"project/{account.id}") or {}
        project = note.get("project")
        if note.get("credential") != account.credential.fingerprint or not isinstance(project, str) or not project:
            return None
        self._known[account.id, account.credential.fingerprint] = project
        return project

    def _ask(self, account: Account, token: SecretStr, ends: float) -> str:
        """Ask ``v1internal:loadCodeAssist`` (UPSTREAM, F2) and share the answer."""
        timeout = min(ends - self._clock.monotonic(), _TIMEOUT_SECONDS)
        if timeout <= 0:
            raise RequestRefusedError(timeout_refusal("the project was to be asked for"))
        try:
            answer = ask(
                self._clients.sync(),
                f"{self._settings.endpoint}/v1internal:loadCodeAssist",
                json={"metadata": _METADATA},
                headers={
                    "authorization": f"Bearer {token.get_secret_value()}",
                    "user-agent": self._settings.user_agent,
                },
                timeout=timeout,
            )
        except httpx.TimeoutException:
            raise RequestRefusedError(timeout_refusal("the project was asked for")) from None
        except (TooLongError, httpx.DecodingError):
            raise RequestRefusedError(unreadable_refusal()) from None
        except httpx.HTTPError as error:
            host = httpx.URL(self._settings.endpoint).host
            raise RequestRefusedError(connection_refusal(error, host=host)) from None
        if answer.status != 200:
            raise self._refused(account, answer)
        project = _project_in(answer.content)
        if project is None:
            msg = (
                f"{account.label}: upstream names no project for it (loadCodeAssist answered without "
                'cloudaicompanionProject). Finish its set-up in Google\'s own client, or put its "projectId" into the '
                "accounts file."
            )
            raise CredentialError(msg)
        fields = {"project": project, "credential": account.credential.fingerprint, "at": self._clock.time()}
        self._store.write_note(f"project/{account.id}", fields)
        return project

    def _refused(self, account: Account, answer: Answer) -> Exception:
        """Return the error for a refusal. Those that would be the request's or the model's are the account's here."""
        refusal = parse_refusal(answer.status, answer.headers, answer.content, now=self._clock.time())
        if refusal.kind.meaning.fault in (Fault.REQUEST, Fault.UPSTREAM):
            return CredentialError(f"{account.label}: upstream does not tell its project: {refusal.message}")
        return RequestRefusedError(refusal)


def _project_in(body: bytes) -> str | None:
    """Return the project: ``cloudaicompanionProject`` is a string or ``{"id"}`` (UPSTREAM, F2)."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    project = fields.get("cloudaicompanionProject") if isinstance(fields, dict) else None
    if isinstance(project, dict):
        project = project.get("id")
    return project if isinstance(project, str) and project and not SECRETS.holds(project) else None
