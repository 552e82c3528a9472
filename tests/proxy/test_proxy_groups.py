"""Groups in the proxy: the same sequence as in the Router, tags, one deployment by its id, limits and fallbacks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from other_providers import OtherProviders
from processes import together
from proxy import Proxy, needs_proxy, pool_environment, until
from serving import ACCOUNT_HEADER, MESSAGES, fields_of

from litellm_antigravity.masking import mask_email
from litellm_antigravity.simulator import Simulator

pytestmark = needs_proxy

MODEL = "claude-sonnet-4-6"
KEYS_MODEL = "gemini-2.5-flash"
EMAILS = ["user1@example.com", "user2@example.com", "user3@example.com"]
STRATEGIES = ["sticky", "round-robin", "hybrid"]
SMALL_BUCKET = {"max_tokens": 4, "initial_tokens": 4, "regeneration_rate_per_minute": 0.001}
TIMES = 7

CHAT, ANTHROPIC, RESPONSES = ENDPOINTS = ["/v1/chat/completions", "/v1/messages", "/v1/responses"]
every_endpoint = pytest.mark.parametrize("path", ENDPOINTS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def settings_for(strategy: str) -> dict[str, Any]:
    fields = {"account_selection_strategy": strategy, "token_bucket": SMALL_BUCKET, "max_rate_limit_wait_seconds": 0}
    return {**fields, "sticky_scope": "process"}


def groups(simulator: Simulator) -> list[dict[str, Any]]:
    """Return a pinned group of ours, and one of three API keys."""
    found: list[dict[str, Any]] = []
    for email in EMAILS:
        key = simulator.account(email).api_key
        base = f"{simulator.url}/v1beta/models/{KEYS_MODEL}"
        for name, params in [
            ("pinned", {"model": f"antigravity/{MODEL}"}),
            ("keys", {"model": f"gemini/{KEYS_MODEL}", "api_key": key, "api_base": base}),
        ]:
            found.append({"model_name": name, "litellm_params": params, "model_info": {"account": email}})
    return found


@contextlib.contextmanager
def started(
    simulator: Simulator, folder: Path, model_list: list[dict[str, Any]], strategy: str, **more: Any
) -> Iterator[Proxy]:
    folder.mkdir()
    callbacks = {"callbacks": ["litellm_antigravity.hook"]}
    provider = {"provider": "antigravity", "custom_handler": "litellm_antigravity.handler"}
    config = {
        "model_list": model_list,
        "litellm_settings": {"custom_provider_map": [provider], **callbacks, "fallbacks": more.get("fallbacks", [])},
        "router_settings": {
            "enable_tag_filtering": True,
            "optional_pre_call_checks": ["session_affinity"],
            "disable_cooldowns": True,
        },
        "antigravity_settings": settings_for(strategy),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    environment = pool_environment(simulator, folder, **more.get("environment", {}))
    with Proxy(folder / "config.yaml", folder, environment, imported=True) as proxy:
        yield proxy


def ask(
    proxy: Proxy, model: str, path: str = CHAT, *, stream: bool = False, session: str | None = None, **more: Any
) -> httpx.Response:
    body: dict[str, Any] = {"model": model, "stream": stream, **more}
    asked = {"input": "Hello"} if path == RESPONSES else {"messages": MESSAGES, "max_tokens": 50}
    headers = {} if session is None else {"x_litellm_session_id": session}
    return proxy.post(path, {**body, **asked}, **headers)


def asked(simulator: Simulator) -> list[str]:
    """Return the accounts that a model was asked of since the last time, in order."""
    found = [entry.email or "?" for entry in simulator.log if entry.model is not None]
    simulator.clear_log()
    return found


# The same sequence on every path


def through_router(fields: dict[str, Any], model_list: list[dict[str, Any]], *, asynchronous: bool) -> None:
    """In a process of its own: ask each group some times."""
    import litellm

    import litellm_antigravity

    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    router = litellm.Router(model_list=model_list)
    litellm_antigravity.install(router)
    wanted = [{"model": group, "messages": MESSAGES} for group in ("pinned", "keys") for _ in range(TIMES)]

    async def every() -> None:
        for one in wanted:
            await router.acompletion(**one)
            await asyncio.sleep(0.05)  # what LiteLLM notes in the background

    if asynchronous:
        asyncio.run(every())
    else:
        for one in wanted:
            router.completion(**one)


def sync_router(fields: dict[str, Any], model_list: list[dict[str, Any]]) -> None:
    through_router(fields, model_list, asynchronous=False)


def async_router(fields: dict[str, Any], model_list: list[dict[str, Any]]) -> None:
    through_router(fields, model_list, asynchronous=True)


def sequences(strategy: str, folder: Path) -> dict[str, list[str]]:
    """Return the accounts that each path asks, in order."""
    found = {}
    with Simulator(3, models=[KEYS_MODEL]) as simulator:
        model_list = groups(simulator)
        for router in (sync_router, async_router):
            own = folder / router.__name__
            own.mkdir(parents=True)
            together(router, [(fields_of(simulator, own, **settings_for(strategy)), model_list)])
            found[router.__name__] = asked(simulator)
        with started(simulator, folder / "proxy", model_list, strategy) as proxy:
            for group in ("pinned", "keys"):
                for _ in range(TIMES):
                    assert ask(proxy, group).status_code == 200
            found["proxy"] = asked(simulator)
    return found


@pytest.fixture(scope="module")
def every_sequence(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> dict[str, dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("sequences")
    with ThreadPoolExecutor(len(STRATEGIES)) as threads:
        found = threads.map(lambda strategy: sequences(strategy, folder / strategy), STRATEGIES)
        return dict(zip(STRATEGIES, found, strict=True))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pinned_group_and_one_of_keys_have_the_same_sequence_in_the_router_and_in_the_proxy(
    every_sequence: dict[str, dict[str, list[str]]], strategy: str
) -> None:
    found = every_sequence[strategy]
    assert len(found["proxy"]) == 2 * TIMES
    assert found["proxy"] == found["sync_router"] == found["async_router"]
    of_pinned, of_keys = found["proxy"][:TIMES], found["proxy"][TIMES:]
    assert len(set(of_pinned)) == len(set(of_keys)) == (1 if strategy == "sticky" else 3)
    if strategy != "round-robin":  # there each group starts at the next number of the host's counter
        assert of_keys == of_pinned


# What LiteLLM decides before us, and what it does after us


def shapes(simulator: Simulator) -> list[dict[str, Any]]:
    tagged = [
        {
            "model_name": "tagged",
            "litellm_params": {"model": f"antigravity/{MODEL}", "tags": [tag]},
            "model_info": {"account": email},
        }
        for tag, email in [("free", EMAILS[0]), ("paid", EMAILS[1])]
    ]
    return [
        *groups(simulator),
        *tagged,
        {"model_name": "pool", "litellm_params": {"model": f"antigravity/{MODEL}"}},
        {"model_name": "openai", "litellm_params": {"model": "openai/gpt-4o"}},
        {"model_name": "anthropic", "litellm_params": {"model": "anthropic/claude-haiku-4-5"}},
        *({**one, "model_name": "pinned-alone"} for one in groups(simulator) if one["model_name"] == "pinned"),
        *({**one, "model_name": "keys-alone"} for one in groups(simulator) if one["model_name"] == "keys"),
    ]


FALLBACKS = [{"pinned": ["openai"]}, {"keys": ["openai"]}, {"pool": ["openai"]}]
FALLBACKS += [{"openai": ["pool"]}, {"anthropic": ["pinned"]}]


@pytest.fixture(scope="module")
def others() -> Iterator[OtherProviders]:
    with OtherProviders() as provider:
        yield provider


@pytest.fixture(scope="module")
def gateway(
    others: OtherProviders, tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None
) -> Iterator[tuple[Proxy, Simulator]]:
    """A proxy with groups of every kind; the last tests of it find all accounts limited."""
    folder = tmp_path_factory.mktemp("gateway") / "proxy"
    with Simulator(3, models=[KEYS_MODEL]) as simulator:
        more = {"fallbacks": FALLBACKS, "environment": others.environment}
        with started(simulator, folder, shapes(simulator), "round-robin", **more) as proxy:
            yield proxy, simulator


def test_a_deployment_that_is_asked_for_by_its_id_is_not_changed(gateway: tuple[Proxy, Simulator]) -> None:
    proxy, simulator = gateway
    listed = proxy.get("/model/info").json()["data"]
    ids = {one["model_info"]["account"]: one["model_info"]["id"] for one in listed if one["model_name"] == "pinned"}
    asked(simulator)
    wanted = [EMAILS[1], EMAILS[2], EMAILS[1]]
    assert [ask(proxy, ids[mask_email(email)]).status_code for email in wanted] == [200] * 3
    assert asked(simulator) == wanted


def test_tags_narrow_a_pinned_group_before_the_strategy_does(gateway: tuple[Proxy, Simulator]) -> None:
    proxy, simulator = gateway
    asked(simulator)
    assert [ask(proxy, "tagged", tags=[tag]).status_code for tag in ("paid", "free", "paid", "paid")] == [200] * 4
    assert asked(simulator) == [EMAILS[1], EMAILS[0], EMAILS[1], EMAILS[1]]


def wait_until_all_serve(proxy: Proxy, simulator: Simulator) -> None:
    """Wait until every key of the group has been asked in turn: an earlier test has left one of them limited."""
    asked(simulator)

    def all_serve() -> bool:
        answers = [ask(proxy, "keys") for _ in EMAILS]
        return {*asked(simulator)} == {*EMAILS} and all(answer.status_code == 200 for answer in answers)

    until(all_serve)


@pytest.mark.parametrize(("path", "stream"), [(CHAT, False), (ANTHROPIC, True), (RESPONSES, False)])
def test_litellms_session_affinity_keeps_a_key_until_it_is_limited_and_then_the_others_serve(
    gateway: tuple[Proxy, Simulator], path: str, stream: bool
) -> None:
    """Did nothing in the proxy, where our hook comes first: round-robin went on. No answer named the key."""
    proxy, simulator = gateway
    session = f"{path} {stream}"

    def served() -> str:
        asked(simulator)
        answer = ask(proxy, "keys", path, stream=stream, session=session)
        assert answer.status_code == 200, answer.text
        by = asked(simulator)[-1]
        assert answer.headers["x-litellm-antigravity-account"] == mask_email(by)
        decisions.append(answer.headers["x-litellm-antigravity-decision"])
        return by

    decisions: list[str] = []
    wait_until_all_serve(proxy, simulator)
    first = served()
    assert [served() for _ in range(3)] == [first] * 3
    simulator.drain(first, "gemini", 4)
    assert first not in [served() for _ in range(2)]
    assert decisions == ["new", "hit", "hit", "hit", "new", "hit"]
    wait_until_all_serve(proxy, simulator)


@pytest.mark.parametrize("group", ["openai", "anthropic"])
@streamed_or_not
@every_endpoint
def test_a_group_of_ours_answers_when_another_provider_fails(
    gateway: tuple[Proxy, Simulator], others: OtherProviders, path: str, stream: bool, group: str
) -> None:
    proxy, simulator = gateway
    others.statuses.extend([400] * 9)
    answer = ask(proxy, group, path, stream=stream)
    others.forget()
    assert answer.status_code == 200, answer.text
    assert answer.headers[ACCOUNT_HEADER] in {account.label for account in simulator.accounts}


@pytest.fixture
def limited(gateway: tuple[Proxy, Simulator]) -> Proxy:
    proxy, simulator = gateway
    for email in EMAILS:
        simulator.drain(email, None, 600)
    return proxy


@pytest.mark.parametrize("group", ["pinned", "keys", "pool"])
@streamed_or_not
@every_endpoint
def test_a_fallback_answers_on_every_endpoint_when_all_are_limited(
    limited: Proxy, path: str, stream: bool, group: str
) -> None:
    answer = ask(limited, group, path, stream=stream)
    assert answer.status_code == 200, answer.text
    assert "open" in answer.text  # its stream comes in pieces
    assert ACCOUNT_HEADER not in answer.headers


@pytest.mark.parametrize("group", ["pinned-alone", "keys-alone"])
@streamed_or_not
@every_endpoint
def test_a_limited_pinned_group_is_a_429_with_the_remaining_time_on_every_endpoint(
    limited: Proxy, path: str, stream: bool, group: str
) -> None:
    for _ in range(2):  # the second is refused by what is known
        answer = ask(limited, group, path, stream=stream)
        assert answer.status_code == 429
        assert "Every account (3) is limited" in answer.text
        assert 500 < int(answer.headers["retry-after"]) <= 600
