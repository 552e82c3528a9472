"""The account pool: ``acquire`` a lease on an account for a model, ``report`` how it ended.

The one room that knows settings, accounts, shared state and selection. It knows nothing of LiteLLM and sends nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Collection
from dataclasses import replace

from litellm_antigravity import events
from litellm_antigravity.accounts import AccountsFile, AccountSource, AccountsSnapshot
from litellm_antigravity.admission import Admission, Admitted, Busy, Turn, withdraw
from litellm_antigravity.binding import Binder
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.credentials.clients import Readiness
from litellm_antigravity.decision_log import DECISION_LOG
from litellm_antigravity.errors import AccountsFileError, RequestRefusedError
from litellm_antigravity.fair_share import FairShare
from litellm_antigravity.forking import AtRestInForks
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.lease import SERVED, Lease, LeaseRequest, Outcome, Served, Wait
from litellm_antigravity.logs import LOGGER, show_decisions
from litellm_antigravity.presence import Announcer
from litellm_antigravity.recording import Recorder
from litellm_antigravity.selection.availability import Availabilities, Availability
from litellm_antigravity.selection.bindings import BindingRules, Bound
from litellm_antigravity.selection.named import Named
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.strategies import strategy_named
from litellm_antigravity.selection.strategy import Choice, Chosen, Hold, Strategy
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.standing import AccountState, states_of
from litellm_antigravity.state.backends import ledger_of
from litellm_antigravity.state.in_flight import Flight
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.uses import Uses
from litellm_antigravity.state.view import StateView
from litellm_antigravity.telling import tell_choice, tell_sent
from litellm_antigravity.waiting import Waiting
from litellm_antigravity.wording import all_disabled, no_capacity


class AccountPool(AtRestInForks):
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
        store: Ledger | None = None,
        clock: Clock | None = None,
        pid: Callable[[], int] = os.getpid,
        identity: Callable[[], ProcessIdentity] | None = None,
    ) -> None:
        self._shared_identity = identity
        self.settings = settings or Settings()
        self._readiness = Readiness(self.settings)
        self._usable: AccountsSnapshot | None = None
        self.clock = clock or SystemClock()
        self.accounts = accounts or AccountsFile(self.settings.accounts_file, clock=self.clock)
        self.rules = VitalsRules.of(self.settings)
        self.store = store or ledger_of(self.settings, self.clock, self.rules)
        self._pid = pid
        self._begin()
        events.listen(DECISION_LOG)
        if self.settings.debug:
            show_decisions()
        if self.settings.pid_offset_enabled and self.strategy.ignores_offset and identity is None:
            # else another pool of this process has said so
            name, why = self.strategy.name, self.strategy.ignores_offset
            LOGGER.warning("pid_offset_enabled has no effect with %s: %s.", name, why)

    def _start_over(self) -> None:
        self._identity: ProcessIdentity | None = None
        starts = Starts(self.settings, self.store, lambda: self.identity)
        self.strategy = strategy_named(self.settings.account_selection_strategy)(self.settings, starts)
        self._named = Named(self.strategy)
        self.binder = Binder(self.store, self.clock, BindingRules.of(self.settings))
        self._number = (lambda: starts.number) if self.store.spans_hosts else None
        self._bound = Bound.of(self.settings, self.strategy, self.store.in_flight.counts, self._number)
        self.keeps_conversations = self._bound is not None  # without being told to
        self._announcer = Announcer(self.store, self.clock, lambda: self.identity, self.strategy, starts)
        self._uses = Uses(self.store, self.rules)
        self.recorder = Recorder(self.store, self.clock, self.rules, self._uses)
        self._availabilities = Availabilities()
        self._admission = Admission(self.settings, self.store)
        self._waiting = Waiting(self.settings, self.store, self.rules)
        self._fair_share = FairShare.of(self.settings, self.store, lambda: self.identity)

    @property
    def identity(self) -> ProcessIdentity:
        """Who this process is; read when first needed, and again after a fork."""
        if self._shared_identity is not None:
            return self._shared_identity()
        if self._identity is None:
            self._identity = ProcessIdentity.read(self._pid)
        return self._identity

    # Taking an account

    def acquire(self, model: str, *, tried: Collection[str] = ()) -> Lease:
        """Choose an account for ``model`` and count the request as sent.

        Args:
            model: a model name, with or without ``antigravity/``.
            tried: account ids that this request has tried already.

        Raises:
            AllAccountsLimitedError: when every account cools down, and none is back within
                ``max_rate_limit_wait_seconds``.
            RequestRefusedError: when the model is known to have no capacity for anybody.
            NoAccountLeftError: when every account that is free has been tried already.
            AccountsFileError: when there is no accounts file, or no enabled account in it.
        """
        asked = LeaseRequest(model, tried)
        while isinstance(taken := self.try_acquire(asked), Wait):
            self.clock.sleep(taken.seconds)
            asked = taken.after(asked)
        return taken

    async def aacquire(self, model: str, *, tried: Collection[str] = ()) -> Lease:
        """Do what `acquire` does without blocking the event loop."""
        asked = LeaseRequest(model, tried)
        while isinstance(taken := await asyncio.to_thread(self.try_acquire, asked), Wait):
            await asyncio.sleep(taken.seconds)
            asked = taken.after(asked)
        return taken

    def try_acquire(self, asked: LeaseRequest) -> Lease | Wait:
        """Choose an account now, or say how long to wait for one; raises what `acquire` does."""
        asked = self._known(asked)
        fair_share = self._fair_share
        if fair_share and (wait := fair_share.hold(asked, self._snapshot(), self.availability)):
            return wait
        if (lease := self._take_by_what_is_known(asked)) is not None:
            return lease
        tries = itertools.count()
        while True:
            snapshot, view, now = self._snapshot(), self.store.refresh(), self.clock.time()
            placed = self.binder.placed(view, next(tries))  # before the choice, which knows of them
            held = view.capacity.get(asked.model)
            if held is not None and (left := held.remaining(now)) > 0:
                raise RequestRefusedError(no_capacity(asked.model, left))
            (choice, flight), availability = self._choose(asked, snapshot, view, now)
            if choice is None:
                return self._waiting.wait_or_probe(asked, availability, now)
            if isinstance(choice, Busy):
                return self._waiting.while_busy(asked, choice)
            if isinstance(choice, Turn):
                return self._waiting.for_turn(asked, choice)
            if isinstance(choice, Hold):
                return self._waiting.in_turn(asked, choice.seconds, now, min(choice.at_most, asked.patience), "held")
            if choice.binds and not self.binder.claim(asked, choice, view, placed):
                withdraw(flight)
                continue  # others have placed conversations in between
            if self._count(choice.account_id, now, require_token=choice.takes_token):
                return self._lease(asked, choice, availability, now, flight)
            withdraw(flight)
            # Another process has taken the last token in between.
            asked = replace(asked, overdrawn=asked.overdrawn | {choice.account_id})

    def _take_by_what_is_known(self, asked: LeaseRequest) -> Lease | None:
        """Choose by what is known, where the request is written anyway: that shows whether it is still all there is.

        ``None`` when there is no account that way.
        """
        view = self.store.guess() if self.strategy.counts_requests else None
        if view is None:
            return None
        snapshot, now = self._snapshot(), self.clock.time()
        if (held := view.capacity.get(asked.model)) is not None and held.remaining(now) > 0:
            return None
        (choice, flight), availability = self._choose(asked, snapshot, view, now, guessed=True)
        if (
            isinstance(choice, Chosen)
            and not choice.binds
            and self.store.begin_if_current(choice.account_id, now, self.rules, require_token=choice.takes_token)
        ):
            return self._lease(asked, choice, availability, now, flight)
        withdraw(flight)
        return None

    def _count(self, account_id: str, now: float, *, require_token: bool) -> bool:
        """Count a request as sent; return whether it may be, see `Chosen.takes_token`."""
        if self.strategy.counts_requests:
            return self.store.begin_request(account_id, now, self.rules, require_token=require_token)
        self._uses.add(account_id, now)
        return True

    def _choose(
        self, asked: LeaseRequest, snapshot: AccountsSnapshot, view: StateView, now: float, *, guessed: bool = False
    ) -> tuple[Admitted, Availability]:
        strategy = self._strategy_for(asked)
        with self._lock:
            availability = self._availabilities.of(asked.model, snapshot, view, now)
            admitted = self._admission.admit(strategy, asked, view, availability, now, guessed=guessed)
            if strategy.takes_turns and isinstance(admitted.choice, Chosen):
                strategy.taken(admitted.choice.account_id, asked.family)
        return admitted, availability

    def _known(self, asked: LeaseRequest) -> LeaseRequest:
        """Return what a request asks without its conversation, where that keeps no account."""
        return asked if asked.conversation is None or self._bound is not None else replace(asked, conversation=None)

    def _strategy_for(self, asked: LeaseRequest) -> Strategy:
        if asked.account_id is not None:
            return self._named
        return self.strategy if self._bound is None or asked.conversation is None else self._bound

    def _lease(
        self, asked: LeaseRequest, choice: Chosen, availability: Availability, now: float, flight: Flight | None
    ) -> Lease:
        account = availability.snapshot.by_id[choice.account_id]
        self._taken(account.id, asked, counted=self.strategy.takes_turns)
        others = 0 if asked.account_id is not None else len(availability.candidates(asked.tried)) - 1
        why = ("" if asked.account_id is None else self.binder.why(asked.conversation, account.id)) or choice.why
        called, belongs = asked.request_id, asked.conversation
        share = None if self._fair_share is None else self._fair_share.begin(asked, availability.snapshot)
        lease = Lease(account, asked.model, asked.family, now, (), others, called, belongs, why, flight, share)
        if events.wanted():
            tell_choice(lease, asked, self.strategy.name, events.Inputs(availability, self.store.known(), now))
        return lease

    def _taken(self, account_id: str, asked: LeaseRequest, *, counted: bool) -> None:
        """Remember the account, now that the request is on its way; tell the others sometimes."""
        with self._lock:
            if not counted:
                self.strategy.taken(account_id, asked.family)
            keeps = self.strategy.keeps_account and asked.conversation is None
            news = self._announcer.news(account_id, asked.family, keeps=keeps)
        if news is not None:
            self._announcer.tell(news)

    def patience(self, conversation: str | None) -> float:
        """Return how many seconds a request may wait for its account though another one is free."""
        return self.strategy.patience if self._bound is None or conversation is None else self._bound.patience

    # Choosing for somebody else, who sends the request

    def keep_conversations(self) -> None:
        """Keep conversations on their accounts from now on, though the settings or the strategy would not."""
        with self._lock:
            if self._bound is None:
                self._bound = Bound.always(self.settings, self.strategy, self.store.in_flight.counts, self._number)

    def choose(
        self, model: str, *, among: Collection[str] | None = None, conversation: str | None = None
    ) -> str | None:
        """Return the id of the account that the next request for ``model`` would get, without taking it.

        Args:
            model: a model name.
            among: the account ids to choose from; all when absent.
            conversation: of a request that is going to be sent; a new one is placed on the account.
        """
        snapshot = self._snapshot()
        others = () if among is None else {account.id for account in snapshot.enabled if account.id not in among}
        asked = self._known(LeaseRequest(model, others, patience=0.0, conversation=conversation))
        tries = itertools.count()
        while True:
            view = self.store.refresh()
            placed = self.binder.placed(view, next(tries))
            choice, _ = self._look(asked, snapshot, view)
            if not isinstance(choice, Chosen):
                return None
            if not choice.binds or self.binder.claim(asked, choice, view, placed):
                return choice.account_id

    def look(self, asked: LeaseRequest) -> tuple[Choice, events.Inputs]:
        """Return what a request would get now, and by what; nothing is taken.

        Args:
            asked: by the request.
        """
        return self._look(asked, self._snapshot(), self.store.refresh())

    def _look(self, asked: LeaseRequest, snapshot: AccountsSnapshot, view: StateView) -> tuple[Choice, events.Inputs]:
        strategy, now = self._strategy_for(asked), self.clock.time()
        with self._lock:
            availability = self._availabilities.of(asked.model, snapshot, view, now)
            choice = self._admission.choose(strategy, asked, view, availability, now)
        return choice, events.Inputs(availability, view, now)

    def take(self, model: str, account_id: str, conversation: str | None = None) -> Lease | None:
        """Count a request as sent by an account that has been chosen; ``None`` when the account is gone.

        Args:
            model: a model name.
            account_id: whose turn it is.
            conversation: of the request.
        """
        asked = self._known(LeaseRequest(model, account_id=account_id, conversation=conversation))
        account = self.accounts.current().by_id.get(account_id)
        if account is None:
            return None
        now = self.clock.time()
        self._count(account_id, now, require_token=False)
        self._taken(account_id, asked, counted=False)
        flight, why = self.store.in_flight.begin(account_id), self.binder.why(asked.conversation, account_id)
        lease = Lease(account, asked.model, asked.family, now, conversation=asked.conversation, why=why, flight=flight)
        tell_sent(lease)
        return lease

    def availability(self, model: str) -> Availability:
        """Return who is free for ``model`` now, and who is not."""
        asked, snapshot, view, now = LeaseRequest(model), self._snapshot(), self.store.refresh(), self.clock.time()
        with self._lock:
            return self._availabilities.of(asked.model, snapshot, view, now)

    # What there is

    def _snapshot(self) -> AccountsSnapshot:
        given = self.accounts.current()
        if given is not self._usable:
            if not given.enabled:
                raise AccountsFileError(all_disabled(given.path))
            self._readiness.check_clients(given)
            self.store.in_flight.know(given.by_id)
            self._usable = given
        return self._readiness.checked(given)

    # Reporting how it went

    def report(self, lease: Lease, outcome: Outcome) -> None:
        """Record how a leased request ended, where every process sees it.

        Args:
            lease: what `acquire` returned.
            outcome: `SERVED`, or the refusal.
        """
        self.recorder.tell(lease, outcome)
        self.record(lease, outcome)

    def record(self, lease: Lease, outcome: Outcome) -> None:
        """Do what `report` does for an outcome that whoever listens has been told of already."""
        lease.end()
        if outcome is SERVED and lease.conversation is not None:
            self.binder.answered(lease)
        self.recorder.record(lease, outcome)

    def changes_anything(self, lease: Lease, outcome: Outcome) -> bool:
        """Return whether there is something to `record`; touches nothing."""
        binds = outcome is SERVED and self.binder.changes_anything(lease)
        return binds or self.recorder.changes_anything(lease, outcome)

    async def areport(self, lease: Lease, outcome: Outcome) -> None:
        """Do what `report` does without blocking the event loop."""
        lease.end()
        self.recorder.tell(lease, outcome)
        if self.changes_anything(lease, outcome):
            await asyncio.to_thread(self.record, lease, outcome)

    # For people

    def release(self, account_id: str) -> list[Cooldown]:
        """End an account's cooldowns in the shared state; return those that were not over.

        What the accounts file says of it stays.

        Args:
            account_id: whose.
        """
        ended = self.store.end_cooldowns(account_id, self.clock.time())
        if events.wanted():
            for cooldown in ended:
                events.emit(events.Back(account_id=account_id, pool=cooldown.pool, how="released"))
        return ended

    def states(self, model: str | None = None) -> list[AccountState]:
        """Return what is known of every account, enabled or not; with ``model``, only what concerns it."""
        snapshot = self._readiness.checked(self.accounts.current())
        return states_of(snapshot, self.store.refresh(), self.rules, self.clock.time(), model)


__all__ = ["SERVED", "AccountPool", "Lease", "LeaseRequest", "Outcome", "Served", "Wait"]
