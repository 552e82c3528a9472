"""LiteLLM's own switches for pinned groups, its checks before our hook and behind it: each keeps its promise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from litellm.responses.utils import ResponsesAPIRequestUtils
from serving import MESSAGES, settings_of

import litellm_antigravity
from litellm_antigravity.litellm.routing.affinity import Key, remember, remembered
from litellm_antigravity.litellm.seams.router import forget_routers
from litellm_antigravity.simulator import SimulatedAccount, Simulator

GROUP = "keys"
MODEL = "gemini-3-flash"
EMAILS = ["user1@example.com", "user2@example.com", "user3@example.com"]
SESSION = {"metadata": {"session_id": "one"}}
CALLER = {"metadata": {"user_api_key_hash": "c" * 64}}
LONG_PROMPT = [
    {"role": "system", "content": [{"type": "text", "text": "Rule. " * 5000, "cache_control": {"type": "ephemeral"}}]},
    *MESSAGES,
]
OURS = {"model": f"antigravity/{MODEL}"}  # LiteLLM's Gemini makes a call of its own of `cache_control`
EVERY_VALUE = [
    "session_affinity",
    "deployment_affinity",
    "prompt_caching",
    "responses_api_deployment_check",
    "enforce_model_rate_limits",
    "router_budget_limiting",
    "forward_client_headers_by_model_group",
    "encrypted_content_affinity",
]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(3, models=[MODEL]) as started:
        yield started


@pytest.fixture(autouse=True)
def _callbacks_as_before() -> Iterator[None]:
    names = ["callbacks", "input_callback", "success_callback", "failure_callback"]
    names += ["_async_success_callback", "_async_failure_callback"]
    before = {name: list(getattr(litellm, name)) for name in names}
    yield
    for name, value in before.items():
        getattr(litellm, name)[:] = value
    forget_routers()


def deployment(account: SimulatedAccount, simulator: Simulator, **params: Any) -> dict[str, Any]:
    """Return a pinned deployment of an API key, unless ``params`` have a model."""
    base = f"{simulator.url}/v1beta/models/{MODEL}"
    key = {"model": f"gemini/{MODEL}", "api_key": account.api_key, "api_base": base}
    return {
        "model_name": GROUP,
        "litellm_params": params if "model" in params else {**key, **params},
        "model_info": {"account": account.email, "id": f"key-{EMAILS.index(account.email) + 1}"},
    }


def hook_last() -> None:
    """Have LiteLLM's checks come before our hook, as where the Router was made first."""
    hook = litellm_antigravity.hook
    litellm.callbacks = [*(one for one in litellm.callbacks if one is not hook), hook]


def hook_first() -> None:
    """Have our hook come before LiteLLM's checks, as in the proxy."""
    hook = litellm_antigravity.hook
    litellm.callbacks = [hook, *(one for one in litellm.callbacks if one is not hook)]


both_orders = pytest.mark.parametrize("order", [hook_last, hook_first], ids=["check-first", "hook-first"])
Order = Callable[[], None]


class Keys:
    """A Router over three keys, in an event loop of its own.

    Attributes:
        router: LiteLLM's.
        simulator: where the keys are asked.
    """

    def __init__(self, router: Any, simulator: Simulator) -> None:
        self.router = router
        self.simulator = simulator

    async def ask(self, **params: Any) -> int:
        """Send a request; return the number of the key that served it."""
        self.simulator.clear_log()
        await self.router.acompletion(**{"model": GROUP, "messages": MESSAGES, **params})
        await asyncio.sleep(0.05)  # what LiteLLM notes in the background
        (email,) = {one.email for one in self.simulator.log if one.kind == "served"}
        return EMAILS.index(email or "") + 1

    async def chosen(self, **request_kwargs: Any) -> int:
        """Return the number of the key that a request would go to."""
        found = await self.router.async_get_available_deployment(
            model=GROUP, messages=MESSAGES, request_kwargs=request_kwargs
        )
        return int(found["model_info"]["id"].removeprefix("key-"))

    async def limit(self, number: int) -> None:
        """Have a key run dry for a minute, and a request that asks for that very key meet it."""
        self.simulator.drain(EMAILS[number - 1], "gemini", 60)
        with pytest.raises(litellm.RateLimitError):
            await self.router.acompletion(model=f"key-{number}", messages=MESSAGES, num_retries=0)
        await asyncio.sleep(0.05)


def with_keys(
    simulator: Simulator,
    folder: Path,
    order: Order,
    use: Callable[[Keys], Awaitable[Any]],
    *,
    checks: list[str] | None = None,
    strategy: str = "round-robin",
    params: dict[str, Any] | None = None,
    **router: Any,
) -> Any:
    async def run() -> Any:
        fields = {"account_selection_strategy": strategy, "max_rate_limit_wait_seconds": 0}
        litellm_antigravity.register(settings_of(simulator, folder, **fields))
        model_list = [deployment(one, simulator, **(params or {})) for one in simulator.accounts]
        made = litellm.Router(
            model_list=model_list,
            optional_pre_call_checks=checks,
            **{"num_retries": 3, "disable_cooldowns": True, **router},
        )
        litellm_antigravity.install(made)
        order()
        return await use(Keys(made, simulator))

    return asyncio.run(run())


# Affinities


@both_orders
@pytest.mark.parametrize(
    ("check", "params", "model"),
    [
        ("session_affinity", SESSION, {}),
        ("deployment_affinity", CALLER, {}),
        ("prompt_caching", {"messages": LONG_PROMPT}, OURS),
    ],
    ids=["session", "caller", "prompt"],
)
def test_an_affinity_keeps_its_account_until_that_is_limited_and_then_the_others_serve(
    check: str, params: dict[str, Any], model: dict[str, Any], order: Order, simulator: Simulator, tmp_path: Path
) -> None:
    """Failed every request of the session for as long as its key was limited, or did nothing behind our hook."""

    async def use(keys: Keys) -> None:
        first = await keys.ask(**params)
        await asyncio.sleep(0.3)  # LiteLLM notes cached prompts in the background
        assert [await keys.ask(**params) for _ in range(4)] == [first] * 4
        simulator.drain(EMAILS[first - 1], "gemini", 60)
        others = [await keys.ask(**params) for _ in range(4)]
        assert first not in others

    with_keys(simulator, tmp_path, order, use, checks=[check], params=model)


@pytest.mark.parametrize("model", [{}, OURS], ids=["keys", "ours"])
def test_an_affinity_keeps_its_account_synchronously_and_in_every_process(
    model: dict[str, Any], simulator: Simulator, tmp_path: Path
) -> None:
    """LiteLLM's check is not asked there, and each process has pins of its own: round-robin went on."""

    def session(keys: Keys, name: str) -> int:
        simulator.clear_log()
        keys.router.completion(model=GROUP, messages=MESSAGES, metadata={"session_id": name})
        (email,) = {one.email for one in simulator.log if one.kind == "served"}
        return EMAILS.index(email or "") + 1

    async def use(keys: Keys) -> dict[str, int]:
        first = {name: await asyncio.to_thread(session, keys, name) for name in "abc"}
        assert {*first.values()} == {1, 2, 3}
        await asyncio.sleep(0.3)  # LiteLLM notes successes in the background
        for name in "abccba":
            assert await asyncio.to_thread(session, keys, name) == first[name]
        return first

    async def use_again(keys: Keys) -> None:
        keys.router.cache.flush_cache()
        for name in "cab":
            assert await keys.ask(metadata={"session_id": name}) == known[name]

    known = with_keys(simulator, tmp_path, hook_last, use, checks=["session_affinity"], params=model)
    with_keys(simulator, tmp_path, hook_first, use_again, checks=["session_affinity"], params=model)


@both_orders
def test_a_session_whose_key_ran_out_of_quota_stays_with_the_next_one(
    order: Order, simulator: Simulator, tmp_path: Path
) -> None:
    """LiteLLM's pin went back to the first key, and every time cost a prompt cache."""

    async def use(keys: Keys) -> None:
        first = await keys.ask(**SESSION)
        simulator.drain(EMAILS[first - 1], "gemini", 60)
        second = await keys.ask(**SESSION)
        simulator.set_quota(EMAILS[first - 1], "gemini", None)
        pool = litellm_antigravity.handler.dispatcher.pool
        for account_id in dict(pool.store.refresh().cooldowns):
            pool.release(account_id)
        assert [await keys.ask(**SESSION) for _ in range(3)] == [second] * 3

    with_keys(simulator, tmp_path, order, use, checks=["session_affinity"])


@both_orders
def test_a_model_groups_own_affinity_config_binds_too(order: Order, simulator: Simulator, tmp_path: Path) -> None:
    """Failed, or did nothing behind our hook."""

    async def use(keys: Keys) -> None:
        first = await keys.ask(**SESSION)
        assert [await keys.ask(**SESSION) for _ in range(3)] == [first] * 3
        simulator.drain(EMAILS[first - 1], "gemini", 60)
        assert first not in [await keys.ask(**SESSION) for _ in range(3)]

    with_keys(simulator, tmp_path, order, use, model_group_affinity_config={GROUP: ["session_affinity"]})


@both_orders
def test_a_response_is_continued_by_its_key_until_that_is_limited(
    order: Order, simulator: Simulator, tmp_path: Path
) -> None:
    """Failed as long as that key was limited, or went to any key behind our hook."""
    previous = ResponsesAPIRequestUtils._build_responses_api_response_id("gemini", "key-2", "resp_1")

    async def use(keys: Keys) -> None:
        assert [await keys.chosen(previous_response_id=previous) for _ in range(3)] == [2, 2, 2]
        await keys.limit(2)
        assert 2 not in [await keys.chosen(previous_response_id=previous) for _ in range(3)]

    with_keys(simulator, tmp_path, order, use, checks=["responses_api_deployment_check"], strategy="sticky")


def test_a_response_that_the_proxy_has_not_checked_chooses_no_key(simulator: Simulator, tmp_path: Path) -> None:
    """LiteLLM checks ids of responses at the Responses API alone; in a chat completion a made-up one chose a key."""
    previous = ResponsesAPIRequestUtils._build_responses_api_response_id("gemini", "key-2", "made up")

    async def use(keys: Keys) -> None:
        sent: dict[str, Any] = {"previous_response_id": previous, "proxy_server_request": {"headers": {}, "body": {}}}
        chosen = {
            route: await keys.chosen(**sent, litellm_logging_obj=SimpleNamespace(call_type=route))
            for route in ("acompletion", "anthropic_messages", "aembedding", "aresponses")
        }
        assert chosen == {"acompletion": 1, "anthropic_messages": 1, "aembedding": 1, "aresponses": 2}

    checks = ["responses_api_deployment_check"]
    with_keys(simulator, tmp_path, hook_first, use, checks=checks, strategy="sticky")


@both_orders
def test_encrypted_reasoning_goes_to_the_key_that_can_read_it_or_is_left_out(
    order: Order, simulator: Simulator, tmp_path: Path
) -> None:
    """Behind our hook it was stripped though its key was free; before it, requests failed while that was limited."""
    own_id = ResponsesAPIRequestUtils._build_encrypted_item_id("key-2", "rs_1")

    def said() -> list[dict[str, Any]]:
        return [{"type": "reasoning", "id": own_id, "summary": [], "encrypted_content": "cipher"}]

    async def use(keys: Keys) -> None:
        kept, left_out = said(), said()
        assert await keys.chosen(input=kept) == 2
        assert kept == said()
        await keys.limit(2)
        if not hasattr(ResponsesAPIRequestUtils, "strip_encrypted_reasoning_from_input"):  # older: "retry later"
            with pytest.raises(litellm.ServiceUnavailableError):
                await keys.chosen(input=left_out)
            return
        assert await keys.chosen(input=left_out) != 2
        assert "cipher" not in str(left_out)

    with_keys(simulator, tmp_path, order, use, checks=["encrypted_content_affinity"], strategy="sticky")


# What rules deployments out


@pytest.fixture
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have LiteLLM count all in the same minute."""
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    monkeypatch.setattr("litellm.router_utils.pre_call_checks.model_rate_limit_check.get_utc_datetime", lambda: now)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LiteLLM 1.90 forgets a coroutine
@pytest.mark.usefixtures("_one_minute")
@both_orders
def test_a_key_at_its_own_rpm_leaves_its_turn_to_the_next(order: Order, simulator: Simulator, tmp_path: Path) -> None:
    """The second request failed, and so did all until the minute was over."""

    async def use(keys: Keys) -> None:
        assert [await keys.ask() for _ in range(3)] == [1, 2, 3]
        with pytest.raises(litellm.RateLimitError, match="RPM limit=1"):
            await keys.ask()

    with_keys(
        simulator,
        tmp_path,
        order,
        use,
        checks=["enforce_model_rate_limits"],
        strategy="sticky",
        params={"rpm": 1},
    )


@pytest.mark.usefixtures("_one_minute")
def test_a_key_at_its_own_rpm_leaves_its_turn_to_the_next_synchronously(simulator: Simulator, tmp_path: Path) -> None:
    """The second request used up its retries on the same key, and failed."""

    async def use(keys: Keys) -> None:
        for _ in range(3):
            await asyncio.to_thread(keys.router.completion, model=GROUP, messages=MESSAGES)
        assert [one.email for one in simulator.log if one.kind == "served"] == EMAILS

    with_keys(
        simulator,
        tmp_path,
        hook_last,
        use,
        checks=["enforce_model_rate_limits"],
        strategy="sticky",
        params={"rpm": 1},
    )


@both_orders
def test_a_key_over_its_budget_is_not_chosen(order: Order, simulator: Simulator, tmp_path: Path) -> None:
    """Behind our hook, which had chosen that key, the request failed."""

    async def use(keys: Keys) -> None:
        await keys.router.cache.async_set_cache(key="deployment_spend:key-1:1d", value=100.0)
        assert await keys.ask() == 2

    with_keys(simulator, tmp_path, order, use, strategy="sticky", params={"max_budget": 10.0, "budget_duration": "1d"})


class OnlyThese(CustomLogger):  # type: ignore[misc]  # LiteLLM's types are not followed
    """Somebody's own filter.

    Args:
        allowed: the ids that it lets pass.
    """

    def __init__(self, allowed: set[str]) -> None:
        super().__init__()
        self._allowed = allowed
        self.seen: list[list[str]] = []

    async def async_filter_deployments(self, *, healthy_deployments: list[Any], **_: Any) -> list[Any]:
        self.seen.append([one["model_info"]["id"] for one in healthy_deployments])
        return [one for one in healthy_deployments if one["model_info"]["id"] in self._allowed]


@both_orders
def test_a_filter_of_somebodys_own_has_the_last_word(order: Order, simulator: Simulator, tmp_path: Path) -> None:
    """Behind our hook it found nothing that it allows, and the request failed."""

    async def use(keys: Keys) -> None:
        litellm.callbacks.append(OnlyThese({"key-2", "key-3"}))
        order()
        assert [await keys.ask() for _ in range(2)] == [2, 2]
        simulator.drain(EMAILS[1], "gemini", 60)
        assert [await keys.ask() for _ in range(2)] == [3, 3]
        simulator.drain(EMAILS[2], "gemini", 60)
        with pytest.raises(litellm.RateLimitError):
            await keys.ask()
        assert all(one.email != EMAILS[0] for one in simulator.log)  # free, but not allowed

    with_keys(simulator, tmp_path, order, use, strategy="sticky")


@both_orders
def test_a_filter_that_prefers_is_shown_free_keys_only(order: Order, simulator: Simulator, tmp_path: Path) -> None:
    """It preferred a limited one, and the request failed though two others were free."""

    class First(OnlyThese):
        async def async_filter_deployments(self, **asked: Any) -> list[Any]:
            return (await super().async_filter_deployments(**asked))[:1]

    async def use(keys: Keys) -> None:
        await keys.limit(1)
        litellm.callbacks.append(First({"key-1", "key-2", "key-3"}))
        await keys.chosen()  # the hook takes its place
        order()
        assert await keys.ask() in (2, 3)

    with_keys(simulator, tmp_path, order, use, strategy="sticky")


# Everything at once


@both_orders
def test_every_switch_at_once_serves_while_a_key_is_free(order: Order, simulator: Simulator, tmp_path: Path) -> None:
    """Failed for as long as the session's key was limited."""

    async def use(keys: Keys) -> None:
        both = {"metadata": {**SESSION["metadata"], **CALLER["metadata"]}, "messages": LONG_PROMPT}
        first = await keys.ask(**both)
        assert await keys.ask(**both) == first
        for number in {1, 2, 3} - {first} - {3 if first != 3 else 2}:
            simulator.drain(EMAILS[number - 1], "gemini", 60)
        simulator.drain(EMAILS[first - 1], "gemini", 60)
        (left,) = {await keys.ask(**both) for _ in range(4)}
        assert left == (3 if first != 3 else 2)

    with_keys(simulator, tmp_path, order, use, checks=list(EVERY_VALUE), params=OURS)


# Cooldowns


class Metrics(CustomLogger):  # type: ignore[misc]  # LiteLLM's types are not followed
    """What LiteLLM's Prometheus callback is told, without Prometheus."""

    def __init__(self) -> None:
        super().__init__()
        self.cooled: list[tuple[str, str]] = []
        self.out: list[str] = []

    def increment_deployment_cooled_down(self, **labels: Any) -> None:
        self.cooled.append((labels["model_id"], labels["exception_status"]))

    def set_deployment_complete_outage(self, **labels: Any) -> None:
        self.out.append(labels["model_id"])


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    import litellm.integrations.prometheus

    monkeypatch.setattr(litellm.integrations.prometheus, "PrometheusLogger", Metrics)
    litellm.callbacks.append(found := Metrics())
    return found


@pytest.mark.parametrize("synchronous", [False, True], ids=["async", "sync"])
def test_litellms_metrics_count_our_cooldowns_where_its_own_are_switched_off(
    metrics: Metrics, synchronous: bool, simulator: Simulator, tmp_path: Path
) -> None:
    """They counted none."""

    async def use(keys: Keys) -> None:
        for number in (1, 2):
            simulator.drain(EMAILS[number - 1], "gemini", 60)
        for _ in range(3):
            if synchronous:
                await asyncio.to_thread(keys.router.completion, model=GROUP, messages=MESSAGES)
            else:
                await keys.ask()
        await asyncio.sleep(0.1)

    with_keys(simulator, tmp_path, hook_last, use, strategy="sticky")
    assert sorted(metrics.cooled) == [("key-1", "429"), ("key-2", "429")]
    assert sorted(metrics.out) == ["key-1", "key-2"]


def test_litellms_metrics_are_left_alone_where_it_keeps_cooldowns(
    metrics: Metrics, simulator: Simulator, tmp_path: Path
) -> None:
    async def use(keys: Keys) -> None:
        simulator.drain(EMAILS[0], "gemini", 60)
        for _ in range(2):
            await keys.ask()
        await asyncio.sleep(0.1)

    with_keys(simulator, tmp_path, hook_last, use, strategy="sticky", disable_cooldowns=False)
    assert metrics.cooled == [("key-1", "429")]  # LiteLLM's own


def test_no_callers_metadata_passes_for_a_conversation_of_ours() -> None:
    kwargs: dict[str, Any] = {"metadata": {"user_api_key": "k"}}
    remember(kwargs, Key("a" * 38))
    assert remembered(kwargs) == "a" * 38
    forged = json.loads(json.dumps(kwargs))
    assert remembered(forged) is None
    assert remembered({"litellm_params": forged}) is None
