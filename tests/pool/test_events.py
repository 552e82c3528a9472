"""Each decision and each outcome is told once, to whoever listens; the decision log is one of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
from dispatching import BODY, FIRST, MODEL, SECOND, THIRD, NewDispatcher, new_dispatcher
from support import FakeClock

from litellm_antigravity import events
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.simulator import Simulator

__all__ = ["new_dispatcher"]  # fixtures

pytestmark = pytest.mark.once

EMAILS = [FIRST, SECOND, THIRD]


class Ear:
    """Keeps what it hears, as long as it wants to."""

    always = False

    def __init__(self) -> None:
        self.heard: list[events.Event] = []
        self.is_open = True

    def wants(self) -> bool:
        return self.is_open

    def hear(self, event: events.Event) -> None:
        self.heard.append(event)

    @property
    def names(self) -> list[str]:
        """What was heard, in a word each, and leave it behind."""
        names = [type(one).__name__ for one in self.heard]
        self.heard.clear()
        return names


@pytest.fixture
def ear() -> Iterator[Ear]:
    listener = Ear()
    events.listen(listener)
    yield listener
    events.stop_listening(listener)


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(3, clock=clock) as started:
        yield started


def request(*, stream: bool = False) -> GeminiRequest:
    return GeminiRequest(MODEL, BODY, stream, 60.0, request_id="call-1")


async def asynchronously(dispatcher: Dispatcher, asked: GeminiRequest) -> None:
    if asked.stream:
        async for _ in await (await asyncio.to_thread(dispatcher.begin_stream, asked)):
            pass
    else:
        await (await asyncio.to_thread(dispatcher.begin, asked))


def synchronously(dispatcher: Dispatcher, asked: GeminiRequest) -> None:
    if asked.stream:
        list(dispatcher.stream(asked))
    else:
        dispatcher.complete(asked)


SERVE: dict[str, Callable[[Dispatcher, GeminiRequest], None]] = {
    "sync": synchronously,
    "async": lambda dispatcher, asked: asyncio.run(asynchronously(dispatcher, asked)),
}


DECISIONS = [
    "[accounts] Applying slot offset: 0 (slot % accounts.length)",
    "[accounts] Starting account index for 'claude': 0",
    f"[accounts] sticky: us***1@example.com serves {MODEL} (3 of 3 free)",
    f"[accounts] us***1@example.com: quota for {MODEL}, out of claude for 15m0s",
    "[accounts] us***1@example.com: quota; trying another account",
    f"[accounts] sticky: us***2@example.com serves {MODEL} (2 of 3 free, 1 tried before)",
    f"[accounts] sticky: us***2@example.com serves {MODEL} (2 of 3 free)",
    f"[accounts] us***2@example.com: quota for {MODEL}, out of claude for 10s",
    "[accounts] us***2@example.com: quota; trying another account",
    f"[accounts] sticky: us***3@example.com serves {MODEL} (1 of 3 free, 1 tried before)",
    f"[accounts] us***3@example.com: quota for {MODEL}, out of claude for 10m0s",
    "[accounts] us***3@example.com: quota; trying another account",
    f"[accounts] every account is limited for {MODEL}; waiting 10.0 s",
    f"[accounts] sticky: us***2@example.com serves {MODEL} (1 of 3 free)",
]
"""What the decision log has said of this since before there were events."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("door", SERVE)
def test_every_door_tells_each_decision_and_each_outcome_once(
    ear: Ear, new_dispatcher: NewDispatcher, simulator: Simulator, door: str, stream: bool
) -> None:
    """Before: there was nobody to tell."""
    dispatcher, serve = new_dispatcher(), SERVE[door]
    serve(dispatcher, request(stream=stream))
    assert ear.names == ["Started", "Chosen", "Refreshed", "Sent", "Served", "Used"]
    serve(dispatcher, request(stream=stream))
    assert ear.names == ["Chosen", "Sent", "Served", "Used"]
    simulator.drain(FIRST, "claude", 900)
    serve(dispatcher, request(stream=stream))
    heard = {type(one): one for one in ear.heard}
    refused, benched = heard[events.Refused], heard[events.Benched]
    assert isinstance(refused, events.Refused)
    assert isinstance(benched, events.Benched)
    assert (refused.kind, refused.status, refused.about.request_id) == ("quota", 429, "call-1")
    assert (benched.pool, benched.fact, round(benched.seconds)) == ("claude", True, 900)
    expected = ["Chosen", "Sent", "Refused", "Benched", "Switched", "Chosen", "Refreshed", "Sent", "Served", "Used"]
    assert ear.names == expected


def test_a_try_on_the_same_account_is_told_as_another_one_sent_and_refused(
    ear: Ear, new_dispatcher: NewDispatcher, simulator: Simulator
) -> None:
    dispatcher = new_dispatcher()
    dispatcher.complete(request())
    ear.heard.clear()
    simulator.refuse("capacity", times=2)
    dispatcher.complete(request())
    assert ear.names == ["Chosen", "Sent", "Refused", "Sent", "Refused", "Sent", "Served", "Used"]


def test_waiting_probing_and_coming_back_are_told(
    ear: Ear, new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher(max_rate_limit_wait_seconds=20)
    for email in EMAILS:
        simulator.drain(email, "claude", 10)
    dispatcher.complete(request())
    waited = next(one for one in ear.heard if isinstance(one, events.Waited))
    assert (waited.why, waited.model, waited.request_id) == ("nobody", MODEL, "call-1")
    ear.heard.clear()
    for email in EMAILS:
        simulator.drain(email, "claude", 20_000)
    with pytest.raises(Exception, match="limited"):
        dispatcher.complete(request())
    simulator.heal()
    clock.advance(3700)
    ear.heard.clear()
    dispatcher.complete(request())
    assert ear.names == ["Probed", "Refreshed", "Sent", "Served", "Back", "Used"]
    limited = next(state.account.id for state in dispatcher.pool.states(MODEL) if state.cooldowns)
    dispatcher.pool.release(limited)
    assert ear.names == ["Back"]


def test_nothing_is_made_where_nobody_listens(
    new_dispatcher: NewDispatcher, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that is made all the same is found here, whoever forgot to ask first."""

    def made(_: object, *__: object, **fields: object) -> None:
        raise AssertionError(fields)

    for name in events.__all__:
        event = getattr(events, name)
        if isinstance(event, type) and issubclass(event, events.Event):
            monkeypatch.setattr(event, "__init__", made)
    dispatcher = new_dispatcher(max_rate_limit_wait_seconds=20)
    dispatcher.complete(request())
    for email in EMAILS:
        simulator.drain(email, "claude", 10)
    dispatcher.complete(request())
    list(dispatcher.stream(request(stream=True)))
    assert len(simulator.log) > 6


def test_a_listener_that_fails_fails_no_request(
    ear: Ear, new_dispatcher: NewDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: events.Event) -> None:
        raise OSError

    monkeypatch.setattr(ear, "hear", fail)
    assert new_dispatcher().complete(request()).lease.account.email == FIRST


def test_the_decision_log_says_what_it_always_said(
    new_dispatcher: NewDispatcher, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    dispatcher = new_dispatcher(pid_offset_enabled=True, offset_source="slot", max_rate_limit_wait_seconds=20)
    simulator.drain(FIRST, "claude", 900)
    dispatcher.complete(request())
    simulator.drain(SECOND, "claude", 10)
    simulator.drain(THIRD, "claude", 600)
    dispatcher.complete(request())
    lines = [one.getMessage() for one in caplog.records if one.name == "litellm_antigravity"]
    assert [line for line in lines if "new access token" not in line] == DECISIONS
    assert sum("new access token, good for " in line for line in lines) == 3
