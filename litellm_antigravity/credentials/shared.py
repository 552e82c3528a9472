"""Access tokens shared by every process on the host: one refresh serves them all.

The order is lock (per account, across processes) -> re-read -> still stale? -> refresh -> store -> release
(docs/shared-state.md).
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from litellm_antigravity import events
from litellm_antigravity.accounts import Account, AccountSource, RefreshToken, StaticToken
from litellm_antigravity.clock import Clock
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.credentials.rotation import RotatedTokens
from litellm_antigravity.credentials.sources import Grant, fetch
from litellm_antigravity.errors import AccountsFileError, AntigravityError, CredentialError, GrantRevokedError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.rows import TokenRow
from litellm_antigravity.wire.http import HttpClients

logger = logging.getLogger("litellm_antigravity")

STALE_SECONDS = 60.0
"""A token with less than this left is not used any more."""

EARLY_SECONDS = 300.0
"""With less than this left, one process on the host fetches the next token in the background."""

REFRESH_TIMEOUT_SECONDS = 30.0
"""How long one refresh may take, the request's own timeout permitting."""

_BACKGROUND_PAUSE_SECONDS = 30.0


@runtime_checkable
class _WritableSource(Protocol):
    def update_entry(self, account_id: str, *, if_fingerprint: str | None = None, **fields: object) -> None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """A token in this process's memory."""

    token: SecretStr
    expires_at: float
    credential: str

    def __post_init__(self) -> None:
        SECRETS.remember(self.token.get_secret_value(), passes=True)  # perhaps another process fetched it

    def left(self, now: float) -> float:
        return self.expires_at - now


class SharedTokens(ForkAware):
    """Gives out access tokens; thread-safe.

    Args:
        settings: for the token endpoint and the OAuth client.
        accounts: read again before a refresh, since somebody may have signed in anew.
        store: where tokens are shared.
        clients: for HTTP.
        clock: the source of time.
    """

    _fork_rank = 1

    def __init__(
        self, settings: Settings, accounts: AccountSource, store: Ledger, clients: HttpClients, clock: Clock
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._store = store
        self._clients = clients
        self._clock = clock
        self._rotated = RotatedTokens(store)
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._background: dict[str, float] = {}  # account id -> when its last background refresh began (monotonic)

    def ready(self, account: Account) -> SecretStr | None:
        """Return a token that this process holds already; touches nothing outside the process."""
        if isinstance(account.credential, StaticToken):
            return account.credential.token
        known = self._known.get(account.id)
        if known is None or known.credential != account.credential.fingerprint:
            return None
        left = known.left(self._clock.time())
        if left <= STALE_SECONDS:
            return None
        if left <= EARLY_SECONDS:
            self._refresh_in_background(account)
        return known.token

    def token(self, account: Account, *, rejected: SecretStr | None = None, timeout: float = math.inf) -> SecretStr:
        """Return an access token for an account, refreshed if need be.

        Args:
            account: whose.
            rejected: a token that upstream has just refused: any other one will do.
            timeout: seconds that the caller can wait.

        Raises:
            GrantRevokedError: when the account has to sign in again.
            CredentialError: when no token can be had for another reason; also when a static token was rejected.
        """
        ends = self._clock.monotonic() + timeout
        account = self._latest(account)
        if isinstance(account.credential, StaticToken):
            if rejected is not None and rejected == account.credential.token:
                msg = f"{account.label}: upstream refused its access token; put a new one into the accounts file"
                logger.warning("%s", msg)  # the request may be served by another account
                raise CredentialError(msg)
            return account.credential.token
        if rejected is None and (ready := self.ready(account)) is not None:
            return ready
        shared = self._shared(account, rejected)
        if shared is not None:
            if shared.left(self._clock.time()) <= EARLY_SECONDS:
                self._refresh_in_background(account)
            return shared.token
        began = self._clock.time()
        with self._store.exclusive(_lock_name(account), timeout=min(timeout, 2 * REFRESH_TIMEOUT_SECONDS)) as held:
            if not held:
                msg = f"{account.label}: another process has not finished refreshing its token in time"
                raise CredentialError(msg)
            return self._refresh(account, rejected, began, ends)

    def _latest(self, account: Account) -> Account:
        """Return the account as its source has it now: its credential may have changed since it was chosen."""
        try:
            return self._accounts.current().by_id.get(account.id, account)
        except AccountsFileError:
            return account

    def _shared(self, account: Account, rejected: SecretStr | None) -> _Known | None:
        """Take over the token in the store if it is fresh, belongs to this credential and was not rejected."""
        row = self._store.read_token(account.id)
        if row is None or row.credential != account.credential.fingerprint:
            return None
        if rejected is not None and row.token == rejected.get_secret_value():
            return None
        known = _Known(SecretStr(row.token), _expiry(row), row.credential)
        if known.left(self._clock.time()) <= STALE_SECONDS:
            return None
        self._known[account.id] = known
        return known

    def _refresh(self, account: Account, rejected: SecretStr | None, began: float, ends: float) -> SecretStr:
        """Refresh under the lock, unless somebody did while we waited for it."""
        account = self._latest(account)
        if (shared := self._shared(account, rejected)) is not None:
            return shared.token
        self._share_failure_of_others(account, began)
        try:
            grant = self._fetch(account, ends)
        except GrantRevokedError as error:
            renewed = self._latest(account)
            if renewed.credential.fingerprint == account.credential.fingerprint:
                self._revoke(account, error)
                raise
            return self._refresh(renewed, rejected, began, ends)  # somebody signed in meanwhile
        return self._keep(account, grant).token

    def _fetch(self, account: Account, ends: float = math.inf) -> Grant:
        newest = self._rotated.newest(account)
        try:
            grant = self._fetch_as(account, newest, ends)
        except GrantRevokedError:
            if newest is account:
                raise
            self._rotated.forget(account)  # the accounts file's own may be good all the same
            newest, grant = account, self._fetch_as(account, account, ends)
        if grant.refresh_token is not None and isinstance(newest.credential, RefreshToken):
            # Before anything else: the token that was used is good no more.
            self._rotated.keep(account, newest.credential, grant.refresh_token)
        if events.wanted():
            event = events.Refreshed(account_id=account.id, account=account.label, lifetime=grant.lifetime)
            events.emit(event)
        return grant

    def _fetch_as(self, account: Account, newest: Account, ends: float) -> Grant:
        timeout = min(ends - self._clock.monotonic(), REFRESH_TIMEOUT_SECONDS)
        if timeout <= 0:
            msg = f"{account.label}: no time was left to refresh its token"
            raise CredentialError(msg)
        try:
            return fetch(newest, self._settings, self._clients.sync(), timeout)
        except GrantRevokedError:
            raise
        except CredentialError as error:
            if error.retryable:
                self._store.write_note(
                    _failure_note(account),
                    {"at": self._clock.time(), "credential": account.credential.fingerprint, "message": str(error)},
                )
            raise

    def _share_failure_of_others(self, account: Account, began: float) -> None:
        """Raise what the holder of the lock met while we waited for it: it would only happen again.

        Raises:
            CredentialError: as the other process met it.
        """
        fingerprint = account.credential.fingerprint
        cooldown = self._store.refresh().cooldown(account.id, WHOLE_ACCOUNT)
        if (
            cooldown is not None
            and cooldown.reason == RefusalKind.REVOKED.value
            and math.isinf(cooldown.until)
            and cooldown.credential == fingerprint
        ):
            raise GrantRevokedError(cooldown.message or f"{account.label}: its sign-in is no longer valid")
        note = self._store.read_note(_failure_note(account)) or {}
        at, message = note.get("at"), note.get("message")
        if isinstance(at, float) and began <= at <= self._clock.time() and note.get("credential") == fingerprint:
            raise CredentialError(str(message))

    def _revoke(self, account: Account, error: GrantRevokedError) -> None:
        """Bench the account before the lock is released, so that those who wait for it do not ask again."""
        self._known.pop(account.id, None)
        self._store.extend_cooldown(
            Cooldown(
                account.id,
                WHOLE_ACCOUNT,
                math.inf,
                RefusalKind.REVOKED.value,
                self._clock.time(),
                fact=True,
                credential=account.credential.fingerprint,
                message=str(error),
            )
        )

    def _keep(self, account: Account, grant: Grant) -> _Known:
        fingerprint = account.credential.fingerprint
        if grant.refresh_token is not None and isinstance(account.credential, RefreshToken):
            fingerprint = self._keep_rotated(account, grant.refresh_token) or fingerprint
        expires_at = self._clock.time() + grant.lifetime
        known = _Known(grant.token, expires_at, fingerprint)
        self._store.write_token(account.id, grant.token.get_secret_value(), expires_at, fingerprint)
        self._known[account.id] = known
        return known

    def _keep_rotated(self, account: Account, refresh_token: SecretStr) -> str | None:
        """Write a rotated refresh token back; return the fingerprint of the credential it makes."""
        if not isinstance(self._accounts, _WritableSource):
            return None
        try:
            # Only over the credential that was used: somebody may have signed in again meanwhile.
            self._accounts.update_entry(
                account.id, if_fingerprint=account.credential.fingerprint, refreshToken=refresh_token
            )
        except AccountsFileError as error:
            kept = (
                "kept in `state_dir` alone, which has to outlive this program"
                if self._rotated.lasts
                else "lost when this program ends (`pip install cryptography` to keep it in `state_dir`)"
            )
            logger.warning("%s: its refresh token was replaced, and the new one is %s: %s", account.label, kept, error)
            return None
        return RefreshToken(refresh_token).fingerprint

    def _refresh_in_background(self, account: Account) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if now - self._background.get(account.id, -math.inf) < _BACKGROUND_PAUSE_SECONDS:
                return
            self._background[account.id] = now
        threading.Thread(target=self._refresh_early, args=(account,), name="antigravity-refresh", daemon=True).start()

    def _refresh_early(self, account: Account) -> None:
        try:
            with self._store.exclusive(_lock_name(account), timeout=0) as held:
                if not held:
                    return  # another process does it
                account = self._latest(account)
                shared = self._shared(account, None)
                if shared is None or shared.left(self._clock.time()) > EARLY_SECONDS or self._tried_early(account):
                    return
                self._keep(account, self._fetch(account))
        except AntigravityError as error:
            # The present token is still good; the request that finds it stale reports what is wrong.
            logger.debug("[accounts] background refresh: %s", error)

    def _tried_early(self, account: Account) -> bool:
        """Return whether another process has tried just now; if not, note that this one does."""
        now, name = self._clock.time(), f"refresh-early/{account.id}"
        note = self._store.read_note(name) or {}
        at = note.get("at")
        tried = isinstance(at, float) and 0 <= now - at < _BACKGROUND_PAUSE_SECONDS
        if tried and note.get("credential") == account.credential.fingerprint:
            return True
        self._store.write_note(name, {"at": now, "credential": account.credential.fingerprint})
        return False


def _lock_name(account: Account) -> str:
    return f"refresh:{account.id}"


def _failure_note(account: Account) -> str:
    return f"refresh-failure/{account.id}"


def _expiry(row: TokenRow) -> float:
    return math.inf if row.expires_at is None else row.expires_at
