"""Which models upstream has now, and how much of each is left: ``fetchAvailableModels``.

Its answer: docs/upstream.md, "Hosts and paths".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import SecretStr

from litellm_antigravity.accounts import Account, StaticToken
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.credentials.project import Projects
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.errors import CredentialError, RequestRefusedError
from litellm_antigravity.masking import shown
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals import RefusalKind, not_json_refusal
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.wire.cloudcode import FETCH_AVAILABLE_MODELS, CloudCode
from litellm_antigravity.wire.http import HttpClients

_TIMEOUT_SECONDS: Final = 15.0
_PATIENCE_SECONDS: Final = 30.0  # with all accounts together; somebody waits at a terminal
_MOST_MODELS: Final = 500
_LONGEST_NAME: Final = 200

# Rows for Google's own editor, which take no chats: its tab completion, and numbered experiments.
_INTERNAL: Final = re.compile(r"tab_.*|chat_\d+")


@dataclass(frozen=True, slots=True)
class AvailableModel:
    """A model as upstream tells of it, to one account.

    Attributes:
        name: what to ask for.
        title: what people call it; ``None`` when upstream does not say.
        remaining: the part of the quota that is left, from 0 to 1; ``None`` when upstream does not say. It leaves that
            out for drained pools, but for full ones too.
        resets_at: when the quota is full again, in epoch seconds; ``None`` when upstream does not say.
    """

    name: str
    title: str | None = None
    remaining: float | None = None
    resets_at: float | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """What upstream told.

    Attributes:
        account: to whom; what is left is this account's.
        models: by name.
    """

    account: Account
    models: tuple[AvailableModel, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What works of an account.

    Attributes:
        account: which.
        failed: the first step that does not work: "token", "project" or "models"; ``None`` when all do.
        problem: why not.
        project: that requests are booked on; ``None`` when it did not come so far.
        models: what upstream offers the account.
        url: what the account's owner has to open.
    """

    account: Account
    failed: Literal["token", "project", "models"] | None
    problem: str | None
    project: str | None = None
    models: tuple[AvailableModel, ...] = ()
    url: str | None = field(default=None, repr=False)


class Catalogs:
    """Asks upstream for its models. Takes no quota and records nothing: looking is not taking.

    Args:
        settings: read from environment and files when absent.
        store: the shared state.
        clock: the source of time.
        clients: for HTTP.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        store: Ledger | None = None,
        clock: Clock | None = None,
        clients: HttpClients | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._clients = clients or HttpClients()
        self._pool = AccountPool(self._settings, store=store, clock=self._clock)
        shared = self._pool.store
        self._tokens = SharedTokens(self._settings, self._pool.accounts, shared, self._clients, self._clock)
        self._projects = Projects(self._settings, shared, self._clients, self._clock)
        self._upstream = CloudCode(self._settings, self._clients, self._clock)

    def fetch(self) -> Catalog:
        """Return what upstream tells the first account that it answers: those that are not limited come first.

        Raises:
            AccountsFileError: when there are no accounts to be had.
            CredentialError: when no account has a token or a project; about the last one.
            RequestRefusedError: when upstream answers no account, or not as expected; about the last one.
        """
        error: CredentialError | RequestRefusedError = CredentialError("There is no enabled account to ask with.")
        ends = self._clock.monotonic() + _PATIENCE_SECONDS
        states = [state for state in self._pool.states() if state.account.enabled]
        for state in sorted(states, key=lambda one: len(one.cooldowns)):
            told = self._try(state.account)
            if isinstance(told, Catalog):
                return told
            error = told
            if self._clock.monotonic() >= ends:
                break
        raise error

    def check(self, account: Account) -> Check:
        """Return how far an account comes with a new access token: nothing of this takes from its quota.

        Args:
            account: whichever, enabled or not.
        """
        project: str | None = None
        try:
            token = self._renewed(account)
        except CredentialError as error:
            return Check(account, "token", str(error))
        try:
            project = self._projects.project(account, token, timeout=_TIMEOUT_SECONDS)
        except (CredentialError, RequestRefusedError) as error:
            return Check(account, "project", str(error))
        try:
            return Check(account, None, None, project, self._ask(account, token, project))
        except RequestRefusedError as error:
            return Check(account, "models", str(error), project, url=error.refusal.url)

    def _renewed(self, account: Account) -> SecretStr:
        """Return an access token that was fetched just now, even if there is one that is still good."""
        row = None if isinstance(account.credential, StaticToken) else self._pool.store.read_token(account.id)
        known = None if row is None else SecretStr(row.token)
        return self._tokens.token(account, rejected=known, timeout=_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Let go of connections and of the shared state."""
        self._clients.close()
        self._pool.store.close()

    def _try(self, account: Account) -> Catalog | CredentialError | RequestRefusedError:
        try:
            return Catalog(account, self._of(account))
        except (CredentialError, RequestRefusedError) as error:
            return error

    def _of(self, account: Account) -> tuple[AvailableModel, ...]:
        token = self._tokens.token(account, timeout=_TIMEOUT_SECONDS)
        project = self._projects.project(account, token, timeout=_TIMEOUT_SECONDS)
        try:
            return self._ask(account, token, project)
        except RequestRefusedError as error:
            if error.refusal.kind is not RefusalKind.AUTH:
                raise
        token = self._tokens.token(account, rejected=token, timeout=_TIMEOUT_SECONDS)
        return self._ask(account, token, project)

    def _ask(self, account: Account, token: SecretStr, project: str) -> tuple[AvailableModel, ...]:
        fields = self._upstream.ask(
            FETCH_AVAILABLE_MODELS, {"project": project}, token, timeout=_TIMEOUT_SECONDS, account=account.label
        )
        models = models_in(fields)
        if models is None:
            raise RequestRefusedError(not_json_refusal("application/json", 200), account=account.label)
        return models


def models_in(fields: Mapping[str, Any]) -> tuple[AvailableModel, ...] | None:
    """Return the models in an answer, by name; ``None`` when it holds none. Odd entries are left out.

    Args:
        fields: ``{"models": {<name>: {"displayName", "quotaInfo": {"remainingFraction", "resetTime"}}}}``.
    """
    models = fields.get("models")
    if not isinstance(models, dict):
        return None
    return tuple(
        _model(name, known if isinstance(known, dict) else {})
        for name, known in sorted(models.items())[:_MOST_MODELS]
        if name.strip() and len(name) <= _LONGEST_NAME and not _INTERNAL.fullmatch(name) and not SECRETS.holds(name)
    )


def _model(name: str, known: Mapping[str, Any]) -> AvailableModel:
    quota = known.get("quotaInfo")
    quota = quota if isinstance(quota, dict) else {}
    title, remaining = known.get("displayName"), quota.get("remainingFraction")
    return AvailableModel(
        name,
        shown(title, _LONGEST_NAME) if isinstance(title, str) and title.strip() else None,
        _part(remaining),
        _epoch(quota.get("resetTime")),
    )


def _part(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= 1 else None


def _epoch(stamp: object) -> float | None:
    """Return a google.protobuf.Timestamp's JSON form, such as ``2026-01-02T03:04:05Z``, in epoch seconds."""
    if not isinstance(stamp, str):
        return None
    # Python 3.10 knows neither the Z nor other than three or six digits after the point.
    plain = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", stamp.strip())
    if plain is None:
        return None
    try:
        return datetime.fromisoformat(plain[1].upper() + plain[2].upper().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None
