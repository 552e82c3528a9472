"""The LiteLLM proxy by YAML alone: real proxies over real HTTP, real clients, and the simulator as Google."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml
from other_providers import CUT, OtherProviders, Received
from proxy import STARTED, Proxy, needs_proxy, pool_environment, until, use_accounts
from proxy_requests import MODEL, body_for, every_endpoint, streamed_or_not
from serving import ACCOUNT_HEADER, MESSAGES
from support import HANG_SECONDS, ROOT

from litellm_antigravity.simulator import Simulator

EXAMPLES = ROOT / "config_examples"
SLEPT = 20.0
"""Seconds. LiteLLM's retry loop would sleep the Retry-After (30 s and more here), at least once."""

pytestmark = needs_proxy


class Served:
    """A running proxy with its own accounts file and state, and the simulator that several of them share."""

    def __init__(self, proxy: Proxy, simulator: Simulator, folder: Path, emails: Iterator[str]) -> None:
        self.proxy, self.simulator, self._folder, self._emails = proxy, simulator, folder, emails
        self.emails: list[str] = []

    def renew(self, count: int = 4) -> list[str]:
        """Go on with accounts that have no past, and an empty log."""
        self.simulator.heal()
        self.simulator.clear_log()
        self.emails = [next(self._emails) for _ in range(count)]
        use_accounts(self.simulator, self._folder, self.emails)
        return self.emails

    def drain(self, *emails: str, reset_seconds: float = 33) -> None:
        """Let accounts have no quota; all of them when none is named."""
        for email in emails or self.emails:
            self.simulator.drain(email, None, reset_seconds)

    def asked(self) -> list[str]:
        """Return the accounts that a model was asked of, in order."""
        return [entry.email or "?" for entry in self.simulator.log if entry.model is not None]


Start = Callable[..., contextlib.AbstractContextManager[Served]]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(300, models=["gemini-2.5-flash"]) as started:
        yield started


@pytest.fixture(scope="module")
def others() -> Iterator[OtherProviders]:
    with OtherProviders() as started:
        yield started


@pytest.fixture(scope="module")
def start(
    simulator: Simulator, others: OtherProviders, tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None
) -> Start:
    """Start a proxy with a YAML file, in a folder of its own."""
    emails = iter([account.email for account in simulator.accounts][3:])

    @contextlib.contextmanager
    def started(config: Path, *, count: int = 4, environment: dict[str, str] | None = None, **options: Any) -> Any:
        folder = tmp_path_factory.mktemp("proxy")
        others.forget()  # what they were told to say, and nobody has heard
        use_accounts(simulator, folder, [f"user{number}@example.com" for number in range(1, count + 1)])
        keys = {
            f"GEMINI_API_KEY_{number}": simulator.account(f"user{number}@example.com").api_key for number in (1, 2, 3)
        }
        variables = pool_environment(simulator, folder, **keys, **others.environment, **(environment or {}))
        variables["GEMINI_API_BASE"] = f"{simulator.url}/v1beta"
        with Proxy(config, folder, variables, **options) as proxy:
            served = Served(proxy, simulator, folder, emails)
            served.emails = [f"user{number}@example.com" for number in range(1, count + 1)]
            yield served

    return started


@pytest.fixture(scope="module")
def pool_proxy(start: Start) -> Iterator[Served]:
    with start(EXAMPLES / "proxy_pool.yaml", imported=True) as served:
        yield served


@pytest.fixture
def pool(pool_proxy: Served) -> Served:
    """The smallest example, each time with four other accounts."""
    pool_proxy.renew()
    return pool_proxy


def ask(served: Served, model: str = MODEL, **more: Any) -> httpx.Response:
    return served.proxy.post("/v1/chat/completions", {"model": model, "messages": MESSAGES, **more})


def by_whom(text: str) -> str:
    """Return the account whose reply a text is."""
    found = re.search(r"Served by (\S+@\S+) with", text)
    assert found is not None, text
    return found[1]


# Clients. They are `Any` here: their signatures want literal types, and their replies are unions of many.


def openai_client(served: Served) -> Any:
    return openai.OpenAI(base_url=f"{served.proxy.url}/v1", api_key=served.proxy.key, max_retries=0)


def anthropic_client(served: Served) -> Any:
    import anthropic  # a second that only this file's process needs to spend

    return anthropic.Anthropic(base_url=served.proxy.url, api_key=served.proxy.key, max_retries=0)


def test_readme_prints_the_smallest_example_and_its_request_is_answered(pool: Served) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    printed = re.findall(r"^```yaml\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(printed[0]) == yaml.safe_load((EXAMPLES / "proxy_pool.yaml").read_text("utf-8"))
    found = re.search(r"curl http://localhost:4000(\S+) .*?-d '(\{.*?\})'", readme, re.DOTALL)
    assert found is not None
    answer = pool.proxy.post(found[1], json.loads(found[2]))
    assert answer.status_code == 200
    assert by_whom(answer.json()["choices"][0]["message"]["content"]) in pool.emails


@streamed_or_not
def test_the_openai_client_chats(pool: Served, stream: bool) -> None:
    with openai_client(pool) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=stream)
        reply = raw.parse()
        if stream:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
        else:
            text = reply.choices[0].message.content
    assert pool.simulator.account(by_whom(text)).label == raw.headers[ACCOUNT_HEADER]


@streamed_or_not
def test_the_openai_client_uses_responses(pool: Served, stream: bool) -> None:
    with openai_client(pool) as client:
        raw = client.responses.with_raw_response.create(model=MODEL, input="Hello", stream=stream)
        reply = raw.parse()
        if stream:
            text = "".join(event.delta for event in reply if event.type == "response.output_text.delta")
        else:
            text = reply.output_text
    assert pool.simulator.account(by_whom(text)).label == raw.headers[ACCOUNT_HEADER]


@streamed_or_not
def test_the_anthropic_client_chats(pool: Served, stream: bool) -> None:
    with anthropic_client(pool) as client:
        raw = client.messages.with_raw_response.create(model=MODEL, messages=MESSAGES, max_tokens=50, stream=stream)
        reply = raw.parse()
        if stream:
            text = "".join(
                event.delta.text
                for event in reply
                if event.type == "content_block_delta" and event.delta.type == "text_delta"
            )
        else:
            text = reply.content[0].text
    assert pool.simulator.account(by_whom(text)).label == raw.headers[ACCOUNT_HEADER]


def test_a_client_cannot_choose_an_account(pool: Served) -> None:
    usual = by_whom(ask(pool).text)
    [wanted, *_] = [email for email in pool.emails if email != usual]
    info = {"account": wanted, "id": "anything"}
    bodies: list[dict[str, Any]] = [
        {"model_info": info},
        {"account": wanted},
        {"metadata": {"account": wanted, "model_info": info}},
        {"litellm_params": {"model_info": info}},
        {"litellm_metadata": {"model_info": info}},
        {"extra_body": {"model_info": info, "account": wanted}},
    ]
    for body in bodies:
        answer = ask(pool, **body)
        assert answer.status_code >= 400 or by_whom(answer.text) == usual, body
    assert set(pool.asked()) == {usual}


# When accounts are limited


@streamed_or_not
@every_endpoint
def test_all_limited_is_a_429_with_the_remaining_time_at_once(pool: Served, path: str, stream: bool) -> None:
    pool.drain()
    began = time.monotonic()
    for _ in range(2):  # the second is refused by what is known, without asking Google
        answer = pool.proxy.post(path, body_for(path, stream=stream))
        assert answer.status_code == 429
        assert "Every account (4) is limited" in answer.text
        assert not any(email in answer.text for email in pool.emails)  # masked
        assert 1 <= int(answer.headers["retry-after"]) <= 33
    assert sorted(pool.asked()) == sorted(pool.emails)
    assert time.monotonic() - began < SLEPT


def test_a_limited_account_is_not_seen_by_the_client(pool: Served) -> None:
    first = by_whom(ask(pool).text)
    pool.drain(first)
    answer = ask(pool, stream=True)
    assert answer.status_code == 200
    assert pool.simulator.requests(status=429)
    text = "".join(re.findall(r'"content":"([^"]*)"', answer.text))
    assert by_whom(text) != first
    assert answer.headers[ACCOUNT_HEADER] == pool.simulator.account(by_whom(text)).label


def test_a_banned_account_is_told_to_the_client_and_its_appeal_to_the_operator(pool: Served) -> None:
    pool.simulator.refuse("banned")
    answer = ask(pool)
    assert answer.status_code == 403
    assert "Terms of Service" in answer.text
    assert not any(email in answer.text for email in pool.emails)
    [asked] = pool.asked()  # a ban is no reason to rotate
    label = pool.simulator.account(asked).label
    told = [line for line in pool.proxy.log.splitlines() if label in line and "ppeal" in line]
    assert any("`litellm-antigravity status` shows" in line for line in told)  # a log may be seen by others


def test_an_account_that_has_to_be_verified_is_passed_over_and_its_url_told_to_the_operator(pool: Served) -> None:
    first = by_whom(ask(pool).text)
    pool.simulator.refuse("verification", email=first)
    answer = ask(pool)
    assert answer.status_code == 200
    assert by_whom(answer.text) != first
    label = pool.simulator.account(first).label
    told = [line for line in pool.proxy.log.splitlines() if label in line and "verif" in line.lower()]
    assert told


# Routes of LiteLLM's own


@pytest.mark.parametrize(
    "path", ["/health/readiness", "/health/liveliness", "/v1/models", "/model/info", "/v1/model/info"]
)
def test_the_admin_routes_answer_and_ask_google_nothing(pool: Served, path: str) -> None:
    assert pool.proxy.get(path).status_code == 200
    assert pool.asked() == []


def test_health_costs_one_request_for_each_deployment(pool: Served) -> None:
    answer = pool.proxy.get("/health").json()
    assert (answer["healthy_count"], answer["unhealthy_count"]) == (1, 0)
    assert len(pool.asked()) == 1


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent"])
def test_a_native_gemini_route_is_a_clear_refusal(pool: Served, method: str) -> None:
    contents = [{"role": "user", "parts": [{"text": "Hello"}]}]
    answer = pool.proxy.post(f"/v1beta/models/{MODEL}:{method}", {"contents": contents})
    assert 400 <= answer.status_code < 500
    assert "/v1/chat/completions" in answer.text
    assert pool.asked() == []


def test_counting_tokens_takes_no_turn(pool: Served) -> None:
    before = by_whom(ask(pool).text)
    for _ in range(3):
        answer = pool.proxy.post("/utils/token_counter", {"model": MODEL, "messages": MESSAGES})
        assert answer.status_code == 200
    assert by_whom(ask(pool).text) == before
    assert len(pool.asked()) == 2


# Other shapes of the model list

SHAPES = """
model_list:
  - model_name: antigravity/*
    litellm_params: {model: antigravity/*}
  - model_name: claude
    litellm_params: {model: antigravity/claude-sonnet-4-6, tags: [ours]}
router_settings:
  model_group_alias: {sonnet: claude}
litellm_settings:
  custom_provider_map:
    - {provider: antigravity, custom_handler: litellm_antigravity.handler}
  callbacks: [litellm_antigravity.hook]
antigravity_settings:
  account_selection_strategy: os.environ/CHOSEN_STRATEGY
"""


@pytest.fixture(scope="module")
def shapes_proxy(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = tmp_path_factory.mktemp("shapes") / "config.yaml"
    config.write_text(SHAPES, "utf-8")
    with start(config, by_variable=True, environment={"CHOSEN_STRATEGY": "round-robin"}, imported=True) as served:
        yield served


@pytest.fixture
def shapes(shapes_proxy: Served) -> Served:
    """Wildcard, alias and tag, a setting from a variable; the file itself is named by a variable, too."""
    shapes_proxy.renew()
    return shapes_proxy


def test_a_setting_may_come_from_a_variable(shapes: Served) -> None:
    served = [by_whom(ask(shapes, "claude").text) for _ in range(5)]
    assert len(set(served[:4])) == 4
    assert served[4] == served[0]


@pytest.mark.parametrize("name", ["antigravity/claude-sonnet-4-6", "antigravity/gemini-3-flash"])
@streamed_or_not
def test_a_wildcard_deployment_serves_any_model(shapes: Served, name: str, stream: bool) -> None:
    answer = ask(shapes, name, stream=stream)
    assert answer.status_code == 200
    assert answer.headers[ACCOUNT_HEADER]
    [asked] = [entry.model for entry in shapes.simulator.log if entry.model is not None]
    assert asked is not None
    assert asked.startswith(name.removeprefix("antigravity/"))


@every_endpoint
@streamed_or_not
def test_a_name_that_no_model_can_have_is_a_bad_request_on_a_wildcard(shapes: Served, path: str, stream: bool) -> None:
    """Each account was asked for it, and a row of that length stayed for each."""
    answer = shapes.proxy.post(path, body_for(path, "antigravity/claude-" + "x" * 20_000, stream=stream))
    assert answer.status_code == 400
    assert "The model's name has 20," in answer.text
    assert [entry for entry in shapes.simulator.log if entry.model is not None] == []


def test_an_alias_of_a_group_works_like_the_group(shapes: Served) -> None:
    assert by_whom(ask(shapes, "sonnet").text) in shapes.emails
    contents = [{"role": "user", "parts": [{"text": "Hello"}]}]
    native = shapes.proxy.post("/v1beta/models/sonnet:generateContent", {"contents": contents})
    assert 400 <= native.status_code < 500


def test_the_native_route_of_a_wildcard_is_refused_too(shapes: Served) -> None:
    contents = [{"role": "user", "parts": [{"text": "Hello"}]}]
    native = shapes.proxy.post("/v1beta/models/antigravity/gemini-3-flash:generateContent", {"contents": contents})
    assert 400 <= native.status_code < 500


# Pinned groups


def test_a_pinned_group_is_routed_and_fails_over_like_a_pool(start: Start) -> None:
    with start(EXAMPLES / "proxy_pinned.yaml", count=3, imported=True) as served:
        served.simulator.heal()
        served.simulator.clear_log()
        first, second, third = served.emails
        info = {"account": third}
        for more in ({}, {"stream": True}, {"model_info": info}, {"metadata": {"model_info": info}}, {}, {}):
            assert ask(served, **more).status_code == 200
        assert served.asked() == [first, second, third] * 2
        assert by_whom(ask(served, "gemini-3-flash").text) in served.emails  # a pool in the same file

        served.simulator.clear_log()
        served.drain(second)
        for stream in (False, True, False, True):
            answer = ask(served, stream=stream)
            assert answer.status_code == 200
            assert answer.headers[ACCOUNT_HEADER] != served.simulator.account(second).label
        assert served.asked().count(second) == 1

        served.drain(first, third)
        began = time.monotonic()
        for path, stream in itertools.product(["/v1/chat/completions", "/v1/responses"], [False, True]):
            answer = served.proxy.post(path, body_for(path, stream=stream))
            assert answer.status_code == 429
            assert 1 <= int(answer.headers["retry-after"]) <= 33
        assert time.monotonic() - began < SLEPT


def test_gemini_api_keys_are_routed_like_accounts(start: Start) -> None:
    with start(EXAMPLES / "proxy_gemini_api_keys.yaml", count=3, imported=True) as served:
        served.simulator.heal()
        served.simulator.clear_log()
        first, second, third = served.emails
        for stream in (False, True) * 3:
            assert ask(served, "gemini-2.5-flash", stream=stream).status_code == 200
        assert served.asked() == [first, second, third] * 2

        served.simulator.clear_log()
        served.drain(second)
        for _ in range(5):
            assert ask(served, "gemini-2.5-flash").status_code == 200
        assert served.asked().count(second) == 1

        served.drain(first, third)
        began = time.monotonic()
        answers = [ask(served, "gemini-2.5-flash") for _ in range(3)]
        assert {answer.status_code for answer in answers} == {429}
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 33
        assert time.monotonic() - began < SLEPT


def test_an_enterprise_gateway_spreads_vertex_projects(start: Start, simulator: Simulator, tmp_path: Path) -> None:
    """Requests come as Antigravity sends them with the protocol ``openai``; the proxy signs in as service accounts."""
    variables = {"VERTEXAI_API_BASE": simulator.url}
    for number in (1, 2):
        email = f"user{number}@example.com"
        (key := tmp_path / f"key{number}.json").write_text(json.dumps(simulator.service_account_key(email)))
        variables[f"VERTEX_KEY_FILE_{number}"] = str(key)
        variables[f"VERTEX_PROJECT_{number}"] = simulator.account(email).project or ""
    with start(EXAMPLES / "proxy_enterprise_gateway.yaml", count=2, imported=True, environment=variables) as served:
        served.simulator.heal()
        served.simulator.clear_log()
        first, second = served.emails
        for stream in (False, True):
            assert ask(served, "gemini-2.5-flash", stream=stream).status_code == 200
        assert served.asked() == [first] * 2
        served.drain(first)
        for _ in range(3):
            assert ask(served, "gemini-2.5-flash").status_code == 200
        assert served.asked() == [first] * 3 + [second] * 3
        served.drain(second)
        answer = ask(served, "gemini-2.5-flash")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 33


# Several workers

IN_FLIGHT = 20


def test_four_workers_share_what_they_learn_and_one_may_die(start: Start) -> None:
    # gunicorn's: uvicorn's import everything anew, and are in test_proxy_workers.
    example = EXAMPLES / "proxy_parallel_agents.yaml"
    with start(example, workers=4, options=["--run_gunicorn"], imported=True) as served:
        served.simulator.heal()
        until(lambda: served.proxy.log.count(STARTED) == 4)
        workers = served.proxy.workers
        assert len(workers) == 4
        served.simulator.set_latency(0.02)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # so that each worker gets some
        with (
            httpx.Client(limits=limits, timeout=HANG_SECONDS, trust_env=False) as client,
            ThreadPoolExecutor(200) as threads,
        ):

            def one(number: int) -> tuple[int, str]:
                answer = client.post(
                    f"{served.proxy.url}/v1/chat/completions",
                    json={"model": MODEL, "messages": MESSAGES, "stream": number % 2 == 0},
                    headers={"Authorization": f"Bearer {served.proxy.key}"},
                )
                return answer.status_code, answer.headers.get(ACCOUNT_HEADER, answer.text)

            with ThreadPoolExecutor(IN_FLIGHT) as few:
                first = Counter(by for _, by in few.map(one, range(60)))
                # Workers are on accounts by their process ids: if this one were theirs, none would be refused.
                free = min(served.emails, key=lambda email: first[served.simulator.account(email).label])
                label = served.simulator.account(free).label
                limited = [email for email in served.emails if email != free]
                served.simulator.clear_log()
                served.drain(*limited, reset_seconds=600)
                assert set(few.map(one, range(60))) == {(200, label)}
            for email in limited:
                assert len(served.simulator.requests(email=email, status=429)) <= IN_FLIGHT
            before = len(served.simulator.requests(status=429))
            assert before >= 1

            def dying(number: int) -> tuple[int, str] | None:
                if number == 100:
                    os.kill(workers[0], signal.SIGKILL)
                try:
                    return one(number)
                except httpx.TransportError:
                    return None  # it was with the one that died

            answers = list(threads.map(dying, range(200)))
            assert set(answers) - {None} == {(200, label)}
            assert answers.count(None) < 100
            assert [one(number) for number in range(8)] == [(200, label)] * 8
        served.simulator.set_latency(0)
        # No cooldown was lost, and none is wrong.
        assert len(served.simulator.requests(status=429)) == before
        assert {entry.email for entry in served.simulator.requests(status=200) if entry.model} == {free}


# A gateway that was there before

EXAMPLE = EXAMPLES / "proxy_existing_gateway.yaml"
BENCHED_SECONDS = 0.3


def without_ours(text: str) -> str:
    """Return the gateway's file as it was before."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.rstrip().endswith("# ours"))


ALWAYS_DIFFERENT = {
    "date",
    "llm_provider-date",
    "x-litellm-call-id",
    "x-litellm-model-id",  # of the two with the same name LiteLLM chooses one at random
    "content-length",
    "vary",  # depends on the length, too, which our fallback group changes where LiteLLM lists them
}
UPSTREAM_DIFFERENT = {"authorization", "x-api-key", "content-length", "traceparent"}


def told_apart_by_nothing(text: str) -> str:
    """Return a text without what differs each time."""
    text = re.sub(r'"(id|created|created_at|call_id|item_id|response_id)": ?("[^"]*"|\d+)', "", text)
    return text.replace(f", {MODEL}.", ".")  # LiteLLM lists the groups that have fallbacks, and ours has one


def comparable(answer: httpx.Response) -> dict[str, Any]:
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ALWAYS_DIFFERENT and not re.search(r"duration|overhead|latency|_ms$|-ms$", name)
    }
    return {"status": answer.status_code, "text": told_apart_by_nothing(answer.text), "headers": headers}


def comparable_request(received: Received) -> tuple[Any, ...]:
    headers = {name: value for name, value in received.headers.items() if name not in UPSTREAM_DIFFERENT}
    return received.path, headers, received.body


@pytest.fixture(scope="module")
def gateways(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    """The example, and the same gateway without our lines; both bench a deployment for a moment only."""
    text = EXAMPLE.read_text("utf-8") + f"router_settings: {{cooldown_time: {BENCHED_SECONDS}}}\n"
    ours, before = (tmp_path_factory.mktemp("gateway") / EXAMPLE.name for _ in range(2))
    ours.write_text(text, "utf-8")
    before.write_text(without_ours(text), "utf-8")
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        started = [start(config, imported=True) for config in (ours, before)]
        with_ours, without = threads.map(stack.enter_context, started)
        yield with_ours, without


def test_without_our_lines_the_gateway_knows_nothing_of_us() -> None:
    before = without_ours(EXAMPLE.read_text("utf-8"))
    assert "antigravity" not in before
    assert set(yaml.safe_load(before)) == {"model_list", "litellm_settings", "general_settings"}
    assert len(yaml.safe_load(before)["model_list"]) == 3


CHAT, ANTHROPIC, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
MUCH: dict[str, Any] = {
    "tools": [TOOL],
    "tool_choice": "auto",
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["end"],
    "user": "somebody",
    "response_format": {"type": "json_object"},
    "metadata": {"session_id": "one", "tags": ["some"]},
}
FAILURES: dict[str, list[int]] = {
    "served": [],
    "retried after 429": [429],
    "retried after 500": [500],
    "refused": [400],
    "denied": [401] * 9,
    "cut": [CUT],
}


def scenes() -> Iterator[Any]:
    """Yield path, group, statuses of upstream's next answers, and what else is in the request."""
    names = {(CHAT, "gpt-4o"): [*FAILURES], (CHAT, "claude-haiku"): ["served", "retried after 429", "refused"]}
    for path, group in itertools.product([CHAT, ANTHROPIC, RESPONSES], ["gpt-4o", "claude-haiku"]):
        for stream in (False, True):
            for name in names.get((path, group), ["served", "cut" if stream else "refused"]):
                how = f"{path} {group} {'streamed ' if stream else ''}{name}"
                yield pytest.param(path, group, FAILURES[name], {"stream": stream}, id=how)
        yield pytest.param(path, group, [], {"temperature": 0.5}, id=f"{path} {group} with a parameter")
    yield pytest.param(CHAT, "gpt-4o", [500] * 9, {}, id="retried in vain")
    yield pytest.param(CHAT, "gpt-4o", [], MUCH, id="many parameters, openai")
    yield pytest.param(CHAT, "claude-haiku", [], MUCH, id="many parameters, anthropic")
    yield pytest.param(CHAT, "claude-haiku", [], {"logprobs": True}, id="a parameter that anthropic has not")
    yield pytest.param(CHAT, "gpt-4o", [], {"messages": "none"}, id="no messages")
    yield pytest.param(CHAT, "nothing", [], {}, id="an unknown model")
    yield pytest.param("/v1/embeddings", "gpt-4o", [], {"input": "Hello"}, id="embeddings")
    yield pytest.param("/utils/token_counter", "gpt-4o", [], {}, id="counting")


def log_of(served: Served, since: int, path: str) -> list[str]:
    """Return the lines that were logged, without what differs each time."""
    deadline = time.monotonic() + HANG_SECONDS
    text = served.proxy.log[since:]
    while f"POST {path}" not in text and time.monotonic() < deadline:  # it comes after the answer
        time.sleep(0.02)
        text = served.proxy.log[since:]
    lines = [line for line in text.splitlines() if re.match(r"INFO|WARNING|ERROR|\d\d:", line)]
    return sorted(told_apart_by_nothing(re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+", "", line)) for line in lines)


@pytest.mark.parametrize(("path", "group", "statuses", "more"), [*scenes()])
def test_other_deployments_answer_as_they_did_before(
    gateways: tuple[Served, Served],
    others: OtherProviders,
    path: str,
    group: str,
    statuses: list[int],
    more: dict[str, Any],
) -> None:
    seen: list[dict[str, Any]] = []
    for served in gateways:
        others.forget()
        others.statuses.extend(statuses)
        since = len(served.proxy.log)
        body = {**body_for(path, group), **more}
        answer = served.proxy.post(path, body, accept_encoding="identity")  # else the length decides
        requests = [comparable_request(one) for one in others.received]
        seen.append({**comparable(answer), "requests": requests, "log": log_of(served, since, path)})
    if statuses or seen[0]["status"] >= 400:
        time.sleep(BENCHED_SECONDS + 0.1)  # so that the next test finds every deployment
    ours, before = seen
    assert ours == before
    assert ACCOUNT_HEADER not in ours["headers"]


def test_other_deployments_are_listed_as_they_were_before(gateways: tuple[Served, Served]) -> None:
    for path, name in [("/v1/models", "id"), ("/model/info", "model_name"), ("/model_group/info", "model_group")]:
        ours, before = (served.proxy.get(path).json()["data"] for served in gateways)
        assert {one[name] for one in ours} - {one[name] for one in before} == {MODEL}, path
        assert [one for one in ours if one[name] != MODEL] == before, path


@pytest.mark.parametrize("key", ["Bearer sk-of-nobody", "nothing"])
def test_a_request_without_a_valid_key_is_refused_as_it_was_before(
    gateways: tuple[Served, Served], others: OtherProviders, key: str
) -> None:
    others.forget()
    gateways[0].simulator.clear_log()
    answers = [
        comparable(served.proxy.post(CHAT, body_for(CHAT, group), Authorization=key))
        for group in ("gpt-4o", MODEL)
        for served in gateways
    ]
    assert answers[0]["status"] >= 400
    assert answers == [answers[0]] * 4
    assert not others.received
    assert not gateways[0].asked()


def test_a_fallback_to_another_provider_answers_when_all_are_limited(
    gateways: tuple[Served, Served], others: OtherProviders
) -> None:
    served, _ = gateways
    served.renew()
    others.forget()
    assert by_whom(ask(served).text) in served.emails
    served.drain()
    began = time.monotonic()
    for stream in (False, True):
        answer = ask(served, stream=stream)
        assert answer.status_code == 200
        assert "anthropic" in answer.text
        assert ACCOUNT_HEADER not in answer.headers
    messages = served.proxy.post("/v1/messages", body_for("/v1/messages"))
    assert messages.json()["content"][0]["text"] == "anthropic"
    assert time.monotonic() - began < SLEPT


# Keys of clients. Virtual ones want a database; LiteLLM takes what a function says of a key in the same way.

WITH_KEYS = f"""
model_list:
  - model_name: gpt-4o
    litellm_params: {{model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
  - model_name: {MODEL}
    litellm_params: {{model: antigravity/{MODEL}}}
  - model_name: pinned
    litellm_params: {{model: antigravity/{MODEL}}}
    model_info: {{account: user1@example.com}}
litellm_settings:
  custom_provider_map:
    - {{provider: antigravity, custom_handler: litellm_antigravity.handler}}
  callbacks: [litellm_antigravity.hook]
  enable_post_custom_auth_checks: true
general_settings:
  custom_auth: keys.known
  custom_auth_run_common_checks: true
"""
KEYS = f"""
from litellm.proxy._types import UserAPIKeyAuth

MODELS = {{"sk-other": ["gpt-4o"], "sk-ours": ["{MODEL}", "pinned"], "sk-slow": ["{MODEL}"]}}

async def known(request, api_key):
    limit = 2 if api_key == "sk-slow" else None
    return UserAPIKeyAuth(api_key=api_key, models=MODELS[api_key], rpm_limit=limit)
"""


def test_a_key_reaches_our_models_only_if_it_names_them_and_within_its_limits(start: Start, tmp_path: Path) -> None:
    (tmp_path / "keys.py").write_text(KEYS, "utf-8")
    config = tmp_path / "config.yaml"
    config.write_text(WITH_KEYS, "utf-8")
    with start(config, imported=True) as served:
        served.simulator.heal()
        served.simulator.clear_log()

        def status(key: str, model: str, path: str = CHAT) -> int:
            return served.proxy.post(path, body_for(path, model), Authorization=f"Bearer {key}").status_code

        for path in (CHAT, ANTHROPIC, RESPONSES):
            for model in (MODEL, "pinned"):
                assert status("sk-other", model, path) in (401, 403)
        assert not served.asked()
        assert status("sk-other", "gpt-4o") == 200
        assert status("sk-ours", "gpt-4o") in (401, 403)
        assert [status("sk-ours", model) for model in (MODEL, "pinned")] == [200, 200]
        assert [status("sk-slow", MODEL) for _ in range(3)] == [200, 200, 429]
        assert len(served.asked()) == 4


# Starts that have to fail


def wrong(tmp_path: Path) -> dict[str, tuple[Path, list[str]]]:
    """Return files that must not start, and what the message has to name."""
    good = (EXAMPLES / "proxy_pool.yaml").read_text("utf-8")
    files = {
        "key": (
            good.replace("account_selection_strategy", "account_selection_stategy"),
            ["antigravity_settings", "account_selection_stategy", "account_selection_strategy"],
        ),
        "value": (good.replace("sticky", "stickey"), ["antigravity_settings", "stickey", "round-robin"]),
        "accounts": (good, ["antigravity-accounts.json", "auth"]),
    }
    found = {}
    for name, (text, words) in files.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, "utf-8")
        found[name] = path, words if name == "accounts" else [str(path), *words]
    return found


def test_a_wrong_key_a_wrong_value_or_no_accounts_stop_the_start_with_a_remedy(
    simulator: Simulator, tmp_path: Path
) -> None:
    environment = simulator.environment(tmp_path / "antigravity-accounts.json", tmp_path / "state")
    with contextlib.ExitStack() as stack:
        started = []
        for name, (path, words) in wrong(tmp_path).items():
            if name == "accounts":
                there = environment | {
                    "LITELLM_ANTIGRAVITY_ACCOUNTS_FILE": str(tmp_path / "no" / "antigravity-accounts.json")
                }
            else:
                there = environment
            proxy = Proxy(path, tmp_path, there, imported=True)  # the command's own end: test_proxy_first_contact
            stack.callback(proxy.close)
            started.append((proxy.launch(), words))
        simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
        for proxy, words in started:
            assert proxy.wait_for_end() != 0, proxy.log
            last = proxy.log[-3000:]
            assert all(word in last for word in words), last
