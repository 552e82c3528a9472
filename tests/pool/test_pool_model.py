"""The account pool against a reference of sixty lines: any sequence of requests, refusals, crashes and edits.

Several pools on one store stand for several processes; with the disk store each has its own connection. The same
sequences in every run. To search further: HYPOTHESIS_PROFILE=long.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pool_model import Bench, Reference
from support import FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.errors import (
    AccountsFileError,
    AllAccountsLimitedError,
    AntigravityError,
    NoAccountLeftError,
    RequestRefusedError,
)
from litellm_antigravity.models import family_of
from litellm_antigravity.pool import SERVED, Lease, LeaseRequest, Wait
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.selection.turns import next_turn
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

MODELS = ("claude-sonnet-4-6", "claude-opus-4-6", "gemini-3-flash")
PROCESSES = 3
WHO = st.integers(0, PROCESSES - 1)
NAMES = tuple(f"user{number}@example.com" for number in range(5))
WAKE_MARGIN = 0.01  # a cooldown is waited for a little longer than it lasts
HOUR = 3600.0
HINTED = (RefusalKind.QUOTA, RefusalKind.RATE, RefusalKind.REFUSED_REQUEST)
HINTS = st.one_of(st.none(), st.sampled_from([1.0, 3.0, 20.0, 900.0, 2 * HOUR, 5 * 24 * HOUR]))


class PoolMachine(RuleBasedStateMachine):
    """Does anything to a few processes' pools; after each step they know exactly what the reference knows."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="pool-model-"))
        self.clock = FakeClock()
        self.model = Reference()
        self.pools: list[AccountPool] = []
        self.stores: list[Ledger] = []
        self.current: dict[tuple[int, str], str] = {}
        self.turns: dict[tuple[int, str], tuple[tuple[str, ...], list[str]]] = {}
        self.probes: dict[tuple[str, str], tuple[float, bool]] = {}
        self.woken: dict[str, float] = {}

    # Setting up

    @initialize(
        on_disk=st.booleans(),
        strategy=st.sampled_from(["sticky", "round-robin", "hybrid"]),
        max_wait=st.sampled_from([0.0, 5.0, 60.0]),
        sticky_wait=st.sampled_from([0.0, 20.0]),
        count=st.integers(1, 4),
    )
    def start(self, on_disk: bool, strategy: Any, max_wait: float, sticky_wait: float, count: int) -> None:
        self.settings = Settings(
            account_selection_strategy=strategy,
            max_rate_limit_wait_seconds=max_wait,
            sticky_wait_seconds=sticky_wait,
            ramp_seconds=0,  # the reference knows nothing of it; see `test_ramp`
            accounts_file=self.folder / "accounts.json",
            state_dir=self.folder / "state",
            oauth_client_id="some-client",
            oauth_client_secret="some-secret",
        )
        self.entries: dict[str, dict[str, Any]] = {
            name: {"email": name, "refreshToken": f"1//first-{name}"} for name in NAMES[:count]
        }
        self.write_accounts()
        memory = None if on_disk else MemoryStore()
        for number in range(PROCESSES):
            self.stores.append(memory or DiskStore(self.settings.state_dir))
            self.pools.append(self.new_pool(number))

    def new_pool(self, number: int) -> AccountPool:
        return AccountPool(self.settings, store=self.stores[number], clock=self.clock)

    def sign_in(self, name: str, credential: str) -> None:
        self.entries.setdefault(name, {"email": name})["refreshToken"] = f"1//{credential}-{name}"

    def write_accounts(self) -> None:
        new = self.folder / "new.json"
        new.write_text(json.dumps({"version": 4, "accounts": [*self.entries.values()]}))
        new.chmod(0o600)
        new.replace(self.settings.accounts_file)
        self.enabled = [name for name, entry in self.entries.items() if entry.get("enabled", True)]

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)

    # Requests

    @rule(target=leases, who=WHO, model=st.sampled_from(MODELS), patient=st.booleans())
    def acquire(self, who: int, model: str, patient: bool) -> Any:
        return self.acquired(who, model, (), patient=patient)

    @rule(target=leases, who=WHO, model=st.sampled_from(MODELS), tried=st.sets(st.sampled_from(NAMES)))
    def acquire_another(self, who: int, model: str, tried: set[str]) -> Any:
        """As failover does: not the accounts that have refused the request already."""
        accounts = self.pools[who].accounts.current().accounts
        return self.acquired(who, model, [one.id for one in accounts if one.email in tried], patient=False)

    def acquired(self, who: int, model: str, tried: Sequence[str], *, patient: bool) -> Any:
        try:
            taken = self.pools[who].try_acquire(LeaseRequest(model, tried))
        except AntigravityError as error:
            self.check_error(error, model, tried)
            return multiple()
        if isinstance(taken, Lease):
            self.check_lease(who, taken, tried)
            return (who, self.pools[who], taken)
        self.check_wait(who, taken, model, tried)
        if not patient:
            return multiple()
        self.clock.advance(taken.seconds)
        lease = self.pools[who].try_acquire(LeaseRequest(model, tried, waited=taken.seconds))
        assert isinstance(lease, Lease), "who has waited as long as it was told is served"
        self.check_lease(who, lease, tried, waited=taken.seconds)
        return (who, self.pools[who], lease)

    @rule(target=leases, who=WHO, model=st.sampled_from(MODELS))
    def acquire_after_long_limits(self, who: int, model: str) -> Any:
        """Every account is out for days, and an hour has passed: one request may find out whether that is true."""
        for _ in self.entries:
            taken = self.acquired(who, model, (), patient=False)
            if isinstance(taken, tuple):
                self.refused(taken, RefusalKind.QUOTA, 5 * 24 * HOUR)
        self.clock.advance(HOUR + 1)
        return self.acquired(who, model, (), patient=False)

    # Whether that was right

    def look(self, model: str) -> tuple[list[str], dict[str, list[Bench]]]:
        """Return who is free, in file order, and who is not and why, as the reference has it."""
        snapshot = self.pools[0].accounts.current()
        self.model.accounts = {account.id: account.credential.fingerprint for account in snapshot.enabled}
        self.model.listed = [account.id for account in snapshot.accounts]
        benched = self.model.benched(model, self.clock.time())
        return [one for one in self.model.accounts if one not in benched], benched

    def check_lease(self, who: int, lease: Lease, tried: Sequence[str], *, waited: float = 0.0) -> None:
        self.model.sent(lease.account.id, self.clock.time())
        free, benched = self.look(lease.model)
        chosen, key = lease.account.id, (who, lease.family)
        assert chosen not in tried
        assert chosen in self.model.accounts, "a disabled account is chosen"
        if lease.probes:
            assert not free, "a probe though an account is free"
            self.check_probes(lease, benched[chosen])
            self.check_alone(who, lease)
            return
        assert chosen in free, "a benched account is chosen"
        candidates = [one for one in free if one not in tried]
        strategy = self.settings.account_selection_strategy
        if strategy == "sticky":
            why = benched.get(self.current.get(key, ""), [])
            left = max((bench.left(lease.since) for bench in why), default=math.inf)
            has_tried = self.current.get(key) in tried
            assert has_tried or left + WAKE_MARGIN > self.settings.sticky_wait_seconds - waited, "sticky does not wait"
            self.check_sticky(key, chosen, candidates)
        elif strategy == "round-robin":
            self.check_fair(key, chosen, candidates)
        else:
            self.check_usable(who, lease.model, chosen, candidates)
        self.current[key] = chosen

    def check_sticky(self, key: tuple[int, str], chosen: str, candidates: list[str]) -> None:
        current = self.current.get(key)
        ids = {account.id: account.position for account in self.pools[0].accounts.current().accounts}
        if current in candidates:
            assert chosen == current, "sticky leaves an account that is free"
        elif current in ids:
            after = sorted(candidates, key=lambda one: (ids[one] - ids[str(current)]) % len(ids))
            assert chosen == after[0], "sticky goes on with the next free account in the file"

    def check_fair(self, key: tuple[int, str], chosen: str, candidates: list[str]) -> None:
        among, so_far = self.turns.get(key, ((), []))
        so_far = [*so_far, chosen] if among == tuple(candidates) else [chosen]
        self.turns[key] = (tuple(candidates), so_far)
        counts = [so_far.count(one) for one in candidates]
        assert max(counts) - min(counts) <= 1, "round-robin prefers an account"

    def check_usable(self, who: int, model: str, chosen: str, candidates: list[str]) -> None:
        """A token has been taken since the choice, so the chosen one may have less than one left."""
        states = {state.account.id: state for state in self.pools[who].states(model)}
        if any(states[one].health >= 50.0 and states[one].tokens >= 1.0 for one in candidates if one != chosen):
            assert states[chosen].health >= 50.0, "hybrid takes an unhealthy account though another is healthy"

    def check_probes(self, lease: Lease, benches: list[Bench]) -> None:
        now = self.clock.time()
        assert all(HOUR < bench.until - bench.since < math.inf for bench in benches)
        for probe in lease.probes:
            key = (probe.account_id, probe.pool)
            at, done = self.probes.get(key, (-math.inf, True))
            since = self.model.benches[key].since
            assert now - max(at, since) >= HOUR if done else now - at >= 300.0, "probed too often"
            self.probes[key] = (now, False)

    def check_alone(self, who: int, lease: Lease) -> None:
        """Another process finds nobody to probe while this one does."""
        others = [one for one in self.model.accounts if one != lease.account.id]
        with pytest.raises(AntigravityError):
            self.pools[(who + 1) % PROCESSES].try_acquire(LeaseRequest(lease.model, others, patience=0.0))

    def check_wait(self, who: int, wait: Wait, model: str, tried: Sequence[str]) -> None:
        free, benched = self.look(model)
        now = self.clock.time()
        back = {account: max(bench.left(now) for bench in why) for account, why in benched.items()}
        current = self.current.get((who, family_of(model)))
        sticky = self.settings.account_selection_strategy == "sticky" and current in back and current not in tried
        if sticky and 0 < back[str(current)] + WAKE_MARGIN <= self.settings.sticky_wait_seconds:
            self.check_turn(model, wait, back[str(current)], self.settings.sticky_wait_seconds)
            return
        assert {*free} <= {*tried}, "a wait though an account is free"
        earliest = min(seconds for account, seconds in back.items() if account not in tried)
        self.check_turn(model, wait, earliest, self.settings.max_rate_limit_wait_seconds)
        assert wait.seconds <= self.settings.max_rate_limit_wait_seconds

    def check_turn(self, model: str, wait: Wait, back: float, limit: float) -> None:
        """Those who wait for the same account wake up one after the other."""
        now, family = self.clock.time(), family_of(model)
        self.woken[family] = next_turn(self.woken.get(family), now + back + WAKE_MARGIN, now + limit)
        assert wait.seconds == pytest.approx(self.woken[family] - now)

    def check_error(self, error: AntigravityError, model: str, tried: Sequence[str]) -> None:
        free, benched = self.look(model)
        now = self.clock.time()
        held = self.model.capacity.get(model, 0.0) - now
        if isinstance(error, AccountsFileError):
            assert not self.enabled
        elif isinstance(error, RequestRefusedError) and error.refusal.kind is RefusalKind.CAPACITY:
            assert error.retry_after == pytest.approx(held)
        elif isinstance(error, NoAccountLeftError):
            assert free
            assert set(free) <= {*tried}
        else:
            assert held <= 0, "a model without capacity is asked for"
            assert not free, "an error though an account is free"
            longest = [max(why, key=lambda bench: bench.left(now)) for why in benched.values()]
            if isinstance(error, RequestRefusedError):
                assert {bench.reason for bench in longest} == {RefusalKind.NOT_AVAILABLE.value}
                return
            assert isinstance(error, AllAccountsLimitedError)
            earliest = min(bench.left(now) for bench in longest)
            assert error.retry_after == (None if math.isinf(earliest) else pytest.approx(earliest))

    # How they end

    @rule(lease=leases)
    def served(self, lease: tuple[int, AccountPool, Lease]) -> None:
        who, pool, taken = lease
        if pool is self.pools[who]:  # else its process is gone
            pool.report(taken, SERVED)
            self.model.served(taken.account.id, taken.model, [probe.pool for probe in taken.probes])
            self.probe_ends(taken)

    @rule(lease=leases, kind=st.sampled_from([*RefusalKind, *[RefusalKind.BANNED] * 3]), hint=HINTS)  # two are rare
    def refused(self, lease: tuple[int, AccountPool, Lease], kind: RefusalKind, hint: float | None) -> None:
        who, pool, taken = lease
        hint = hint if kind in HINTED else None
        if pool is self.pools[who]:
            pool.report(taken, Refusal(kind, 429, "refused", retry_after=hint))
            account = taken.account
            self.model.refused(account.id, account.credential.fingerprint, taken.model, kind, hint, self.clock.time())
            self.probe_ends(taken)

    def probe_ends(self, lease: Lease) -> None:
        for probe in lease.probes:
            self.probes[probe.account_id, probe.pool] = (self.clock.time(), True)

    @rule(who=WHO, name=st.sampled_from(NAMES))
    def retried(self, who: int, name: str) -> None:
        """As `auth retry` does."""
        account = next((one for one in self.pools[who].accounts.current().accounts if one.email == name), None)
        if account is not None:
            self.pools[who].release(account.id)
            self.model.retried(account.id)

    # What happens to a host

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.5, 9.0, 21.0, 61.0, 700.0, HOUR + 1, 26 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        """Its leases are never reported; the next process on the same store begins with what the others know."""
        if isinstance(self.stores[who], DiskStore):
            self.stores[who].close()  # what the kernel does
            self.stores[who] = DiskStore(self.settings.state_dir)
        self.pools[who] = self.new_pool(who)
        for told in (self.current, self.turns):
            for key in [key for key in told if key[0] == who]:
                del told[key]

    @rule(name=st.sampled_from(NAMES))
    def add_or_remove(self, name: str) -> None:
        if self.entries.pop(name, None) is None or not self.entries:
            self.sign_in(name, "again")
        self.write_accounts()

    @rule(name=st.sampled_from(NAMES))
    def enable_or_disable(self, name: str) -> None:
        if name in self.entries:
            self.entries[name]["enabled"] = not self.entries[name].get("enabled", True)
            self.write_accounts()

    @rule(name=st.sampled_from(NAMES), number=st.integers(0, 2))
    def sign_in_again(self, name: str, number: int) -> None:
        if name in self.entries:
            self.sign_in(name, f"credential-{number}")
            self.write_accounts()

    # What holds after every step

    @invariant()
    def every_process_knows_every_cooldown(self) -> None:
        """Also: none has ended before its time, for the reference never shortens one."""
        now = self.clock.time()
        wanted = {key: bench.left(now) for key, bench in self.model.benches.items() if bench.left(now) > 0}
        for pool in self.pools:
            rows = pool.store.refresh().cooldowns
            known = {
                (account, name): row.remaining(now)
                for account, pools in rows.items()
                for name, row in pools.items()
                if row.remaining(now) > 0
            }
            assert known == pytest.approx(wanted)

    @invariant()
    def health_and_buckets_stay_within_bounds(self) -> None:
        for pool in self.pools:
            for state in pool.states():
                assert 0.0 <= state.health <= 100.0
                assert 0.0 <= state.tokens <= 50.0

    @invariant()
    def every_process_knows_every_token_that_was_taken(self) -> None:
        now, by_tokens = self.clock.time(), self.settings.account_selection_strategy == "hybrid"
        for pool in self.pools:
            for state in pool.states():
                tokens, used = self.model.tokens(state.account.id, now), self.model.used.get(state.account.id)
                if by_tokens:  # the others write a second late what they do not choose by
                    assert state.tokens == pytest.approx(tokens), "a request is not counted"
                if used is None or now - used < 20 * 24 * HOUR:  # of accounts that are gone less is kept
                    if by_tokens or used is None or state.last_used is None:
                        assert state.last_used == used
                    else:
                        assert 0.0 <= used - state.last_used < 1.0


def test_whatever_happens_the_pool_does_what_its_reference_does() -> None:
    half = hypothesis.settings().max_examples // 2  # each of them is forty steps
    run_state_machine_as_test(PoolMachine, settings=hypothesis.settings(max_examples=half, stateful_step_count=40))
