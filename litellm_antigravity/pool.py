"""The account pool: ``acquire`` a lease on an account for a model, ``report`` how it ended.

The one room that knows settings, accounts, shared state and selection. It knows nothing of LiteLLM and sends nothing.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from litellm_antigravity.accounts import Account, AccountsFile, AccountSource, AccountsSnapshot
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.credentials.clients import Readiness
from litellm_antigravity.errors import (
    AccountsFileError,
    AllAccountsLimitedError,
    NoAccountLeftError,
    RequestRefusedError,
)
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.lease import SERVED, Lease, Outcome, Served, Wait
from litellm_antigravity.logs import LOGGER, decision, decisions_are_visible, show_decisions
from litellm_antigravity.models import ModelFamily, canonical_model, family_of
from litellm_antigravity.refusals import Refusal, RefusalKind, record_for
from litellm_antigravity.selection import round_robin
from litellm_antigravity.selection.availability import NOBODYS_FAULT, Availability, active_cooldowns, availability
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.health import HealthRules
from litellm_antigravity.selection.hybrid import Scoreboard
from litellm_antigravity.selection.sticky import first_available, pid_offset, start_index
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.rows import WHOLE_ACCOUNT, Cooldown, Presence, model_pool
from litellm_antigravity.state.store import PROBE_INTERVAL_SECONDS, StateStore, StateView
from litellm_antigravity.wording import (
    account_is_out,
    all_limited,
    no_capacity,
    nowhere_available,
    refused_by_all,
    spell_remaining,
)

DEFAULT_SCOPE = "process"
"""Whose current account sticky keeps. One scope per process today; a conversation will be another."""

JUST_NOW_SECONDS = 20.0
"""A failure that is no older speaks of the present: as long as failures in a row bench an account."""

_ANNOUNCE_SECONDS = 5.0
_REPEAT_SECONDS = 300.0
_AGAIN_SECONDS = 1.0  # between two tries of one account by one request, however soon its limit ends
_WAKE_MARGIN_SECONDS = 0.01  # sleep a little past the end of a cooldown rather than wake a little before it


@dataclass(frozen=True, slots=True)
class AccountState:
    """What is known of one account for one model: for error messages and ``status``."""

    account: Account
    cooldowns: tuple[Cooldown, ...]
    health: float
    tokens: float
    last_used: float | None

    def remaining(self, now: float) -> float:
        """Return the seconds until the account is free; 0 when it is."""
        return max((cooldown.remaining(now) for cooldown in self.cooldowns), default=0.0)


class AccountPool(ForkAware):
    """Chooses accounts, and shares what is learnt about them.

    Thread-safe. ``acquire`` and ``report`` may touch the disk: on an event loop use ``aacquire`` and ``areport``.

    Args:
        settings: read from environment and files when absent.
        accounts: where the accounts come from; the accounts file of the settings when absent.
        store: the shared state; the settings' ``state_dir`` when absent.
        clock: the source of time.
        pid: the source of the process id for the PID offset.
        identity: who this process is; pools of one process share it, so that they hold one slot.
    """

    _fork_rank = 0  # it calls the store while it holds its own lock

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        accounts: AccountSource | None = None,
        store: StateStore | None = None,
        clock: Clock | None = None,
        pid: Callable[[], int] = os.getpid,
        identity: Callable[[], ProcessIdentity] | None = None,
    ) -> None:
        self._shared_identity = identity
        self.settings = settings or Settings()
        self._readiness = Readiness(self.settings)
        self.clock = clock or SystemClock()
        self.accounts = accounts or AccountsFile(self.settings.accounts_file, clock=self.clock)
        self.store = store or _store_at(self.settings, self.clock)
        self.rules = _vitals_rules(self.settings)
        self._pid = pid
        self._lock = threading.Lock()
        self._start_over()
        self._watch_forks()
        if self.settings.debug:
            show_decisions()
        idle = self.settings.pid_offset_enabled and self.settings.account_selection_strategy == "round-robin"
        if idle and identity is None:  # else another pool of this process has said so
            LOGGER.warning(
                "pid_offset_enabled has no effect with round-robin: each process begins with another account anyway."
            )

    def _start_over(self) -> None:
        self._identity: ProcessIdentity | None = None
        self._slot: int | None = None
        self._cursor_start: int | None = None
        self._claims_version = self.store.claims_version()
        self._cursors: dict[ModelFamily, int] = {}
        self._current: dict[tuple[str, ModelFamily], str] = {}
        self._starts: dict[ModelFamily, int] = {}
        self._availability: dict[str, Availability] = {}
        self._scoreboard: tuple[AccountsSnapshot, Scoreboard, int] | None = None
        self._answers: dict[tuple[str, ModelFamily], float] = {}
        self._announced: tuple[float, Mapping[str, str]] = (-math.inf, {})

    def _before_fork(self) -> None:
        self._lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._start_over()

    @property
    def identity(self) -> ProcessIdentity:
        """Who this process is; read when first needed, and again after a fork."""
        if self._shared_identity is not None:
            return self._shared_identity()
        if self._identity is None:
            self._identity = ProcessIdentity.read(self._pid)
        return self._identity

    # Taking an account

    def acquire(self, model: str, *, tried: Collection[str] = (), scope: str = DEFAULT_SCOPE) -> Lease:
        """Choose an account for ``model`` and count the request as sent.

        Args:
            model: a model name, with or without ``antigravity/``.
            tried: account ids that this request has tried already.
            scope: whose current account to keep with ``sticky``.

        Raises:
            AllAccountsLimitedError: when every account cools down, and none is back within
                ``max_rate_limit_wait_seconds``.
            RequestRefusedError: when the model is known to have no capacity for anybody.
            NoAccountLeftError: when every account that is free has been tried already.
            AccountsFileError: when there is no accounts file, or no enabled account in it.
        """
        waited = 0.0
        while True:
            taken = self.try_acquire(model, tried=tried, scope=scope, waited=waited)
            if isinstance(taken, Lease):
                return taken
            self.clock.sleep(taken.seconds)
            waited += taken.seconds

    async def aacquire(self, model: str, *, tried: Collection[str] = (), scope: str = DEFAULT_SCOPE) -> Lease:
        """Do what `acquire` does without blocking the event loop."""
        waited = 0.0
        while True:
            taken = await asyncio.to_thread(self.try_acquire, model, tried=tried, scope=scope, waited=waited)
            if isinstance(taken, Lease):
                return taken
            await asyncio.sleep(taken.seconds)
            waited += taken.seconds

    def try_acquire(
        self,
        model: str,
        *,
        tried: Collection[str] = (),
        scope: str = DEFAULT_SCOPE,
        waited: float = 0.0,
        patience: float = math.inf,
        only: str | None = None,
        again: Collection[str] = (),
    ) -> Lease | Wait:
        """Choose an account now, or say how long to wait for one.

        Args:
            model: a model name, with or without ``antigravity/``.
            tried: account ids that this request has tried already.
            scope: whose current account to keep with ``sticky``.
            waited: seconds that this request has waited for an account already.
            patience: seconds that the request may still take.
            only: the id of the one account that may serve the request; somebody else has chosen it.
            again: those of ``tried`` that had reached a limit, which may be waited for.

        Raises:
            AllAccountsLimitedError: see `acquire`; so for the other three.
            RequestRefusedError: see there.
            NoAccountLeftError: see there.
            AccountsFileError: see there.
        """
        name = canonical_model(model)
        family = family_of(name)
        overdrawn: set[str] = set()
        guessed = self._guess(name, family, tried, scope, waited, patience, only)
        if guessed is not None:
            return guessed
        while True:
            roster = self._roster()
            view = self.store.refresh()
            now = self.clock.time()
            if (held := view.capacity.get(name)) is not None and (left := held.remaining(now)) > 0:
                raise RequestRefusedError(no_capacity(name, left))
            with self._lock:
                free = self._free(roster, view, name, family, now)
                choice = (
                    self._choose(roster, view, free, family, scope, now, tried, waited, patience, overdrawn=overdrawn)
                    if only is None
                    else self._the_one(roster, free, only, tried)
                )
                if isinstance(choice, tuple) and self.settings.account_selection_strategy == "round-robin":
                    self._cursors[family] = (
                        self._cursor(family) + 1
                    )  # here, or two threads would choose the same account
            if choice is None and only is not None:
                return self._not_the_one(free, name, only, now, tried, waited, patience)
            if choice is None:
                return self._nobody(free, name, family, now, tried, waited, patience, again)
            if isinstance(choice, Wait):
                return self._in_turn(choice.seconds, family, now, self.settings.sticky_wait_seconds - waited, patience)
            account_id, spends = choice
            if not self.store.begin_request(account_id, now, self.rules, require_token=spends):
                overdrawn.add(account_id)  # another process took the last token in between
                continue
            return self._lease(roster.by_id[account_id], free, name, family, scope, now, tried, only)

    def _guess(
        self,
        model: str,
        family: ModelFamily,
        tried: Collection[str],
        scope: str,
        waited: float,
        patience: float,
        only: str | None,
    ) -> Lease | None:
        """Choose by what is known; taking the account then shows whether that is still all there is to know.

        It saves the look at the shared state before. ``None`` when there is no account that way. Not with round-robin,
        whose cursor moves with every choice.
        """
        view = self.store.guess()
        if view is None or self.settings.account_selection_strategy == "round-robin":
            return None
        roster, now = self._roster(), self.clock.time()
        if (held := view.capacity.get(model)) is not None and held.remaining(now) > 0:
            return None
        with self._lock:
            free = self._free(roster, view, model, family, now)
            choice = (
                self._choose(roster, view, free, family, scope, now, tried, waited, patience)
                if only is None
                else self._the_one(roster, free, only, tried)
            )
        if not isinstance(choice, tuple):
            return None
        account_id, spends = choice
        if not self.store.begin_if_current(account_id, now, self.rules, require_token=spends):
            return None
        return self._lease(roster.by_id[account_id], free, model, family, scope, now, tried, only)

    def _lease(
        self,
        account: Account,
        free: Availability,
        model: str,
        family: ModelFamily,
        scope: str,
        now: float,
        tried: Collection[str],
        only: str | None,
    ) -> Lease:
        self._taken(account.id, family, scope)
        if decisions_are_visible():
            self._explain(account, free, model, tried)
        open_to_it = sum(one not in tried for one in free.free) if tried else len(free.free)
        others = 0 if only is not None else open_to_it - 1
        return Lease(account, model, family, now, others=others)

    def failed_just_now(self, model: str) -> set[str]:
        """Return the accounts whose last request for the family of ``model`` failed a moment ago."""
        family, now = family_of(canonical_model(model)), self.clock.time()
        known = {account_id: one.failures.get(family) for account_id, one in dict(self.store.known().vitals).items()}
        return {
            account_id
            for account_id, failures in known.items()
            if failures is not None and abs(now - failures.at) <= JUST_NOW_SECONDS
        }

    def choose(self, model: str, *, among: Collection[str] | None = None, scope: str = DEFAULT_SCOPE) -> str | None:
        """Return the id of the account that the next request for ``model`` would get, without taking anything.

        Args:
            model: a model name.
            among: the account ids to choose from; all when absent.
            scope: whose current account to keep with ``sticky``.
        """
        name = canonical_model(model)
        family = family_of(name)
        roster, view, now = self._roster(), self.store.refresh(), self.clock.time()
        others = () if among is None else [account.id for account in roster.enabled if account.id not in among]
        with self._lock:
            free = self._free(roster, view, name, family, now)
            choice = self._choose(roster, view, free, family, scope, now, {*others}, 0.0, 0.0)
        return choice[0] if isinstance(choice, tuple) else None

    def take(self, model: str, account_id: str) -> Lease | None:
        """Count a request as sent by an account that has been chosen; ``None`` when the account is gone.

        Args:
            model: a model name.
            account_id: whose turn it is.
        """
        name = canonical_model(model)
        family = family_of(name)
        account = self.accounts.current().by_id.get(account_id)
        if account is None:
            return None
        now = self.clock.time()
        if self.settings.account_selection_strategy == "round-robin":
            with self._lock:
                self._cursors[family] = self._cursor(family) + 1
        self.store.begin_request(account_id, now, self.rules, require_token=False)
        self._taken(account_id, family, DEFAULT_SCOPE)
        return Lease(account, name, family, now)

    def limits(
        self, model: str, among: Collection[str], *, besides: Collection[str] = ()
    ) -> AllAccountsLimitedError | None:
        """Return the error that says why none of these accounts is free for ``model``; ``None`` if one is.

        Args:
            model: a model name.
            among: account ids.
            besides: account ids that may not be used now for a reason of somebody else's: the error tells of them as
                well where they are limited, since they may be the first to be back.
        """
        name = canonical_model(model)
        roster, view, now = self._roster(), self.store.refresh(), self.clock.time()
        with self._lock:
            free = self._free(roster, view, name, family_of(name), now)
        accounts = [account for account in roster.enabled if account.id in among]
        if not accounts or any(account.id not in free.benched for account in accounts):
            return None
        told = [one for one in roster.enabled if one in accounts or (one.id in besides and one.id in free.benched)]
        return all_limited(told, free.benched, name, now)

    def _roster(self) -> AccountsSnapshot:
        roster = self.accounts.current()
        if not roster.enabled:
            msg = (
                f'every account in {roster.path} is disabled; `litellm-antigravity auth enable`, or set "enabled": true'
            )
            raise AccountsFileError(msg)
        self._readiness.check_clients(roster)
        return self._readiness.checked(roster)

    def _free(
        self, roster: AccountsSnapshot, view: StateView, model: str, family: ModelFamily, now: float
    ) -> Availability:
        known = self._availability.get(model)
        if known is not None and known.holds(roster, view, now):
            return known
        if len(self._availability) > 256:  # names come from requests
            self._availability.clear()
        self._availability[model] = fresh = availability(roster, view, model, family, now)
        return fresh

    def _choose(
        self,
        roster: AccountsSnapshot,
        view: StateView,
        free: Availability,
        family: ModelFamily,
        scope: str,
        now: float,
        excluded: Collection[str],
        waited: float,
        patience: float,
        overdrawn: Collection[str] = (),
    ) -> tuple[str, bool] | Wait | None:
        """Return the chosen account and whether it needs a token; or how long to wait; or ``None``.

        ``overdrawn`` are accounts whose last token another process has just taken: not for hybrid, though tokens never
        bench the last usable account.
        """
        strategy = self.settings.account_selection_strategy
        current = self._current.get((scope, family))
        if strategy == "sticky" and current is not None:
            if current not in excluded and current not in free.benched and _is_enabled(roster, current):
                return current, False
            wait = self._wait_for_current(free, current, excluded, now, waited)
            if 0 < wait <= patience:
                return Wait(wait)
        candidates = free.free if not excluded else tuple(one for one in free.free if one not in excluded)
        if not candidates:
            return None
        if strategy == "round-robin":
            return round_robin.pick(candidates, self._cursor(family)), False
        if strategy == "hybrid":
            usable = candidates if not overdrawn else tuple(one for one in candidates if one not in overdrawn)
            among = None if len(usable) == len(roster.enabled) else usable
            chosen = self._scores(roster, view, now).choose(now, current=current, among=among)
            if chosen is not None:
                return chosen, True
        return self._sticky(roster, set(candidates), family, current), False

    def _wait_for_current(
        self, free: Availability, current: str, excluded: Collection[str], now: float, waited: float
    ) -> float:
        """Return how long sticky waits for its current account rather than lose its prompt cache; 0 for not at all."""
        budget = self.settings.sticky_wait_seconds - waited
        if budget <= 0 or current in excluded or current not in free.benched:
            return 0.0
        wait = max(cooldown.remaining(now) for cooldown in free.benched[current]) + _WAKE_MARGIN_SECONDS
        return wait if wait <= budget else 0.0

    def _sticky(self, roster: AccountsSnapshot, candidates: set[str], family: ModelFamily, current: str | None) -> str:
        order = [account.id for account in roster.enabled]
        if current in candidates:
            return current
        last = None if current is None else roster.by_id.get(current)
        if last is not None:  # perhaps disabled meanwhile: then the next one in the file
            start = sum(account.position <= last.position for account in roster.enabled)
        else:
            self._renew_claims()
            if family not in self._starts:  # once per process and family
                self._starts[family] = self._start(roster, family)
            start = self._starts[family]
        chosen = first_available(order, start, candidates.__contains__)
        if chosen is None:  # pragma: no cover - there is at least one candidate
            raise AssertionError
        return chosen

    def _start(self, roster: AccountsSnapshot, family: ModelFamily) -> int:
        """Return where this process starts in the list of enabled accounts (docs/design.md, "Selection")."""
        count = len(roster.enabled)
        base = roster.base_index.get(family, 0)
        offset, message = 0, None
        if self.settings.pid_offset_enabled and count > 1:
            if self.settings.offset_source == "slot":
                if self._slot is None:
                    self._slot = self.store.claim_slot(self.identity.owner)
                offset = self._slot % count
                message = "[accounts] Applying slot offset: %d (slot %% accounts.length)"
            else:
                offset = pid_offset(self.identity.pid, count)
                message = "[accounts] Applying PID offset: %d (process.pid %% accounts.length)"
        start = start_index(base, offset, count)
        if decisions_are_visible():
            if message is not None:
                decision(message, offset)
            decision("[accounts] Starting account index for '%s': %d", family, start)
        return start

    def _renew_claims(self) -> None:
        """Forget a slot and a number that came from no shared state: others may have the same ones."""
        version = self.store.claims_version()
        if version != self._claims_version:
            self._claims_version, self._slot, self._cursor_start = version, None, None
            self._cursors.clear()
            self._starts.clear()

    def _cursor(self, family: ModelFamily) -> int:
        self._renew_claims()
        if self._cursor_start is None:
            self._cursor_start = self.store.next_cursor_start()
        return self._cursors.setdefault(family, self._cursor_start)

    def _scores(self, roster: AccountsSnapshot, view: StateView, now: float) -> Scoreboard:
        if self._scoreboard is not None and self._scoreboard[0] is roster:
            _, board, seen = self._scoreboard
            changed = view.changed_vitals(seen)
            if changed is not None:
                for account_id in changed:
                    board.update(account_id, view.vitals[account_id], now)
                self._scoreboard = (roster, board, seen + len(changed))
                return board
        position = view.position
        board = Scoreboard([account.id for account in roster.enabled], self.rules, dict(view.vitals), now)
        self._scoreboard = (roster, board, position)
        return board

    def _taken(self, account_id: str, family: ModelFamily, scope: str) -> None:
        """Set the current account, now that the request is on its way; tell the others sometimes."""
        with self._lock:
            self._current[scope, family] = account_id
            at, told = self._announced
            current: dict[str, str] = {
                name: held for (whose, name), held in self._current.items() if whose == DEFAULT_SCOPE
            }
            now = self.clock.monotonic()
            changing = 0.0 if self.settings.account_selection_strategy == "sticky" else _ANNOUNCE_SECONDS
            if now - at < (changing if current != told else _REPEAT_SECONDS):
                return
            first = not told
            self._announced = (now, current)
            identity = self.identity
        self.store.announce(
            Presence(
                identity.owner,
                identity.pid,
                self.settings.account_selection_strategy,
                self.clock.time(),
                self._slot,
                current,
            )
        )
        if first:
            self.store.processes()  # forgets the dead: every process leaves a row and a file behind

    # When somebody else has chosen

    def _the_one(
        self, roster: AccountsSnapshot, free: Availability, only: str, tried: Collection[str]
    ) -> tuple[str, bool] | None:
        usable = only not in tried and only not in free.benched and _is_enabled(roster, only)
        return (only, False) if usable else None

    def _not_the_one(
        self,
        free: Availability,
        model: str,
        only: str,
        now: float,
        tried: Collection[str],
        waited: float,
        patience: float,
    ) -> Wait:
        account = free.roster.by_id.get(only)
        if account is None or not account.enabled:
            msg = f"the account that this deployment names is not in {free.roster.path}, or is disabled there"
            raise AccountsFileError(msg)
        if only in tried:
            msg = f"{account.label} has been tried for this request, which is for no other account"
            raise NoAccountLeftError(msg)
        wait = self._earliest(free, now, free.roster.by_id.keys() - {only}, ())
        allowed = min(self.settings.max_rate_limit_wait_seconds - waited, patience)
        if wait <= allowed:
            return self._in_turn(wait, family_of(model), now, allowed)
        raise all_limited([account], free.benched, model, now)

    # When there is nobody

    def _nobody(
        self,
        free: Availability,
        model: str,
        family: ModelFamily,
        now: float,
        tried: Collection[str],
        waited: float,
        patience: float,
        again: Collection[str],
    ) -> Lease | Wait:
        roster = free.roster
        allowed = min(self.settings.max_rate_limit_wait_seconds - waited, patience)
        earliest = self._earliest(free, now, tried, again)
        if earliest <= allowed:
            if decisions_are_visible():
                decision("[accounts] every account is limited for %s; waiting %.1f s", model, earliest)
            return self._in_turn(earliest, family, now, allowed)
        if any(account_id in again for account_id in free.free):
            raise refused_by_all(model, earliest)
        if free.free:
            msg = f"each of the {len(free.free)} free account(s) has been tried for this request"
            raise NoAccountLeftError(msg)
        for account in roster.enabled:
            if account.id not in tried and (probes := self._claim_probes(free.benched[account.id], now)):
                self.store.begin_request(account.id, now, self.rules, require_token=False)
                LOGGER.info("Probing %s for %s, whose cooldown is long.", account.label, model)
                return Lease(account, model, family, now, probes)
        if (refusal := nowhere_available(roster.enabled, free.benched, model, now)) is not None:
            raise RequestRefusedError(refusal)
        raise all_limited(roster.enabled, free.benched, model, now)

    def _earliest(self, free: Availability, now: float, tried: Collection[str], again: Collection[str]) -> float:
        """Return the seconds until an account can be asked that this request is not done with."""
        waits = []
        for account in free.roster.enabled:
            if account.id in tried and account.id not in again:
                continue
            benched = free.benched.get(account.id, ())
            wait = max((cooldown.remaining(now) for cooldown in benched), default=0.0) + _WAKE_MARGIN_SECONDS
            waits.append(max(wait, _AGAIN_SECONDS) if account.id in again else wait)
        return min(waits, default=math.inf)

    def _in_turn(self, seconds: float, family: ModelFamily, now: float, *limits: float) -> Wait:
        """Return how long to wait for an account that is back in ``seconds``: one request after the other wakes up."""
        return Wait(self.store.claim_turn(family, now + seconds, now + min(limits)) - now)

    def _claim_probes(self, cooldowns: tuple[Cooldown, ...], now: float) -> tuple[Cooldown, ...]:
        """Return the cooldowns that this request may probe: all that bench the account, or none."""
        long = [one for one in cooldowns if PROBE_INTERVAL_SECONDS < one.until - one.since < math.inf]
        if len(long) != len(cooldowns):
            return ()
        return tuple(long) if all(self.store.claim_probe(one, now) for one in long) else ()

    # Reporting how it went

    def answered(self, lease: Lease) -> None:
        """Note that upstream has begun to answer as the account; in this process's memory only."""
        self._answers[lease.account.id, lease.family] = self.clock.time()

    def _others_answered(self, lease: Lease, since: float) -> bool:
        return any(
            at >= since and family == lease.family and account_id != lease.account.id
            for (account_id, family), at in tuple(self._answers.items())
        )

    def half_open(self, lease: Lease, seconds: float) -> Lease:
        """Return the lease of a probe if the account was benched for failing in transit and has not answered since.

        Others keep away from it meanwhile, for ``seconds`` at most: only one request at a time is to find out whether
        it is silent still. Does nothing for any other account, or where nobody else could serve.
        """
        if not lease.others or math.isinf(seconds) or lease.probes:
            return lease
        view, now = self.store.known(), self.clock.time()
        vitals, last = view.vitals.get(lease.account.id), view.cooldown(lease.account.id, lease.family)
        if vitals is None or last is None or last.reason not in NOBODYS_FAULT or last.remaining(now) > 0:
            return lease
        if not vitals.failures_now(lease.family, now, self.rules):
            return lease
        probe = replace(last, since=now, until=now + seconds)
        return replace(lease, probes=(self.store.extend_cooldown(probe),))

    def report(self, lease: Lease, outcome: Outcome) -> None:
        """Record how a leased request ended, where every process sees it.

        Args:
            lease: what `acquire` returned.
            outcome: `SERVED`, or the refusal.
        """
        now = self.clock.time()
        if isinstance(outcome, Refusal):
            for probe in _trials(lease):
                self.store.end_cooldown(probe.account_id, probe.pool, now)
            self._refused(lease, outcome, now)
            return
        if self.must_record_success(lease):
            self.store.record_success(lease.account.id, lease.family, now, self.rules)
        for probe in lease.probes:
            self.store.end_cooldown(probe.account_id, probe.pool, now)
            if probe not in _trials(lease):
                self.store.finish_probe(probe.account_id, probe.pool, now)

    async def areport(self, lease: Lease, outcome: Outcome) -> None:
        """Do what `report` does without blocking the event loop."""
        if isinstance(outcome, Refusal) or lease.probes or self.must_record_success(lease):
            await asyncio.to_thread(self.report, lease, outcome)

    def must_record_success(self, lease: Lease) -> bool:
        """Return whether a success changes anything: an account in full health with no failures has nothing to gain."""
        vitals = self.store.known().vitals.get(lease.account.id)
        return vitals is None or vitals.succeeded(lease.family, self.clock.time(), self.rules) is not vitals

    def _refused(self, lease: Lease, refusal: Refusal, now: float) -> None:
        account, record = lease.account, record_for(refusal, family=lease.family, model=lease.model)
        known = self.store.known().vitals.get(account.id)
        before = None if known is None else known.failures.get(lease.family)
        if record.counts_as_failure is not None:
            failures = self.store.record_failure(
                account.id,
                lease.family,
                now,
                self.rules,
                penalty=record.counts_as_failure,
                refund=record.refund_token,
            )
            record = record_for(
                refusal,
                family=lease.family,
                model=lease.model,
                consecutive_failures=failures,
                others_answered=before is not None and self._others_answered(lease, before.at),
            )
        elif record.refund_token:
            self.store.refund_token(account.id, now, self.rules)
        if record.capacity_delay is not None:
            self.store.hold_capacity(lease.model, now, record.capacity_delay)
        if record.pool is not None and record.until_delay is not None:
            cooldown = self.store.extend_cooldown(
                _cooldown(account, record.pool, record.until_delay, refusal, now, fact=record.fact)
            )
            if refusal.kind in (RefusalKind.BANNED, RefusalKind.VERIFICATION, RefusalKind.REVOKED):
                LOGGER.warning("%s", account_is_out(account, refusal))
            if decisions_are_visible():
                decision(
                    "[accounts] %s: %s for %s, out of %s for %s",
                    account.label,
                    refusal.kind.value,
                    lease.model,
                    "everything" if cooldown.pool == WHOLE_ACCOUNT else cooldown.pool,
                    spell_remaining(cooldown.remaining(now)),
                )
        for probe in lease.probes:
            if probe not in _trials(lease):
                self.store.finish_probe(probe.account_id, probe.pool, now)

    # For people

    def release(self, account_id: str) -> list[Cooldown]:
        """End an account's cooldowns in the shared state; return those that were not over.

        What the accounts file says of it stays.

        Args:
            account_id: whose.
        """
        view, now = self.store.refresh(), self.clock.time()
        ended = [one for one in view.cooldowns.get(account_id, {}).values() if one.remaining(now) > 0]
        for cooldown in ended:
            self.store.end_cooldown(account_id, cooldown.pool, now)
        return ended

    def states(self, model: str | None = None) -> list[AccountState]:
        """Return what is known of every account, enabled or not; with ``model``, only what concerns it."""
        roster, view, now = self._readiness.checked(self.accounts.current()), self.store.refresh(), self.clock.time()
        fresh = Vitals.fresh(self.rules)
        name = None if model is None else canonical_model(model)
        states = []
        for account in roster.accounts:
            vitals = view.vitals.get(account.id, fresh)
            cooldowns = active_cooldowns(account, view, now)
            if name is not None:
                pools = (WHOLE_ACCOUNT, family_of(name), model_pool(name))
                cooldowns = [one for one in cooldowns if one.pool in pools]
            states.append(
                AccountState(
                    account,
                    tuple(cooldowns),
                    vitals.health_now(now, self.rules),
                    vitals.tokens_now(now, self.rules),
                    vitals.last_used,
                )
            )
        return states

    def _explain(self, account: Account, free: Availability, model: str, tried: Collection[str]) -> None:
        decision(
            "[accounts] %s: %s serves %s (%d of %d free%s)",
            self.settings.account_selection_strategy,
            account.label,
            model,
            len(free.free),
            len(free.roster.enabled),
            f", {len(tried)} tried before" if tried else "",
        )


def _trials(lease: Lease) -> list[Cooldown]:
    """Return those of a lease's probes that `AccountPool.half_open` has begun: of seconds, not of hours."""
    return [probe for probe in lease.probes if probe.reason in NOBODYS_FAULT]


def _is_enabled(roster: AccountsSnapshot, account_id: str) -> bool:
    account = roster.by_id.get(account_id)
    return account is not None and account.enabled


def _cooldown(account: Account, pool: str, seconds: float, refusal: Refusal, now: float, *, fact: bool) -> Cooldown:
    # A ban is about the account; everything else that benches a whole account is about its credential.
    about_credential = pool == WHOLE_ACCOUNT and refusal.kind is not RefusalKind.BANNED
    return Cooldown(
        account.id,
        pool,
        now + seconds,
        refusal.kind.value,
        now,
        fact=fact,
        credential=account.credential.fingerprint if about_credential else None,
        url=refusal.url,
        message=refusal.message[:300],
    )


def _store_at(settings: Settings, clock: Clock) -> StateStore:
    from litellm_antigravity.state.disk import DiskStore  # diskcache is only imported when it is used
    from litellm_antigravity.state.resilient import ResilientStore

    disk = DiskStore(settings.state_dir, on_network=settings.state_dir_on_network)
    return ResilientStore(disk, clock, background=True)


def _vitals_rules(settings: Settings) -> VitalsRules:
    health, bucket = settings.health_score, settings.token_bucket
    return VitalsRules(
        HealthRules(
            health.initial,
            health.success_reward,
            health.rate_limit_penalty,
            health.failure_penalty,
            health.recovery_rate_per_hour,
            health.min_usable,
            health.max_score,
        ),
        BucketRules(bucket.max_tokens, bucket.regeneration_rate_per_minute, bucket.initial_tokens),
        settings.failure_ttl_seconds,
    )


__all__ = [
    "SERVED",
    "AccountPool",
    "AccountState",
    "Lease",
    "Outcome",
    "Served",
    "Wait",
]
