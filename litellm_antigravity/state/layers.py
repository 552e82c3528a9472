"""The state of a host, joined with that of other hosts through Redis.

The host's own state is its truth: requests read and write that, and nothing else. A thread in one process of the host
carries what changes to Redis and back. Only what must be given out once among all hosts (slots, numbers of the cursor,
probes of long cooldowns) asks Redis itself, which is rare; each such question has 50 ms, and none is asked while Redis
is known to be away. A host that is cut off goes on as if it were alone.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, TypeVar

from litellm_antigravity.clock import Clock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import AntigravityError, StateUnavailableError
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state import kinds
from litellm_antigravity.state.backend import StoreStatus
from litellm_antigravity.state.courier import Courier
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.redis_backend import RedisBackend, RedisStore
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.resilient import ResilientStore

logger = logging.getLogger("litellm_antigravity")

QUESTION_SECONDS: Final = 0.05
"""How long a request waits for Redis at most, in the rare case that it asks it anything."""

_LISTEN_SECONDS: Final = 1.0
"""How often Redis is asked for changes though it has announced none."""

_BUSY_SECONDS, _IDLE_SECONDS = 0.01, 0.05
"""Between two looks at the host's own state, shortly after something has changed and otherwise."""

_BUSY_FOR_SECONDS: Final = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
_TAKE_OVER_SECONDS: Final = 0.5

_T = TypeVar("_T")


class Breaker:
    """Whether Redis is left alone for now. Thread-safe.

    Args:
        clock: the source of time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_until = -math.inf
        self._pause = _FIRST_PAUSE
        self.problem: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody is to ask now."""
        return self._clock.monotonic() < self._open_until

    def failed(self, why: str) -> None:
        """Leave it alone for a while, longer each time."""
        if not self.is_open:
            self._open_until = self._clock.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.problem = why

    def worked(self) -> None:
        """Ask again as usual."""
        self._open_until, self._pause, self.problem = -math.inf, _FIRST_PAUSE, None


class JoinedStore(ResilientStore):
    """A ledger of one host that learns from other hosts, and tells them.

    Args:
        primary: the state of the host.
        place: where the hosts meet.
        clock: the source of time.
        rules: by which vitals change.
    """

    def __init__(self, primary: Ledger, place: RedisPlace, clock: Clock, *, rules: VitalsRules | None = None) -> None:
        self.place = place
        self.breaker = Breaker(clock)
        self._outages_of_claims = 0
        self._alone = False  # something was claimed of this host alone
        super().__init__(primary, clock, rules=rules, background=True)

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._claims: Ledger | None = None
        self._round: _Rounds | None = None
        self._starting = threading.Lock()

    def _do(self, operation: Callable[[Replica], _T]) -> _T:
        if self._round is None:
            self._begin()
        return super()._do(operation)

    def _begin(self) -> None:
        with self._starting:
            if self._round is None:
                self._round = _Rounds(self)

    def on_host(self, operation: Callable[[Replica], _T]) -> _T:
        """Run an operation on the host's rows."""
        return super()._do(operation)

    @property
    def rules(self) -> VitalsRules:
        """The rules by which vitals change."""
        return self._rules

    @property
    def clock(self) -> Clock:
        """The source of time."""
        return self._clock

    # What is given out once among all hosts

    def _ask(self, question: Callable[[Ledger], _T]) -> _T | None:
        """Return Redis's answer; ``None`` if there is none within the time that there is."""
        if self.breaker.is_open:
            return None
        if self._claims is None:
            self._claims = RedisStore(self.place)
        claims, answers, problems = self._claims, [], []

        def ask() -> None:
            try:
                answers.append(question(claims))
            except AntigravityError as error:
                problems.append(str(error))

        # In a thread of its own: neither a name that is looked up nor a handshake keeps to a time-out.
        asking = threading.Thread(target=ask, name="antigravity-redis", daemon=True)
        try:
            asking.start()
        except RuntimeError:
            return None
        asking.join(QUESTION_SECONDS)
        if answers:
            return answers[0]
        self.breaker.failed(problems[0] if problems else f"the Redis at {self.place.description} is slow")
        return None

    def _ask_or(self, question: Callable[[Ledger], _T], alone: Callable[[], _T]) -> _T:
        answer = self._ask(question)
        if answer is not None:
            return answer
        self._alone = True
        return alone()

    def claim_slot(self, owner: str) -> int:
        """Return the lowest number that no living process on any host holds."""
        slot = self._ask(lambda ledger: ledger.claim_slot(owner))
        if slot is None:
            self._alone = True
            return super().claim_slot(owner)
        self._do(lambda replica: replica.backend.stay_alive(owner))
        self._update(kinds.SLOT, str(slot), lambda _: owner)  # for the time when Redis is away
        return slot

    def next_cursor_start(self) -> int:
        """Return the next number of the counter of all hosts."""
        return self._ask_or(lambda ledger: ledger.next_cursor_start(), super().next_cursor_start)

    def claim_probes(self, cooldowns: Sequence[Cooldown], now: float) -> bool:
        """Claim probes among all hosts."""
        if not super().claim_probes(cooldowns, now):
            return False
        claimed = self._ask(lambda ledger: ledger.claim_probes(cooldowns, now))
        return claimed is not False

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """Note on all hosts that a probe was answered."""
        super().finish_probe(account_id, pool, now)
        self._ask(lambda ledger: ledger.finish_probe(account_id, pool, now) or True)

    def claims_version(self) -> int:
        """See `Ledger.claims_version`."""
        return super().claims_version() + self._outages_of_claims

    def look_for_others(self) -> None:
        """Have claimed anew what was claimed of this host alone, if Redis answers."""
        if self._alone and self._ask(lambda ledger: ledger.read_note("recovered") or True):
            self._alone = False
            self._outages_of_claims += 1

    def free_slot(self, number: int) -> None:
        """Let the next process of any host have a slot."""
        super().free_slot(number)
        self._ask(lambda ledger: ledger.free_slot(number) or True)

    # For people

    def status(self) -> StoreStatus:
        """Return how the state is doing, and whether the host is alone though it should not be."""
        status = super().status()
        status = replace(status, description=f"{status.description}, joined through Redis at {self.place.description}")
        problem = self.breaker.problem
        return status if problem is None or status.problem else replace(status, problem=f"{problem}; the host is alone")

    def close(self) -> None:
        """Let go of every handle, and leave it to another process to carry."""
        rounds, self._round = self._round, None
        if rounds is not None:
            rounds.stop()
        if self._claims is not None:
            self._claims.close()
        super().close()


class _Rounds:
    """The thread that carries, in whichever process of the host has the lock.

    Args:
        store: whose rows are carried; the thread ends when nobody uses it any more.
    """

    def __init__(self, store: JoinedStore) -> None:
        self._store = weakref.ref(store)
        self._stopped = threading.Event()
        self._name = f"redis {store.place.namespace} {store.place.description}"
        self._warned = self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="antigravity-hosts", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to be had: another process carries
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._turn() as mine:
                if mine:
                    self._carry()
            if not self._look_for_others() or self._stopped.wait(_TAKE_OVER_SECONDS):
                return

    def _turn(self) -> AbstractContextManager[bool]:
        """Hold the host's lock of those who carry; without a folder for locks, every process is a host by itself."""
        store = self._store()
        if store is None:
            return contextlib.nullcontext(False)
        return _held(store.replica.backend.lock(self._name, 0.0))

    def _look_for_others(self) -> bool:
        store = self._store()
        if store is not None:
            store.look_for_others()
        return store is not None

    def _carry(self) -> None:
        store = self._store()
        if store is None:
            return
        remote = RedisBackend(store.place)
        hears = _Hears(remote)
        courier = Courier(_weakly(self._store), remote, store.clock, store.rules)
        pause = _FIRST_PAUSE
        del store
        moved_at = looked_at = time.monotonic()
        while not self._stopped.is_set():
            try:
                busy = time.monotonic() - moved_at < _BUSY_FOR_SECONDS
                news = hears.wait(_BUSY_SECONDS if busy else _IDLE_SECONDS)
                if hears.began_anew:
                    courier.start_over()
                    hears.began_anew = False
                if courier.carry(listen=news):
                    moved_at = time.monotonic()
                self._worked()
                pause = _FIRST_PAUSE
            except StateUnavailableError as error:
                hears.close()
                courier.start_over()
                if not self._failed(str(error)) or self._stopped.wait(pause):
                    break
                pause = min(2 * pause, _LONGEST_PAUSE)
            if time.monotonic() - looked_at > _LISTEN_SECONDS:
                looked_at = time.monotonic()
                if not self._look_for_others():
                    break
        hears.close()

    def _worked(self) -> None:
        store = self._store()
        if store is None or store.breaker.problem is None or (store.breaker.is_open and not self._has_failed):
            return
        if self._has_failed:
            logger.info("The Redis at %s works again; what the hosts have learnt is joined.", store.place.description)
        self._has_failed = False
        store.breaker.worked()

    def _failed(self, why: str) -> bool:
        """Say that Redis cannot be used; return whether there is anybody to go on for."""
        store = self._store()
        if store is None:
            return False
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = self._has_failed = True
        logger.log(level, "%s. This host goes on with its own state; other hosts do not see it.", why)
        store.breaker.failed(why)
        return True


class _Hears:
    """Listens for changes: the channel's messages only wake, what has changed is read.

    Attributes:
        began_anew: whether there is a new connection, which may lead to a server that has missed some writes.
    """

    def __init__(self, remote: RedisBackend) -> None:
        self._remote = remote
        self._listening: Any = None
        self._asked_at = -math.inf
        self.began_anew = False

    def wait(self, seconds: float) -> bool:
        """Wait for a message; return whether to look for changes."""
        if self._listening is None:
            self._listening = self._remote.link.call(self._subscribed)
        news = False
        while (message := self._remote.link.call(lambda _: self._listening.get_message(timeout=seconds))) is not None:
            seconds, news = 0.0, True
            self.began_anew = self.began_anew or message["type"] == "subscribe"
        now = time.monotonic()
        if news or now - self._asked_at >= _LISTEN_SECONDS:
            self._asked_at = now
            return True
        return False

    def _subscribed(self, client: Any) -> Any:
        listening = client.pubsub()
        listening.subscribe(self._remote.channel)
        return listening

    def close(self) -> None:
        """Let go of the connections."""
        listening, self._listening = self._listening, None
        self._asked_at = -math.inf
        if listening is not None:
            with contextlib.suppress(Exception):
                listening.close()
        self._remote.close()


@contextlib.contextmanager
def _held(lock: AbstractContextManager[bool]) -> Iterator[bool]:
    try:
        held = lock.__enter__()
    except StateUnavailableError:
        yield True
        return
    try:
        yield held
    finally:
        lock.__exit__(None, None, None)


def _weakly(reference: weakref.ref[JoinedStore]) -> Callable[[Callable[[Replica], Any]], Any]:
    def on_host(operation: Callable[[Replica], Any]) -> Any:
        store = reference()
        if store is None:
            msg = "nobody uses the state any more"
            raise StateUnavailableError(msg)
        return store.on_host(operation)

    return on_host


__all__ = ["QUESTION_SECONDS", "Breaker", "JoinedStore"]
