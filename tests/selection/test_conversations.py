"""Which conversation a request belongs to: names as clients send them, and beginnings where there is no name.

The requests have the headers and fields of Claude Code 2.1.197, Codex 0.171.0 and OpenCode 1.18.33, recorded from the
programs, and of Cline, Roo Code and pi as their sources have them (docs/conversations.md).
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from client_sessions import OLD_USER, SESSION, THREAD, USER, claude_code, codex, opencode, pi
from proxy import LITELLM
from serving import settings_of

import litellm_antigravity
from litellm_antigravity.litellm.conversations import conversation_of
from litellm_antigravity.selection.conversation import Conversation, caller_in
from litellm_antigravity.simulator import Simulator

Json = dict[str, Any]
CLAUDE = "claude-sonnet-4-6"
OTHER = "0b1dd2c5-9b7b-4c7d-8f0a-3a7c2b1f0d11"


class Auth:
    """What the proxy's authentication leaves of a caller."""

    def __init__(self, token: str) -> None:
        self.token = token


def asked(text: str, *, system: str = "You help.") -> list[Json]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def call(
    headers: Json | None = None,
    *,
    caller: str | None = "a key's hash",
    messages: Any = None,
    **body: Any,
) -> Json:
    """Return a provider's call as it comes out of the proxy."""
    sent = {"headers": headers or {}, "body": {"model": "claude-sonnet-4-6", **body}}
    metadata: Json = {} if caller is None else {"user_api_key_auth": Auth(caller)}
    return {
        "messages": asked("Write a test.") if messages is None else messages,
        "optional_params": {},
        "litellm_params": {"metadata": metadata, "proxy_server_request": sent, "model_info": {"id": "1"}},
    }


def found(*args: Any, subagents: Any = "apart", scope: str = "claude", **kwargs: Any) -> Conversation:
    conversation = conversation_of(call(*args, **kwargs), scope, subagents)
    assert conversation is not None
    assert len(conversation.key) <= 40
    return conversation


NAMED: dict[str, tuple[Json, Json, str]] = {
    "LiteLLM's header": ({"x-litellm-session-id": "one"}, {}, "x-litellm-session-id"),
    "LiteLLM's field": ({}, {"litellm_session_id": "one"}, "litellm_session_id"),
    "Claude Code": (claude_code(), {"metadata": USER}, "x-claude-code-session-id"),
    "Claude Code without its header": ({}, {"metadata": USER}, "metadata.user_id"),
    "Claude Code 1": ({}, {"metadata": OLD_USER}, "metadata.user_id"),
    "Codex": (codex(), {"prompt_cache_key": THREAD}, "thread-id"),
    "Codex of 2025": ({"session_id": THREAD, "conversation_id": THREAD}, {}, "conversation_id"),
    "OpenCode": (opencode(), {"promptCacheKey": "ses_1"}, "x-session-affinity"),
    "OpenCode's own gateway": (
        {"x-opencode-session": "ses_1", "x-opencode-request": "msg_1"},
        {},
        "x-opencode-session",
    ),
    "pi": (pi("0199"), {}, "session_id"),
    "Cline with LiteLLM": ({}, {"litellm_session_id": "cline-01K"}, "litellm_session_id"),
    "Cline with an OpenAI-compatible server": ({"x-litellm-trace-id": "1764_ab"}, {}, "x-litellm-trace-id"),
    "Cline's gateway": ({"X-Task-ID": "1764_ab"}, {}, "x-task-id"),
    "Roo Code with LiteLLM": ({}, {"prompt_cache_key": "a task"}, "prompt_cache_key"),
    "Roo Code's gateway": ({"X-Roo-Task-ID": "a task"}, {}, "x-roo-task-id"),
    "Open WebUI": ({"X-OpenWebUI-Chat-Id": "chat-one"}, {}, "x-openwebui-chat-id"),
    "a vendor": ({"x-acme-session-id": "abcdefgh"}, {}, "x-...-session-id"),
    "metadata": ({}, {"metadata": {"session_id": "one"}}, "metadata.session_id"),
    "metadata of other routes": ({}, {"litellm_metadata": {"session_id": "one"}}, "metadata.session_id"),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_a_conversation_whatever_else_changes_from_turn_to_turn(name: str) -> None:
    """The code of before knew no conversations."""
    headers, body, source = NAMED[name]
    first = found(headers, messages=asked("Write a test.", system="It is 10:31."), **body)
    later = [*asked("Write a test.", system="It is 10:32. Bill 2."), {"role": "assistant"}]
    noise = {"x-request-id": "other", "x-client-request-id": "another", "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    second = found({**headers, **(noise if name != "pi" else {})}, messages=later, tools=[{"name": "a"}], **body)
    assert (first.named, first.source) == (True, source)
    assert first == second


@pytest.mark.parametrize("name", NAMED)
def test_another_name_is_another_conversation(name: str) -> None:
    headers, body, _ = NAMED[name]
    text = json.dumps([headers, body])
    for known in (SESSION, THREAD, "ses_de7560e80ffewJevnp0v2IvoM9", "0199", "cline-01K", "1764_ab", "a task", "one"):
        text = text.replace(known, f"{known[:-2]}ff")
    for known in ("abcdefgh", "ses_1"):
        text = text.replace(known, f"{known}2")
    others_headers, others_body = json.loads(text)
    assert found(headers, **body).key != found(others_headers, **others_body).key


@pytest.mark.parametrize("name", NAMED)
def test_the_same_name_of_another_caller_is_another_conversation(name: str) -> None:
    headers, body, _ = NAMED[name]
    mine, theirs = found(headers, **body), found(headers, caller="another key's hash", **body)
    assert mine.key != theirs.key
    assert caller_in(mine.key) != caller_in(theirs.key)
    assert caller_in(mine.key) == caller_in(found({"x-litellm-session-id": "another"}).key)


def test_families_and_groups_are_apart() -> None:
    keys = {found(claude_code(), scope=scope).key for scope in ("claude", "gemini", "group keys", "group others")}
    assert len(keys) == 4


# Agents of one session


def agents_of(**settings: Any) -> dict[str, tuple[str, str]]:
    """Return the keys of a first agent and of one that it started, by client."""
    task = asked("Search the sources.", system="You search.")
    older = claude_code(version="2.1.138")
    child = {**opencode("ses_child001"), "x-parent-session-id": "ses_parent01"}
    pairs = {
        "Claude Code": (claude_code(), claude_code(**{"x-claude-code-agent-id": "a1b2"}), {}, {}),
        "Claude Code before 2.1.139": (older, older, {}, {}),
        "Codex": (codex(), codex("01a218a9-ffff", THREAD), {"prompt_cache_key": THREAD}, {"prompt_cache_key": THREAD}),
        "OpenCode": (opencode("ses_parent01"), child, {}, {}),
        "a session of LiteLLM's": ({"x-litellm-session-id": "s"}, {"x-litellm-session-id": "s"}, {}, {}),
        "a prompt cache's key": ({}, {}, {"prompt_cache_key": "app"}, {"prompt_cache_key": "app"}),
    }
    return {
        name: (found(first, **body, **settings).key, found(second, messages=task, **its_body, **settings).key)
        for name, (first, second, body, its_body) in pairs.items()
    }


def test_agents_of_one_session_are_told_apart() -> None:
    assert [name for name, (first, second) in agents_of(subagents="apart").items() if first == second] == []


def test_agents_of_one_session_are_one_conversation_if_that_is_wished() -> None:
    assert [name for name, (first, second) in agents_of(subagents="with-parent").items() if first != second] == []


def test_a_client_that_tells_its_agents_keeps_its_conversation_when_its_history_is_summed_up() -> None:
    summed_up = asked("This session is being continued from a previous conversation.")
    for headers in (claude_code(), codex(), opencode()):
        assert found(headers) == found(headers, messages=summed_up)


def test_what_a_client_puts_before_the_first_words_does_not_tell_agents_apart() -> None:
    """Claude Code's first message lists skills and the date anew when a session is taken up again."""
    headers = claude_code(version="2.0.14")

    def first(date: str) -> Any:
        reminder = {"type": "text", "text": f"<system-reminder>\nIt is {date}.\n</system-reminder>\n"}
        return [{"role": "user", "content": [reminder, {"type": "text", "text": "Write a test."}]}]

    assert found(headers, messages=first("2026-11-26")) == found(headers, messages=first("2026-11-27"))


# Without a name


def test_without_a_name_a_conversation_is_known_by_its_beginning() -> None:
    beginning = asked("Write a test.")
    turns = [beginning]
    for number in range(3):
        turns.append([*turns[-1], {"role": "assistant", "content": f"{number}"}, {"role": "user", "content": "More."}])
    conversations = {found(messages=messages, tools=[{"name": str(len(messages))}]) for messages in turns}
    assert len(conversations) == 1
    (conversation,) = conversations
    assert not conversation.named
    assert found(messages=asked("Write two tests.")) != conversation
    assert found(messages=asked("Write a test.", system="You hinder.")) != conversation
    assert found(messages=beginning, caller="another key's hash").key != conversation.key


def test_where_a_prompt_is_cached_and_what_time_it_is_does_not_change_a_beginning() -> None:
    """OpenCode marks its first message in the first turn only; proxies put bills before the prompt."""
    text = {"type": "text", "text": "Write a test."}
    marked: Json = {"role": "user", "content": [{**text, "cache_control": {"type": "ephemeral"}}]}
    bill = "x-anthropic-billing-header: cc_version=2.1.197.7d5; cc_entrypoint=sdk-cli;"
    parts = [{"type": "text", "text": bill}, {"type": "text", "text": "At 10:31 help."}]
    first: list[Json] = [{"role": "system", "content": parts}]
    other = copy.deepcopy(first)
    other[0]["content"][0]["text"] = bill.replace("7d5", "a01")
    other[0]["content"][1]["text"] = "At 11:02 help."
    assert found(messages=[*first, marked]) == found(messages=[*other, {"role": "user", "content": [text]}])


def test_images_and_long_texts_are_part_of_a_beginning() -> None:
    def with_image(data: str) -> Any:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        return [{"role": "user", "content": [image]}]

    long = "x" * 100_000
    keys = {found(messages=with_image(data)).key for data in ("AAAA", "BBBB")}
    keys |= {found(messages=asked(f"{long}{end}")).key for end in ("one", "two")}
    assert len(keys) == 4


def test_a_beginning_is_the_same_in_every_form_that_litellm_gives_it() -> None:
    """A pinned deployment is chosen by what the client sent, and called with OpenAI's messages."""
    data, link = "iVBORw0KGgo" * 40, "https://example.com/a.png"
    words = {"type": "text", "text": "What is it?"}
    claudes = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image", "source": {"type": "url", "url": link}},
    ]
    openais: list[Json] = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", "format": "image/png"}},
        {"type": "image_url", "image_url": link},
    ]
    helps = [{"type": "text", "text": "You help."}]
    sent = {"system": helps, "messages": [{"role": "user", "content": [words, *claudes]}]}
    called = {"messages": [{"role": "system", "content": "You help."}, {"role": "user", "content": [words, *openais]}]}
    by_responses = {"instructions": "You help.", "input": [{"role": "user", "content": [words, *openais]}]}
    assert len({conversation_of(one, "group") for one in (sent, called, by_responses)}) == 1


@pytest.mark.parametrize("messages", ["One.", [{"role": "user", "content": "One."}]])
def test_a_beginning_may_be_a_text_or_messages(messages: Any) -> None:
    assert conversation_of({"input": messages, "instructions": "Help."}, "claude") is not None


@pytest.mark.parametrize("messages", [[], "", None, [{"role": "assistant", "content": "One."}], [17], {"role": "user"}])
def test_what_says_nothing_belongs_to_no_conversation(messages: Any) -> None:
    assert conversation_of({"messages": messages}, "claude") is None


class Long(list[Any]):
    """A list of which not much may be looked at one by one."""

    def __iter__(self) -> Iterator[Any]:
        return limited(super().__iter__())


class Wide(dict[str, Any]):
    """An object of which not much may be looked at one by one."""

    def items(self) -> Any:
        return limited(iter(super().items()))


def limited(parts: Iterator[Any]) -> Iterator[Any]:
    for number, part in enumerate(parts):
        assert number <= 2000
        yield part


@pytest.mark.parametrize(
    "messages",
    [
        Long([{"role": "assistant", "content": "x"}] * 3000 + asked("Hello")),
        Long([{"role": "user", "content": []}] * 3000),
        Long([{"role": "user", "content": "<system-reminder></system-reminder>" * 10}] * 3000),
        [{"role": "user", "content": Long([1] * 3000)}],
        [{"role": "user", "content": [Long([[]] * 3000)] * 3000}],
        [{"role": "user", "content": [Wide({str(number): number for number in range(3000)})]}],
        [{"role": "system", "content": Long([None] * 3000)}, *asked("Hello")],
    ],
)
def test_of_a_body_of_whatever_size_a_bounded_part_is_looked_at(messages: Any) -> None:
    """It was looked at whole, on the event loop for pinned groups: 0.3 to 3.8 s for a million parts."""
    conversation_of({"messages": messages}, "claude")


# What LiteLLM makes of session ids


def test_litellms_copy_of_a_session_id_is_no_name_of_its_own() -> None:
    """LiteLLM writes the parent's session into an OpenCode sub-agent's request, and Claude Code's into its agents'."""
    child = {**opencode("ses_child001"), "x-parent-session-id": "ses_parent01"}
    copied: Json = {"litellm_session_id": "ses_parent01", "litellm_metadata": {"session_id": "ses_parent01"}}
    assert found(child, **copied) == found(child)
    own: Json = {"litellm_session_id": SESSION, "metadata": {**USER, "session_id": SESSION}}
    assert found(claude_code(), **own) == found(claude_code())
    assert found({}, **own) == found({}, metadata=USER)


def test_session_and_trace_ids_that_are_made_up_for_each_request_are_no_names() -> None:
    generated: Json = {"litellm_session_id": "random", "metadata": {"session_id": "random"}}
    made_up = call({}, **generated)
    made_up["litellm_params"]["metadata"]["litellm_session_id_generated"] = True
    made_up["litellm_params"]["litellm_session_id"] = "random"
    assert conversation_of(made_up, "claude") == found()
    traced = {"messages": asked("Write a test."), "metadata": {"trace_id": "t"}, "litellm_session_id": "t"}
    conversation = conversation_of(traced, "claude")
    assert conversation is not None
    assert not conversation.named


# Hostile callers

VICTIM = "the victim's key's hash"
FORGED: tuple[Json, ...] = (
    {"metadata": {"user_api_key_auth": {"token": VICTIM}, "user_api_key_hash": VICTIM, "user_api_key": VICTIM}},
    {"litellm_metadata": {"user_api_key_auth": {"token": VICTIM}, "user_api_key_hash": VICTIM}},
    {"user_api_key_auth": {"token": VICTIM}, "user_api_key_dict": {"token": VICTIM}, "user_api_key": VICTIM},
    {"proxy_server_request": {"headers": claude_code(), "body": {}}, "user": VICTIM},
)


@pytest.mark.parametrize("forged", range(len(FORGED)))
def test_no_field_of_a_request_makes_it_anothers_conversation(forged: int) -> None:
    """Not in what the client sent, and not where a program or an older proxy passes it on unsifted."""
    theirs = found(claude_code(), caller=VICTIM)
    body = FORGED[forged]
    assert caller_in(found(claude_code(), caller="mine", **body).key) != caller_in(theirs.key)
    unsifted = call(claude_code(), caller="mine", **body)
    for where, value in body.items():
        given = unsifted["litellm_params"].get(where)
        if isinstance(given, dict) and isinstance(value, dict):
            unsifted["litellm_params"][where] = {**value, **given}
        else:
            unsifted.setdefault(where, value)
    conversation = conversation_of(unsifted, "claude")
    assert conversation is not None
    assert caller_in(conversation.key) != caller_in(theirs.key)


def test_no_name_reaches_into_another_part_of_a_key() -> None:
    """The parts of a key are hashed with their lengths."""
    one = found({"x-litellm-session-id": "a"}, caller="token k|claude", messages=asked("b"))
    two = found({"x-litellm-session-id": "claude|a"}, caller="token k", messages=asked("b"))
    assert one.key != two.key


NESTED: Any = "end"
for _ in range(900):
    NESTED = {"content": [NESTED]}


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    "body",
    [
        {"litellm_session_id": ["a", {"b": 1}], "prompt_cache_key": {"c": None}, "metadata": {"session_id": []}},
        {"litellm_session_id": True, "prompt_cache_key": " \n", "metadata": {"session_id": 10**4000}},
        {"metadata": {"user_id": "{" * 5000}, "client_metadata": "thread_id"},
        {"metadata": {"user_id": "user_" + "a_session_" * 3000}, "client_metadata": [1]},
        {"metadata": "session_id=1", "litellm_metadata": [1]},
    ],
)
def test_names_that_are_none_do_no_harm(body: Json) -> None:
    conversation = found(**body)
    assert conversation.key == found().key
    assert not conversation.named


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    "content",
    [
        NESTED,
        "<system-reminder>" * 200_000,
        [{"type": "text", "text": "a"}] * 300_000,
        {"type": "image", "source": {str(number): "a" for number in range(300_000)}},
        "<system-reminder></system-reminder>" * 100_000,
        "\ud800",
        [None, 1, {"a": 2}],
    ],
    ids=["nested", "opened", "parts", "wide", "emptied", "surrogate", "odd"],
)
def test_contents_that_are_made_to_hurt_do_no_harm(content: Any) -> None:
    messages = [{"role": "user", "content": content}, {"role": "user", "content": "One."}]
    assert conversation_of(call(messages=messages), "claude") is not None


# Without a proxy: real LiteLLM, where a request is its keyword arguments


@pytest.fixture(scope="module")
def asked_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Callable[..., Any]]]:
    """Give LiteLLM's functions, by how they are called, for a pool whose Google is the simulator."""
    with Simulator(1) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path_factory.mktemp("plain")))
        router = litellm.Router([{"model_name": "claude", "litellm_params": {"model": f"antigravity/{CLAUDE}"}}])

        yield {
            "completion": lambda **call: litellm.completion(f"antigravity/{CLAUDE}", **call),
            "acompletion": lambda **call: asyncio.run(litellm.acompletion(f"antigravity/{CLAUDE}", **call)),
            "streamed": lambda **call: list(litellm.completion(f"antigravity/{CLAUDE}", stream=True, **call)),
            "Router.completion": lambda **call: router.completion("claude", **call),
            "Router.acompletion": lambda **call: asyncio.run(router.acompletion("claude", **call)),
        }


@pytest.mark.parametrize("door", ["completion", "acompletion", "streamed", "Router.completion", "Router.acompletion"])
def test_a_program_names_conversations_as_litellm_lets_it(
    asked_of: dict[str, Callable[..., Any]], door: str, caplog: pytest.LogCaptureFixture
) -> None:
    ways: tuple[Json, ...] = (
        {"litellm_session_id": "one"},
        {"metadata": {"session_id": "one"}},
        {"extra_headers": {"x-litellm-session-id": "one"}},
        {"prompt_cache_key": "one"} if LITELLM >= (1, 106) else {"litellm_session_id": "one"},  # 1.90 drops it
        {"metadata": {"trace_id": "one"}},
        {},
    )
    keys = []
    with caplog.at_level(logging.DEBUG, "litellm_antigravity"):
        for way in ways:
            caplog.clear()
            asked_of[door](messages=[{"role": "user", "content": "Hi."}], **way)
            keys.append(re.findall(r"conversation (\S+), known by", caplog.text))
    assert keys[0] == keys[1] == keys[2] == keys[3] != []
    assert keys[4] == keys[5] != keys[0]
    assert len(keys[5]) == ("Router" in door)  # else the process is what keeps an account
