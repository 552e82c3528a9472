"""A conversation stays on its account, in every process: where it begins, when it goes, and when it comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import litellm
import pytest
from processes import started, together
from pydantic import SecretStr
from serving import MESSAGES, MODEL, account_of, fields_of, settings_of
from support import NOW, FakeClock

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.pool import SERVED, Lease, LeaseRequest, Wait
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.outage import OutageReplica
from litellm_antigravity.state.rows import decode_binding, encode_binding

pytestmark = pytest.mark.once

COUNT = 4
HOUR = 3600.0
FAMILY = "claude"
STRATEGIES = ["sticky", "hybrid"]
DECISION = "x-litellm-antigravity-decision"

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def accounts(count: int = COUNT) -> Any:
    return static_accounts(
        *(Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(count))
    )


class Host:
    """Several pools on one state, as several processes have them; conversations go round them."""

    def __init__(self, strategy: str = "sticky", *, store: Ledger | None = None, **settings: Any) -> None:
        self.clock = FakeClock()
        self.store = store or MemoryStore()
        settings = {"max_rate_limit_wait_seconds": 0, "ramp_seconds": 0, **settings}  # `test_ramp` has that one
        self.settings = Settings(account_selection_strategy=strategy, **settings)
        self.pools = [
            AccountPool(self.settings, accounts=accounts(), store=self.store, clock=self.clock) for _ in range(3)
        ]
        self.ids = [account.id for account in self.pools[0].accounts.current().enabled]
        self._turn = 0

    def take(self, conversation: str | None, *tried: str, **asked: Any) -> Lease | Wait:
        """Have the next process take an account for a request of a conversation."""
        self._turn += 1
        pool = self.pools[self._turn % len(self.pools)]
        return pool.try_acquire(LeaseRequest(MODEL, tried, conversation=conversation, **asked))

    def ask(self, conversation: str | None, *tried: str) -> Lease:
        """Have a request of a conversation served."""
        lease = self.take(conversation, *tried)
        assert isinstance(lease, Lease)
        self.pools[0].report(lease, SERVED)
        return lease

    def on(self, conversation: str) -> tuple[int, str]:
        """Return the place of the account that serves a conversation's next request, and why."""
        lease = self.ask(conversation)
        return self.ids.index(lease.account.id), lease.why

    def refuse(self, lease: Lease, kind: RefusalKind, seconds: float | None) -> None:
        self.pools[0].report(lease, Refusal(kind, 429, "no", retry_after=seconds))

    def rows(self) -> Mapping[str, str]:
        return {row.key: row.text for row in self.store.replica.rows("binding/")}


# Where a conversation begins


@every_strategy
def test_new_conversations_differ_by_one_at_most_whatever_process_they_come_to(strategy: str) -> None:
    """Before, each process had its own account, and all conversations behind one process shared it."""
    host = Host(strategy)
    for count in range(1, 24):
        assert host.on(f"c{count}")[1] == "new"
        taken = Counter(binding.account_id for _, binding in host.store.refresh().bindings.items())
        assert max(taken.values()) - min(taken.get(one, 0) for one in host.ids) <= 1


@every_strategy
def test_a_conversation_stays_on_its_account_in_every_process(strategy: str) -> None:
    host = Host(strategy)
    first = {f"c{number}": host.on(f"c{number}")[0] for number in range(10)}
    for _ in range(20):
        assert {name: host.on(name) for name in first} == {name: (place, "bound") for name, place in first.items()}


@every_strategy
def test_families_and_unnamed_requests_do_not_count_for_each_other(strategy: str) -> None:
    host = Host(strategy)
    for number in range(COUNT):
        host.on(f"c{number}")
    gemini = [
        host.pools[0].try_acquire(LeaseRequest("gemini-3-flash", conversation=f"g{number}")) for number in range(COUNT)
    ]
    assert {one.account.id for one in gemini if isinstance(one, Lease)} == {*host.ids}
    before = host.rows()
    host.ask(None)
    assert host.rows() == before


def test_the_first_one_begins_where_pid_offset_says() -> None:
    settings = Settings(account_selection_strategy="sticky", pid_offset_enabled=True)
    for pid in range(COUNT):
        pool = AccountPool(settings, accounts=accounts(), store=MemoryStore(), pid=lambda pid=pid: pid)  # type: ignore[misc]
        lease = pool.try_acquire(LeaseRequest(MODEL, conversation="c"))
        assert isinstance(lease, Lease)
        assert lease.account.position == pid


def test_requests_in_flight_decide_among_accounts_with_as_many_conversations() -> None:
    host = Host()
    flying = {host.ids[0]: 3, host.ids[1]: 1, host.ids[2]: 2, host.ids[3]: 1}
    for pool in host.pools:
        assert pool._bound is not None
        pool._bound._in_flight = lambda: flying
    assert [host.on(f"c{number}")[0] for number in range(COUNT)] == [1, 3, 2, 0]


@every_strategy
def test_a_conversation_that_may_be_over_counts_for_less(strategy: str) -> None:
    host = Host(strategy)
    for number in range(COUNT):
        host.on(f"old{number}")
    host.clock.advance(0.8 * HOUR)
    assert host.on("old0") == (0, "bound")
    assert host.on("new1")[0] != 0
    host.clock.advance(0.4 * HOUR)  # the old ones are over but for the first
    load = host.store.refresh().bindings.load(FAMILY, host.clock.time())
    assert sum(load.values()) == pytest.approx(2.0)


@pytest.mark.parametrize("settings", [{"strategy": "round-robin"}, {"sticky_scope": "process"}])
def test_where_conversations_are_not_kept_nothing_is_written_for_them(settings: dict[str, Any]) -> None:
    host = Host(**settings)
    assert [host.ask("c").conversation for _ in range(3)] == [None] * 3
    assert host.rows() == {}


# What is written


def test_a_binding_is_written_when_it_begins_and_once_in_half_of_its_time() -> None:
    host = Host()
    lease = host.take("c")
    placed = host.rows()
    assert isinstance(lease, Lease)
    host.pools[0].report(lease, SERVED)
    kept = host.rows()
    assert len({*placed.values(), *kept.values()}) == 2
    for _ in range(5):
        host.ask("c")
        host.clock.advance(0.09 * HOUR)
        assert host.rows() == kept
    host.clock.advance(0.1 * HOUR)
    host.ask("c")
    assert host.rows() != kept


def test_a_look_reads_nothing_but_what_each_request_reads(tmp_path: Path) -> None:
    with closing(DiskStore(tmp_path / "state")) as store:
        host = Host(store=store)
        host.ask("c")
        host.clock.advance(1.0)
        asked: list[str] = []
        connection: Any = store.replica.backend._connection  # type: ignore[attr-defined]
        connection.raw.set_trace_callback(asked.append)
        host.ask(None)
        without, asked[:] = [*asked], []
        host.ask("c")
        assert len(asked) <= len(without)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_answer_of_an_account_in_full_health_makes_the_binding_last(*, asynchronous: bool) -> None:
    """An asynchronous report left it: the account's health gained nothing."""
    host = Host(health_score={"initial": 100})
    lease = host.take("c")
    assert isinstance(lease, Lease)
    if asynchronous:
        asyncio.run(host.pools[0].areport(lease, SERVED))
    else:
        host.pools[0].report(lease, SERVED)
    known = host.store.refresh().bindings.get("c")
    assert known is not None
    assert not known.is_placed


def test_a_binding_ends_after_its_time_without_use() -> None:
    host = Host(conversation_ttl_seconds=600)
    assert host.on("c") == (0, "new")
    host.clock.advance(599)
    assert host.on("c") == (0, "bound")
    host.clock.advance(599)
    assert host.on("c") == (0, "bound")
    host.clock.advance(601)
    assert host.on("c")[1] == "new"


def test_what_a_killed_process_has_placed_is_over_in_two_minutes() -> None:
    host = Host()
    assert isinstance(host.take("c"), Lease)
    assert host.store.refresh().bindings.load(FAMILY, host.clock.time()) == {host.ids[0]: 1.0}
    host.clock.advance(200)
    assert host.store.refresh().bindings.load(FAMILY, host.clock.time()) == {}
    assert host.on("c")[1] == "new"


def test_conversations_are_bounded_and_one_that_is_used_outlives_a_flood(tmp_path: Path) -> None:
    with closing(DiskStore(tmp_path / "state")) as store:
        host = Host(store=store, conversation_limit=40)
        place, _ = host.on("kept")
        sizes = []
        for number in range(400):
            host.on(f"c{number}")
            if number % 10 == 0:
                assert host.on("kept") == (place, "bound")
                sizes.append(len(host.rows()))
        assert len(store.refresh().bindings) == 40
        assert max(sizes) <= 80
        assert host.on("c0")[1] == "new"


# When it goes, and comes back


@every_strategy
def test_a_spent_quota_moves_a_conversation_once_and_for_good(strategy: str) -> None:
    """Before, each process went its own way, and came back when its account did."""
    host = Host(strategy)
    mine = [f"c{number}" for number in range(8)]
    homes = {name: host.on(name)[0] for name in mine}
    lease = host.take(mine[0])
    assert isinstance(lease, Lease)
    host.refuse(lease, RefusalKind.QUOTA, 60.0)
    moved = [name for name in mine if homes[name] == homes[mine[0]]]
    after = {name: host.on(name) for name in mine}
    assert {name for name, (_, why) in after.items() if why == "rebound"} == {*moved}
    assert len({after[name][0] for name in moved}) == len(moved)  # not all to the same one
    host.clock.advance(61.0)
    assert {name: host.on(name) for name in mine} == {name: (place, "bound") for name, (place, _) in after.items()}


@pytest.mark.parametrize(
    ("kind", "times", "seconds"),
    [(RefusalKind.RATE, 1, 30.0), (RefusalKind.TRANSPORT, 3, 20.0)],
    ids=["limit", "break"],
)
def test_a_conversation_comes_back_after_a_short_limit_or_breakdown(
    kind: RefusalKind, times: int, seconds: float
) -> None:
    host = Host()
    home, _ = host.on("c")
    lease = host.take("c")
    assert isinstance(lease, Lease)
    for _ in range(times):
        host.refuse(lease, kind, seconds if kind is RefusalKind.RATE else None)
        host.clock.advance(3.0)
    (detour, why), (again, _) = host.on("c"), host.on("c")
    assert why == "detour"
    assert detour == again != home
    assert host.on("another")[0] not in (home, detour)  # a detour counts where it is
    host.clock.advance(seconds)
    assert host.on("c") == (home, "bound")
    assert [binding.detour for key, binding in host.store.refresh().bindings.items() if key == "c"] == [None]


def test_a_limit_that_lasts_is_left_for_good_and_for_the_account_of_the_detour() -> None:
    host = Host()
    home, _ = host.on("c")
    lease = host.take("c")
    assert isinstance(lease, Lease)
    host.refuse(lease, RefusalKind.RATE, 30.0)
    detour, _ = host.on("c")
    host.refuse(lease, RefusalKind.QUOTA, HOUR)
    host.on("x"), host.on("y")
    assert host.on("c") == (detour, "rebound")
    host.clock.advance(2 * HOUR)
    assert detour != home


def test_a_request_waits_for_its_conversations_account_as_long_as_it_may() -> None:
    host = Host("hybrid", sticky_wait_seconds=20.0)
    lease = host.ask("c")
    host.refuse(lease, RefusalKind.RATE, 10.0)
    wait = host.take("c")
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(10.01)
    assert isinstance(host.take(None), Lease)
    assert isinstance(host.take("c", waited=15.0), Lease)
    assert host.pools[0].patience("c") == 20.0
    assert host.pools[0].patience(None) == 0.0


def test_a_conversation_that_was_refused_before_its_first_content_begins_elsewhere() -> None:
    host = Host()
    lease = host.take("c")
    assert isinstance(lease, Lease)
    host.refuse(lease, RefusalKind.RATE, 30.0)
    second = host.ask("c", lease.account.id)
    assert (second.why, second.account.id != lease.account.id) == ("new", True)
    host.clock.advance(31.0)
    assert host.ask("c").account.id == second.account.id


def test_a_conversation_leaves_an_account_that_is_disabled() -> None:
    host = Host()
    home, _ = host.on("c")
    left = [account for account in host.pools[0].accounts.current().enabled if account.position != home]
    for pool in host.pools:
        pool.accounts = static_accounts(*left)
    assert host.ask("c").why == "rebound"


def test_conversations_leave_a_tired_account_one_by_one_and_no_more_than_make_it_even() -> None:
    """All at once, they would tire the next one."""
    host = Host("hybrid", token_bucket={"regeneration_rate_per_minute": 0})
    for one in host.ids[1:]:
        host.store.extend_cooldown(
            Cooldown(one, FAMILY, host.clock.time() + 1.0, "quota", host.clock.time(), fact=True)
        )
    names = [f"c{number}" for number in range(5)]
    assert [host.on(name) for name in names] == [(0, "new")] * 5
    host.clock.advance(2.0)
    for _ in range(50):
        host.store.begin_request(host.ids[0], host.clock.time(), host.pools[0].rules, require_token=False)
    assert [host.on(name)[1] for name in names] == ["rebound"] * 3 + ["bound"] * 2
    assert [host.on(name) for name in names] == [(1, "bound"), (2, "bound"), (3, "bound"), (0, "bound"), (0, "bound")]


def test_a_lone_conversation_leaves_a_tired_account_for_a_rested_one() -> None:
    host = Host("hybrid", token_bucket={"regeneration_rate_per_minute": 0})
    places = [host.on("c")[0] for _ in range(200)]
    assert Counter(places) == dict.fromkeys(range(COUNT), 50)
    assert places == sorted(places)
    assert [host.on("c")[1] for _ in range(3)] == ["bound"] * 3  # nobody is better


def test_conversations_leave_an_account_in_ill_health_and_stay_where_nobody_is_better() -> None:
    host = Host("hybrid")
    home, _ = host.on("c")

    def fail(place: int) -> None:
        account = host.pools[0].accounts.current().enabled[place]
        for _ in range(2):
            host.refuse(Lease(account, MODEL, "claude", host.clock.time()), RefusalKind.TRANSPORT, None)
            host.clock.advance(3.0)

    for place in range(COUNT):
        if place != home:
            fail(place)
    assert host.on("c") == (home, "bound")
    fail(home)
    assert host.on("c") == (home, "bound")
    host.clock.advance(20 * HOUR)  # all are well again, and the conversation is over
    home, _ = host.on("c")
    fail(home)
    assert host.on("c")[1] == "rebound"


# Many processes


def placed_in(folder: str, names: list[str]) -> dict[str, str]:
    """In a child process: have a request of each conversation served; return the accounts."""
    pool = AccountPool(Settings(account_selection_strategy="sticky", state_dir=folder), accounts=accounts())
    found = {}
    for name in names:
        lease = pool.try_acquire(LeaseRequest(MODEL, conversation=name))
        assert isinstance(lease, Lease)
        pool.report(lease, SERVED)
        found[name] = lease.account.id
    return found


def test_processes_that_bind_at_once_agree_and_spread_evenly(tmp_path: Path) -> None:
    """Before, each process put what it got on its own account."""
    shared = [f"shared{number}" for number in range(20)]
    results = together(
        placed_in, [(str(tmp_path), [*shared, *(f"own{which}.{number}" for number in range(9))]) for which in range(6)]
    )
    assert [{name: one[name] for name in shared} for one in results] == [
        {name: results[0][name] for name in shared}
    ] * 6
    everything = {name: account for one in results for name, account in one.items()}
    counts = Counter(everything.values())
    assert len(counts) == COUNT
    assert max(counts.values()) - min(counts.values()) <= 1


def places_for_ever(folder: str) -> None:
    """In a child process: begin conversations until somebody ends it."""
    pool = AccountPool(Settings(account_selection_strategy="sticky", state_dir=folder), accounts=accounts())
    number = 0
    while True:
        lease = pool.try_acquire(LeaseRequest(MODEL, conversation=f"{os.getpid()}.{number}"))
        if isinstance(lease, Lease) and number % 2:
            pool.report(lease, SERVED)
        number += 1


def test_processes_that_are_killed_leave_whole_bindings(tmp_path: Path) -> None:
    crowd = [started(places_for_ever, str(tmp_path)) for _ in range(4)]
    with closing(DiskStore(tmp_path)) as store:
        for process in crowd:
            before = len(store.refresh().bindings)
            while len(store.refresh().bindings) < before + 20:
                pass
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        rows = store.replica.rows("binding")
        bindings = [decode_binding(row.text) for row in rows]
        assert None not in bindings
        numbers = Counter(
            binding.number for binding, row in zip(bindings, rows, strict=True) if binding and "/" in row.key
        )
        assert store.refresh().bindings.placed == max(numbers)
        assert all(
            binding.remaining(binding.used_at + 121) == 0 for binding in bindings if binding and binding.is_placed
        )


# When the shared state cannot be used


def test_a_process_that_goes_on_alone_keeps_the_bindings_that_it_knew() -> None:
    host = Host(conversation_limit=77)
    host.on("c")
    memory = OutageReplica(host.store.refresh(), host.pools[0].rules)
    known = memory.known().bindings.get("c")
    assert known is not None
    assert known.account_id == host.ids[0]
    assert memory.known().bindings.limit == 77
    alone = Ledger(memory)
    later = Binding(host.ids[2], FAMILY, NOW + 5, HOUR)
    alone.settle("c", lambda _: later)
    alone.place("d", Binding(host.ids[3], FAMILY, NOW + 6, HOUR), NOW + 6, known=None, placed=None)
    memory.hand_over(host.store.replica, NOW + 10)
    after = host.store.refresh().bindings
    assert {key: binding.account_id for key, binding in after.items()} == {"c": host.ids[2], "d": host.ids[3]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"account": 1, "family": "claude", "at": 1, "for": 1, "n": 1}',
        '{"account": "a", "family": "claude", "at": "1", "for": 1, "n": 1}',
        '{"account": "a", "family": "claude", "at": 1, "for": NaN, "n": 1}',
        '{"account": "a", "family": "claude", "at": 1, "for": 1, "n": -1}',
    ],
)
def test_a_row_that_is_no_binding_is_none(text: str) -> None:
    assert decode_binding(text) is None


def test_a_binding_is_read_as_it_was_written() -> None:
    for binding in (Binding("a", FAMILY, NOW, 60.0), Binding("a", FAMILY, NOW, 60.0, 3, "b", is_placed=True)):
        assert decode_binding(encode_binding(binding)) == binding


# Through LiteLLM


def ask_plainly(**more: Any) -> Any:
    return litellm.completion(model=MODEL, messages=MESSAGES, **more)


def ask_streamed(**more: Any) -> Any:
    return list(litellm.completion(model=MODEL, messages=MESSAGES, stream=True, **more))


def ask_asynchronously(**more: Any) -> Any:
    return asyncio.run(litellm.acompletion(model=MODEL, messages=MESSAGES, **more))


def ask_for_an_asynchronous_stream(**more: Any) -> Any:
    async def ask() -> list[Any]:
        return [chunk async for chunk in await litellm.acompletion(model=MODEL, messages=MESSAGES, stream=True, **more)]

    return asyncio.run(ask())


DOORS = [ask_plainly, ask_streamed, ask_asynchronously, ask_for_an_asynchronous_stream]


def decision_in(reply: Any) -> str | None:
    one = reply[0] if isinstance(reply, list) else reply
    found = one._hidden_params["additional_headers"].get(DECISION)
    return None if found is None else str(found)


@pytest.mark.parametrize("ask", DOORS)
@every_strategy
def test_a_named_session_stays_at_every_door_moves_when_drained_and_the_answer_says_so(
    ask: Callable[..., Any], strategy: str, antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    """Before, hybrid took the account that had rested longest, so each of the first requests went to another one."""
    simulator = antigravity_simulator
    litellm_antigravity.register(settings_of(simulator, tmp_path, account_selection_strategy=strategy))
    replies = [ask(litellm_session_id="one") for _ in range(3)]
    assert [decision_in(reply) for reply in replies] == ["new", "hit", "hit"]
    [home] = {account_of(reply) for reply in replies}
    assert account_of(ask(litellm_session_id="two")) != home
    [email] = [account.email for account in simulator.accounts if account.label == home]
    simulator.drain(email, None, 600)
    moved = [ask(litellm_session_id="one") for _ in range(2)]
    assert [decision_in(reply) for reply in moved] == ["rebound", "hit"]
    [now] = {account_of(reply) for reply in moved}
    assert now != home
    assert decision_in(ask()) is None


def serves(fields: dict[str, Any], session: str) -> str:
    """In a child process: have two requests of a session served; return the account."""
    litellm_antigravity.register(Settings(**fields))
    [account] = {account_of(ask_plainly(litellm_session_id=session)) for _ in range(2)}
    return account


def test_a_session_has_one_account_in_four_processes(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    """Before, each of the processes had its own account for it."""
    fields = fields_of(
        antigravity_simulator,
        tmp_path,
        account_selection_strategy="sticky",
        pid_offset_enabled=True,
        offset_source="slot",
    )
    assert len({*together(serves, [(fields, "one")] * 4)}) == 1


# Choosing for somebody else, who sends the request


def test_a_choice_for_somebody_else_places_a_conversation_and_its_answer_binds_it() -> None:
    host = Host()
    pool = host.pools[0]
    places = [pool.choose(MODEL, conversation=f"c{number}") for number in range(COUNT)]
    assert places == host.ids
    assert pool.choose(MODEL) == host.ids[0]
    assert [pool.choose(MODEL, conversation="c2", among=host.ids[1:]) for _ in range(2)] == [host.ids[2]] * 2
    lease = pool.take(MODEL, host.ids[2], "c2")
    assert lease is not None
    pool.report(lease, SERVED)
    host.clock.advance(600.0)  # the other ones were placed and never answered
    assert [pool.choose(MODEL, conversation=f"c{number}") for number in (2, 3)] == host.ids[2:]


def test_a_request_for_a_named_account_says_what_the_account_is_to_its_conversation() -> None:
    host = Host()
    whys = []
    for place in (1, 1, 2, 1):
        lease = host.take("c", account_id=host.ids[place])
        assert isinstance(lease, Lease)
        host.pools[0].report(lease, SERVED)
        whys.append(lease.why)
    assert whys == ["new", "bound", "detour", "bound"]
