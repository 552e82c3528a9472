"""Conversations behind a real proxy: at each door, by each client's own names, and never by another caller's."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from agents_requests import CLAUDE_CODE, CLAUDE_CODES_HEADERS, CODEX
from client_sessions import SESSION, THREAD, codex, opencode, pi
from proxy import Proxy, needs_proxy, pool_environment
from proxy_agents import CLAUDE, CONFIG, GEMINI
from support import HANG_SECONDS

from litellm_antigravity.selection.conversation import caller_in
from litellm_antigravity.simulator import Simulator

pytestmark = needs_proxy

Json = dict[str, Any]
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
PINNED = "the-first-accounts-deployment"
FOREIGN = "the-first-keys-deployment"
PAIR = ("the-one-of-two", "the-other-of-two")
TOLD = re.compile(r"\[accounts\] conversation (\S+), known by (\S+)")
KEYS = """
from litellm.proxy._types import UserAPIKeyAuth

async def known(request, api_key):
    if api_key not in ("sk-alice", "sk-mallory", "sk-admin"):
        raise ValueError("unknown key")
    role = "proxy_admin" if api_key == "sk-admin" else None
    return UserAPIKeyAuth(api_key=api_key, user_role=role)
"""


class Talk:
    """A proxy, and what its decision log has said of conversations."""

    def __init__(self, proxy: Proxy, simulator: Simulator) -> None:
        self.proxy = proxy
        self.simulator = simulator

    def post(self, path: str, body: Json, headers: Json, key: str) -> httpx.Response:
        """Send a request with headers as they are: `Proxy.post` has no underlines in their names."""
        sent = {**headers, "Authorization": f"Bearer {key}"}
        return httpx.post(self.proxy.url + path, json=body, headers=sent, timeout=HANG_SECONDS, trust_env=False)

    def say(self, path: str, body: Json, headers: Json | None = None, *, key: str = "sk-alice") -> tuple[str, str]:
        """Send a request; return its conversation's key and where its name was found."""
        before = len(self.proxy.log)
        response = self.post(path, body, headers or {}, key)
        assert response.status_code == 200, response.text
        told = TOLD.findall(self.proxy.log[before:])
        assert len(told) == 1, told
        conversation: tuple[str, str] = told[0]
        return conversation


def config_for(simulator: Simulator) -> str:
    keyed = CONFIG.replace("round-robin", "sticky\n  debug: true")
    more = f"""  - model_name: pinned
    litellm_params: {{model: antigravity/{CLAUDE}}}
    model_info: {{account: user1@example.com, id: {PINNED}}}
  - model_name: pair
    litellm_params: {{model: antigravity/{CLAUDE}}}
    model_info: {{account: user1@example.com, id: {PAIR[0]}}}
  - model_name: pair
    litellm_params: {{model: antigravity/{CLAUDE}}}
    model_info: {{account: user2@example.com, id: {PAIR[1]}}}
  - model_name: keys
    litellm_params:
      model: gemini/{GEMINI}
      api_key: {simulator.accounts[0].api_key}
      api_base: {simulator.url}/v1beta/models/{GEMINI}
    model_info: {{account: the first key, id: {FOREIGN}}}
  - model_name: failing
    litellm_params: {{model: openai/none, api_key: k, api_base: "http://127.0.0.1:9", num_retries: 0}}
litellm_settings:"""
    return keyed.replace("litellm_settings:", more) + "general_settings:\n  custom_auth: keys.known\n"


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> Iterator[Talk]:
    folder = tmp_path_factory.mktemp("conversations")
    (folder / "keys.py").write_text(KEYS, "utf-8")
    config = folder / "config.yaml"
    with Simulator(4) as simulator:
        config.write_text(config_for(simulator), "utf-8")
        with Proxy(config, folder, pool_environment(simulator, Path(folder)), imported=True) as proxy:
            yield Talk(proxy, simulator)


def chat(text: str = "Write a test.", *turns: str, system: str = "You help.", **more: Any) -> Json:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    for turn in turns:
        messages += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": turn}]
    return {"model": CLAUDE, "messages": messages, **more}


def anthropic(*turns: str, stream: bool = False, **more: Any) -> Json:
    body = copy.deepcopy(CLAUDE_CODE)
    messages: list[Json] = [{"role": "user", "content": [{"type": "text", "text": "Write a test."}]}]
    for turn in turns:
        messages += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": turn}]
    return {**body, "model": CLAUDE, "messages": messages, "stream": stream, **more}


def responses(*turns: str, **more: Any) -> Json:
    said: list[Json] = [
        {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
        for role, text in (("developer", "You help."), ("user", "Write a test."))
    ]
    for turn in turns:
        said.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]})
        said.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": turn}]})
    return {**copy.deepcopy(CODEX), "model": CLAUDE, "input": said, "stream": False, **more}


def claude_headers(**more: str) -> Json:
    recorded = {name.replace("_", "-"): value for name, value in CLAUDE_CODES_HEADERS.items()}
    return {**recorded, "X-Claude-Code-Session-Id": SESSION, **more}


DOORS: dict[str, tuple[str, Any, Json, str]] = {
    "Claude Code": (MESSAGES, anthropic, claude_headers(), "x-claude-code-session-id"),
    "Claude Code without its header": (MESSAGES, anthropic, {}, "metadata.user_id"),
    "Codex": (RESPONSES, responses, codex(), "thread-id"),
    "a client of the Responses API": (RESPONSES, responses, {}, "client_metadata.thread_id"),
    "OpenCode": (CHAT, chat, opencode(), "x-session-affinity"),
    "pi": (CHAT, chat, pi("0199"), "session_id"),
    "Cline": (CHAT, lambda *turns: chat("Hi.", *turns, litellm_session_id="cline-01K"), {}, "litellm_session_id"),
    "Roo Code": (CHAT, lambda *turns: chat("Hi.", *turns, prompt_cache_key="a task"), {}, "prompt_cache_key"),
    "LiteLLM's header": (
        CHAT,
        lambda *turns: chat("Hi.", *turns),
        {"x-litellm-session-id": "s"},
        "x-litellm-session-id",
    ),
    "nobody": (CHAT, lambda *turns: chat("Hello.", *turns), {}, "its"),
    "nobody, by Anthropic's API": (MESSAGES, lambda *turns: anthropic(*turns, metadata={}), {}, "its"),
    "nobody, by the Responses API": (
        RESPONSES,
        lambda *turns: responses(*turns, prompt_cache_key=None, client_metadata=None),
        {},
        "its",
    ),
}


@pytest.mark.parametrize("client", DOORS)
def test_every_door_knows_a_conversation_again(talk: Talk, client: str) -> None:
    """The code of before chose by the process, whatever a request said."""
    path, body, headers, source = DOORS[client]
    first = talk.say(path, body("Go on.") if client == "Roo Code" else body(), headers)
    trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "x-request-id": "another"}
    second = talk.say(path, body("Go on.", "And on."), {**headers, **trace})
    assert first == second
    assert first[1] == source
    others = talk.say(path, body(), headers, key="sk-mallory")
    assert others[1] == source
    assert caller_in(others[0]) != caller_in(first[0])


def test_agents_of_a_session_are_told_apart_behind_the_proxy(talk: Talk) -> None:
    """LiteLLM itself gives an OpenCode sub-agent the parent's session id."""
    main = talk.say(MESSAGES, anthropic(), claude_headers())
    assert talk.say(MESSAGES, anthropic(), claude_headers(**{"x-claude-code-agent-id": "a1b2c3"})) != main
    parent, child = opencode("ses_parent0001"), {**opencode("ses_child00001"), "x-parent-session-id": "ses_parent0001"}
    assert talk.say(CHAT, chat(), parent) != talk.say(CHAT, chat(), child)
    assert talk.say(RESPONSES, responses(), codex()) != talk.say(RESPONSES, responses(), codex("01a2-child", THREAD))


def test_families_are_apart_behind_the_proxy(talk: Talk) -> None:
    assert talk.say(CHAT, chat(), opencode()) != talk.say(CHAT, {**chat(), "model": GEMINI}, opencode())


def test_a_stream_is_of_the_same_conversation(talk: Talk) -> None:
    assert talk.say(MESSAGES, anthropic(stream=True), claude_headers()) == talk.say(
        MESSAGES, anthropic(), claude_headers()
    )


FORGED: dict[str, tuple[Json, Json]] = {
    "metadata": ({"metadata": {"user_api_key_hash": "HASH", "user_api_key_auth": {"token": "HASH"}}}, {}),
    "metadata as text": ({"metadata": '{"user_api_key_hash": "HASH", "user_api_key_auth": {"token": "HASH"}}'}, {}),
    "the other metadata": ({"litellm_metadata": {"user_api_key_hash": "HASH", "user_api_key_auth": "HASH"}}, {}),
    "LiteLLM's own fields": (
        {
            "proxy_server_request": {"headers": {}, "body": {}},
            "litellm_params": {"metadata": {"user_api_key_auth": {"token": "HASH"}}},
            "user_api_key_dict": {"token": "HASH"},
            "secret_fields": {"raw_headers": {"authorization": "Bearer sk-alice"}},
        },
        {},
    ),
    "a user": ({"user": "HASH", "safety_identifier": "HASH"}, {"x-litellm-end-user-id": "HASH"}),
    "another key's header": ({}, {"x-api-key": "sk-alice", "x-litellm-key": "sk-alice", "api-key": "sk-alice"}),
    "the conversation's key": ({"conversation": "KEY", "litellm_session_id": "KEY"}, {"x-litellm-session-id": "KEY"}),
}


@pytest.mark.parametrize("how", FORGED)
def test_no_field_or_header_leads_to_another_callers_conversation(talk: Talk, how: str) -> None:
    body, headers = FORGED[how]
    session = {"X-Session-Id": "ses_of_alice", "x-session-affinity": "ses_of_alice"}
    alices, _ = talk.say(CHAT, chat(), session)
    words = {"HASH": hashlib.sha256(b"sk-alice").hexdigest(), "KEY": alices}

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items()}
        return value if not isinstance(value, str) else value.replace("HASH", words["HASH"]).replace("KEY", alices)

    before = len(talk.proxy.log)
    response = talk.post(CHAT, chat(**filled(body)), {**session, **filled(headers)}, "sk-mallory")
    told = {key for key, _ in TOLD.findall(talk.proxy.log[before:])}
    assert (response.status_code == 200) == bool(told), response.text  # LiteLLM may refuse it, which is as well
    assert caller_in(alices) not in {caller_in(key) for key in told}


def test_a_conversation_stays_on_its_account_whatever_others_send(talk: Talk) -> None:
    """The code of before had one account for every caller, and took all of them along when one was drained."""

    def account(key: str, **more: Any) -> str:
        session = {"x-session-affinity": "ses_that_both_use"}
        response = talk.post(CHAT, chat(**more), {**session, **talk_forged}, key)
        assert response.status_code == 200, response.text
        return response.headers["x-litellm-antigravity-account"]

    talk_forged: Json = {}
    alices = account("sk-alice")
    talk_forged = {"x-litellm-antigravity-account": alices}
    mallorys = set()
    for wanted in (f"us***{number}@example.com" for number in (1, 2, 3)):
        talk_forged["x-litellm-antigravity-account"] = wanted
        mallorys.add(account("sk-mallory", account=wanted, metadata={"account": wanted}))
    assert len(mallorys) == 1  # whatever it wants
    for number in range(8):
        talk.post(CHAT, chat(), {"x-session-affinity": f"ses_of_mallory_{number}"}, "sk-mallory")
    assert {account("sk-alice") for _ in range(3)} == {alices}


CHOICES: tuple[tuple[Json, Json], ...] = (
    ({"model_info": {"account": "ACCOUNT", "id": "ID"}}, {}),
    ({"litellm_params": {"model_info": {"account": "ACCOUNT"}}}, {}),
    ({"metadata": {"model_info": {"account": "ACCOUNT"}, "account": "ACCOUNT"}}, {}),
    ({"litellm_metadata": {"model_info": {"account": "ACCOUNT"}}, "account": "ACCOUNT"}, {}),
    ({"account_id": "ACCOUNT", "antigravity_settings": {"account_selection_strategy": "sticky"}}, {}),
    ({}, {"x-litellm-antigravity-account": "ACCOUNT", "x-goog-user-project": "ACCOUNT"}),
    ({"extra_headers": {"x-litellm-antigravity-account": "ACCOUNT"}}, {}),
)


@pytest.mark.parametrize("number", range(len(CHOICES)))
def test_no_field_or_header_chooses_an_account(talk: Talk, number: int) -> None:
    body, headers = CHOICES[number]

    def filled(value: Any, account: str) -> Any:
        if isinstance(value, dict):
            return {name: filled(one, account) for name, one in value.items()}
        return account if value == "ACCOUNT" else value

    served = set()
    for account in range(4):
        talk.simulator.clear_log()
        wanted = f"user{account + 1}@example.com"
        named = {**filled(headers, wanted), "x-session-affinity": f"ses_{number}_same"}
        response = talk.post(CHAT, chat(**filled(body, wanted)), named, "sk-mallory")
        if response.status_code == 200:
            served |= {entry.email for entry in talk.simulator.requests("generateContent", kind="served")}
    assert len(served) <= 1  # the account that its conversation is on, and never the one that is asked for


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
def test_only_an_administrator_chooses_an_account_by_the_id_of_its_deployment(talk: Talk, path: str) -> None:
    """The code of before served every caller from the account whose deployment it named."""
    body = {CHAT: chat, MESSAGES: anthropic, RESPONSES: responses}[path]()
    talk.simulator.clear_log()
    response = talk.post(path, {**body, "model": PINNED}, {}, "sk-mallory")
    assert response.status_code == 400, response.text
    assert "only administrators of the proxy choose an account" in response.text
    assert talk.simulator.requests("generateContent") == []
    assert talk.post(path, {**body, "model": "pinned"}, {}, "sk-mallory").status_code == 200
    assert talk.post(path, {**body, "model": PINNED}, {}, "sk-admin").status_code == 200


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_that_goes_for_other_providers_too(talk: Talk, path: str) -> None:
    body = {CHAT: chat, MESSAGES: anthropic}[path]()
    response = talk.post(path, {**body, "model": FOREIGN}, {}, "sk-mallory")
    assert response.status_code == 400, response.text
    assert "only administrators of the proxy choose an account" in response.text
    assert talk.post(path, {**body, "model": "keys"}, {}, "sk-mallory").status_code == 200
    assert talk.post(path, {**body, "model": FOREIGN}, {}, "sk-admin").status_code == 200


def test_nor_as_a_fallback_of_the_callers_own(talk: Talk) -> None:
    talk.simulator.clear_log()
    response = talk.post(CHAT, {**chat(), "model": "failing", "fallbacks": [PINNED]}, {}, "sk-mallory")
    assert response.status_code >= 400, response.text
    assert talk.simulator.requests("generateContent") == []
    answered = talk.post(CHAT, {**chat(), "model": "failing", "fallbacks": [CLAUDE]}, {}, "sk-mallory")
    assert answered.status_code == 200, answered.text


EXCLUDED = ("_excluded_deployment_ids", "_retry_skipped_deployment_ids")


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("name", EXCLUDED)
def test_no_caller_excludes_an_account_by_the_id_of_its_deployment(talk: Talk, path: str, name: str) -> None:
    """The code of before took the Router's own note of what has failed from anybody: the other one had to serve."""
    body = {**{CHAT: chat, MESSAGES: anthropic, RESPONSES: responses}[path](), "model": "pair"}
    served = set()
    for excluded in ([PAIR[0]], [PAIR[1]], 5, [[PAIR[0]]]):
        response = talk.post(path, {**body, name: excluded}, {"x-session-affinity": f"ses_{name}"}, "sk-mallory")
        assert response.status_code == 200, response.text
        served.add(response.headers["x-litellm-antigravity-account"])
    assert len(served) == 1


@pytest.mark.parametrize("name", [*EXCLUDED, "_target_order"])
def test_nor_in_a_fallback_of_the_callers_own(talk: Talk, name: str) -> None:
    served = set()
    for excluded in PAIR:
        fallbacks = [{"model": "pair", name: [excluded]}]
        sent = {**chat(), "model": "failing", "fallbacks": fallbacks}
        response = talk.post(CHAT, sent, {"x-session-affinity": f"ses_{name}"}, "sk-mallory")
        assert response.status_code == 200, response.text
        served.add(response.headers["x-litellm-antigravity-account"])
    assert len(served) == 1


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("name", ["trace_id", "session_id"])
@pytest.mark.parametrize("model", [CLAUDE, "pinned"])
def test_metadata_of_odd_types_is_as_good_as_none(talk: Talk, path: str, name: str, model: str) -> None:
    """The code of before answered 500 to a list where LiteLLM's own fields have texts."""
    body = {**{CHAT: chat, MESSAGES: anthropic, RESPONSES: responses}[path](), "model": model}
    for odd in (["a"], {"a": ["b"]}, 5):
        for metadata in ("metadata", "litellm_metadata"):
            response = talk.post(path, {**body, metadata: {name: odd}}, {}, "sk-alice")
            assert response.status_code == 200, (metadata, odd, response.text)
