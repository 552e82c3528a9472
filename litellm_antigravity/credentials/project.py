"""The Google Cloud project that an account's requests are booked on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import SecretStr

from litellm_antigravity.accounts import Account
from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import CredentialError, RequestRefusedError
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals import Fault, timeout_refusal
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.wire.cloudcode import LOAD_CODE_ASSIST, CloudCode
from litellm_antigravity.wire.http import HttpClients

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
        self._store = store
        self._upstream = CloudCode(settings, clients, clock)
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
        """Ask ``loadCodeAssist`` and share the answer."""
        timeout = min(ends - self._clock.monotonic(), _TIMEOUT_SECONDS)
        if timeout <= 0:
            raise RequestRefusedError(timeout_refusal("the project was to be asked for"))
        try:
            fields = self._upstream.ask(LOAD_CODE_ASSIST, {"metadata": _METADATA}, token, timeout=timeout)
        except RequestRefusedError as error:
            # What would be the request's or the model's is the account's here.
            if error.refusal.kind.meaning.fault not in (Fault.REQUEST, Fault.UPSTREAM):
                raise
            msg = f"{account.label}: upstream does not tell its project: {error.refusal.message}"
            raise CredentialError(msg) from None
        project = _project_in(fields)
        if project is None:
            msg = (
                f"{account.label}: upstream names no project for it (loadCodeAssist answered without "
                'cloudaicompanionProject). Finish its set-up in Google\'s own client, or put its "projectId" into the '
                "accounts file."
            )
            raise CredentialError(msg)
        note = {"project": project, "credential": account.credential.fingerprint, "at": self._clock.time()}
        self._store.write_note(f"project/{account.id}", note)
        return project


def _project_in(fields: Mapping[str, object]) -> str | None:
    """Return the project: a string or ``{"id"}`` (docs/upstream.md, "Hosts and paths")."""
    project = fields.get("cloudaicompanionProject")
    if isinstance(project, dict):
        project = project.get("id")
    return project if isinstance(project, str) and project and not SECRETS.holds(project) else None
