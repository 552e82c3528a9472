"""One request and what it leaves behind, on a real simulator, with a clock that only moves when told."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from dispatching import BODY, EMAILS, FIRST, MODEL, SECOND, NewDispatcher, asked, new_dispatcher, served_by
from serving import settings_of
from support import FakeClock

from litellm_antigravity import events
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

__all__ = ["new_dispatcher"]  # fixtures

pytestmark = pytest.mark.once


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(4, clock=clock) as started:
        yield started


def request(*, stream: bool = False, timeout: float = 60.0) -> GeminiRequest:
    return GeminiRequest(MODEL, BODY, stream, timeout)


def refusal_of(serve: Callable[[], object]) -> RefusalKind:
    with pytest.raises(RequestRefusedError) as raised:
        serve()
    return raised.value.refusal.kind


def benched(dispatcher: Dispatcher) -> list[str]:
    return [state.account.email or "" for state in dispatcher.pool.states(MODEL) if state.cooldowns]


# What a refusal costs


def test_a_request_that_two_accounts_refuse_benches_the_first_one_only(
    new_dispatcher: NewDispatcher, simulator: Simulator
) -> None:
    dispatcher = new_dispatcher()
    simulator.refuse("refused-request", times=2)
    assert refusal_of(lambda: dispatcher.complete(request())) is RefusalKind.REFUSED_REQUEST
    assert asked(simulator) == [FIRST, SECOND]
    assert benched(dispatcher) == [FIRST]
    dispatcher.complete(request())


def test_what_befell_a_free_account_is_told_rather_than_the_limits_of_the_others(
    new_dispatcher: NewDispatcher, simulator: Simulator
) -> None:
    dispatcher = new_dispatcher()
    for email in EMAILS[1:]:
        simulator.drain(email, "claude", 900)
    simulator.refuse("server-error", email=FIRST, times=1)
    assert refusal_of(lambda: dispatcher.complete(request())) is RefusalKind.TRANSPORT
    assert dispatcher.complete(request()).lease.account.email == FIRST


def test_when_connections_alone_have_benched_everybody_everybody_is_asked_again(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    simulator.refuse("drop")
    for _ in range(6):
        assert refusal_of(lambda: dispatcher.complete(request())) is RefusalKind.TRANSPORT
        clock.advance(3)  # each counts as a failure of its own
    assert benched(dispatcher) == EMAILS
    simulator.heal()
    dispatcher.complete(request())


def test_a_fact_still_benches_an_account_when_connections_have_benched_the_others(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    simulator.drain(FIRST, "claude", 900)
    for email in EMAILS[1:]:
        simulator.refuse("drop", email=email)
    for _ in range(4):
        refusal_of(lambda: dispatcher.complete(request()))
        clock.advance(3)
    assert benched(dispatcher) == EMAILS
    simulator.heal()
    simulator.clear_log()
    assert dispatcher.complete(request()).lease.account.email != FIRST
    assert FIRST not in asked(simulator)


def read(dispatcher: Dispatcher) -> None:
    for _ in dispatcher.stream(request(stream=True)):
        pass


async def read_async(dispatcher: Dispatcher) -> None:
    pending = await asyncio.to_thread(dispatcher.begin_stream, request(stream=True))
    async for _ in await pending:
        pass


@pytest.mark.parametrize(
    "reading", [read, lambda dispatcher: asyncio.run(read_async(dispatcher))], ids=["sync", "async"]
)
def test_an_account_whose_streams_keep_breaking_off_is_left_alone_after_three(
    reading: Callable[[Dispatcher], None],
    new_dispatcher: NewDispatcher,
    simulator: Simulator,
    clock: FakeClock,
) -> None:
    dispatcher = new_dispatcher()
    simulator.refuse("truncated-stream", email=FIRST, after_chunks=1)
    for _ in range(3):
        assert refusal_of(lambda: reading(dispatcher)) is RefusalKind.BROKEN_REPLY
        clock.advance(3)
    reading(dispatcher)
    assert served_by(simulator) == [SECOND]


# What happens between the choice and the request


class Meanwhile:
    """Has something happen when the first account of a request has been chosen."""

    always = True

    def __init__(self, happens: Callable[[events.Chosen], None]) -> None:
        self._happens: Callable[[events.Chosen], None] | None = happens

    def wants(self) -> bool:
        return True

    def hear(self, event: events.Event) -> None:
        if isinstance(event, events.Chosen) and self._happens is not None:
            happens, self._happens = self._happens, None
            happens(event)


def complete_async(dispatcher: Dispatcher) -> None:
    async def complete() -> None:
        await (await asyncio.to_thread(dispatcher.begin, request()))

    asyncio.run(complete())


@pytest.mark.parametrize(
    "complete", [lambda dispatcher: dispatcher.complete(request()), complete_async], ids=["sync", "async"]
)
@pytest.mark.parametrize("strategy", ["sticky", "hybrid"])
def test_an_account_that_falls_out_while_its_token_is_fetched_is_not_asked(
    complete: Callable[[Dispatcher], None],
    strategy: str,
    new_dispatcher: NewDispatcher,
    simulator: Simulator,
    clock: FakeClock,
) -> None:
    dispatcher = new_dispatcher(account_selection_strategy=strategy)
    store = dispatcher.pool.store

    def falls_out(event: events.Chosen) -> None:
        clock.advance(0.5)
        now = clock.time()
        store.extend_cooldown(Cooldown(event.about.account_id, "claude", now + 600.0, "quota", now, fact=True))

    listener = Meanwhile(falls_out)
    events.listen(listener)
    try:
        complete(dispatcher)
    finally:
        events.stop_listening(listener)
    assert asked(simulator) == served_by(simulator) == [SECOND]
    assert not store.in_flight.counts()
    left = [state.tokens for state in dispatcher.pool.states(MODEL)]
    assert left == pytest.approx([50.0, 49.0, 50.0, 50.0])  # the first one's was given back


def test_certificates_are_read_before_an_account_is_chosen(
    new_dispatcher: NewDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take tens of milliseconds, in which the account may fall out."""
    happened: list[str] = []
    read = httpx.create_ssl_context

    def noted() -> ssl.SSLContext:
        happened.append("read")
        return read()

    monkeypatch.setattr(httpx, "create_ssl_context", noted)
    listener = Meanwhile(lambda _: happened.append("chosen"))
    events.listen(listener)
    try:
        new_dispatcher().complete(request())
    finally:
        events.stop_listening(listener)
    assert happened == ["read", "chosen"]


# Sticky


def test_sticky_waits_for_its_own_account_rather_than_lose_its_prompt_cache(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher(sticky_wait_seconds=10)
    dispatcher.complete(request())
    simulator.refuse("rate", email=FIRST, retry_seconds=4, times=1)
    dispatcher.complete(request())
    assert served_by(simulator) == [FIRST, FIRST]
    assert 4 <= sum(clock.slept) < 5


def test_sticky_does_not_wait_for_longer_than_it_may(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher(sticky_wait_seconds=10)
    dispatcher.complete(request())
    simulator.refuse("rate", email=FIRST, retry_seconds=40, times=1)
    dispatcher.complete(request())
    assert served_by(simulator) == [FIRST, SECOND]
    assert clock.slept == []


def test_a_disabled_account_is_followed_by_the_next_one_in_the_file_without_a_new_offset(
    new_dispatcher: NewDispatcher, tmp_path: Path, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher(pid_offset_enabled=True)
    before = EMAILS.index(dispatcher.complete(request()).lease.account.email or "")
    path = tmp_path / "antigravity-accounts.json"
    document = json.loads(path.read_text())
    document["accounts"][before]["enabled"] = False
    path.write_text(json.dumps(document))
    clock.advance(1)
    assert dispatcher.complete(request()).lease.account.email == EMAILS[(before + 1) % 4]


# Time


def test_an_account_whose_token_does_not_come_leaves_time_for_the_next_one(
    simulator: Simulator, tmp_path: Path
) -> None:
    fields = {"account_selection_strategy": "sticky", "max_rate_limit_wait_seconds": 0}
    dispatcher = Dispatcher(settings_of(simulator, tmp_path, **fields), store=MemoryStore())
    simulator.refuse("hang", email=FIRST, target="token")
    assert dispatcher.complete(request(timeout=2.0)).lease.account.email == SECOND


def test_requests_that_wait_for_a_token_hold_up_no_failover(simulator: Simulator, tmp_path: Path) -> None:
    fields = {"account_selection_strategy": "round-robin", "max_rate_limit_wait_seconds": 0}
    path = tmp_path / "antigravity-accounts.json"
    simulator.write_accounts_file(path, entries={FIRST: {"enabled": False}})
    dispatcher = Dispatcher(settings_of(simulator, tmp_path, **fields), store=MemoryStore())
    for _ in range(3):  # the others have their tokens
        dispatcher.complete(request())
    simulator.write_accounts_file(path)
    simulator.refuse("hang", email=FIRST, target="token")

    async def one() -> str:
        answer = await (await asyncio.to_thread(dispatcher.begin, request(timeout=20.0)))
        return answer.lease.account.email or ""

    async def run() -> list[str]:
        crowd = [asyncio.create_task(one()) for _ in range(4 * 40)]  # a quarter of them waits, more than have threads
        for task in itertools.islice(asyncio.as_completed(crowd), 3 * 40):
            await task
        simulator.drain(SECOND, "claude", 900)
        simulator.write_accounts_file(path, entries={FIRST: {"enabled": False}})
        answers = await asyncio.wait_for(asyncio.gather(*(one() for _ in range(6))), 15)
        await asyncio.to_thread(simulator.close)  # those that wait still are told, and none goes on in the next test
        await asyncio.gather(*crowd, return_exceptions=True)
        return answers

    answers = asyncio.run(run())
    assert SECOND in asked(simulator)
    assert set(answers) == {EMAILS[2], EMAILS[3]}
