"""Whatever history a client can hold becomes one that upstream accepts, and nothing that somebody said is lost."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream_rules import check_rules

from litellm_antigravity.litellm.translation import to_gemini
from litellm_antigravity.litellm.translation.histories import CANCELLED, repair_history
from litellm_antigravity.litellm.translation.operator_notes import NOTE
from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.simulator.signatures import signature_for
from litellm_antigravity.simulator.validation import check_request

Json = dict[str, Any]

MODELS = [
    "claude-sonnet-4-6",
    "claude-opus-4-6-thinking",
    "claude-sonnet-4-5",
    "gemini-3-flash",
    "gemini-2.5-pro",
    "gpt-oss-120b-medium",
]
every_model = pytest.mark.parametrize("model", MODELS)
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("sky", "sea")]


def sent(model: str, messages: list[Json], **params: Any) -> list[Json]:
    """Return the contents that upstream gets for a history; it has to take them."""
    before = copy.deepcopy(messages)
    body = to_gemini(model, messages, {"tools": TOOLS, **params}, thoughts=SignedThoughts())
    assert messages == before
    check_request(body, "request")
    check_rules(model, body)
    contents: list[Json] = body["contents"]
    return contents


def user(text: Any) -> Json:
    return {"role": "user", "content": text}


def system(text: Any) -> Json:
    return {"role": "system", "content": text}


def said(text: Any = None, *calls: Json, **more: Any) -> Json:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {}), **more}


def call(call_id: str | None, name: str = "sky", arguments: str = "{}") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _signed_call(call_id: str) -> Json:
    """Return a call as LiteLLM's ``/v1/messages`` hands on one of Gemini's."""
    made = call(call_id)
    made["function"]["provider_specific_fields"] = {"thought_signature": signature_for("gemini-3-flash")}
    return made


def result(call_id: str | None, content: Any = "grey", **more: Any) -> Json:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


def shown(contents: list[Json]) -> list[Any]:
    """Return contents in short: texts, names of calls, and what the results say."""
    short: list[Any] = []
    for content in contents:
        for part in content["parts"]:
            if "functionCall" in part:
                short.append(("call", part["functionCall"]["name"]))
            elif "functionResponse" in part:
                response = part["functionResponse"]["response"]
                short.append(("result", response.get("content", response)))
            else:
                short.append(part.get("text", "..."))
    return short


GONE = ("result", CANCELLED)

TABLE: dict[str, tuple[list[Json], list[Any]]] = {
    "words instead of a result": (
        [user("Sky?"), said(None, call("c1")), user("Do this instead.")],
        ["Sky?", ("call", "sky"), GONE, "Do this instead."],
    ),
    "nothing after a call": ([user("Sky?"), said("I look.", call("c1"))], ["Sky?", "I look.", ("call", "sky"), GONE]),
    "one of two answered": (
        [user("Sky?"), said(None, call("c1"), call("c2", "sea")), result("c2", "wet"), user("Stop.")],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "wet"), GONE, "Stop."],
    ),
    "words before the result": (
        [user("Sky?"), said(None, call("c1")), user("Quick!"), result("c1")],
        ["Sky?", ("call", "sky"), ("result", "grey"), "Quick!"],
    ),
    "words between two results": (
        [user("Sky?"), said(None, call("c1"), call("c2", "sea")), result("c1"), user("Hm."), result("c2", "wet")],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "grey"), ("result", "wet"), "Hm."],
    ),
    "results in another order": (
        [user("Sky?"), said(None, call("c1"), call("c2", "sea")), result("c2", "wet"), result("c1")],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "wet"), ("result", "grey")],
    ),
    "the same result twice": (
        [user("Sky?"), said(None, call("c1")), result("c1"), result("c1")],
        ["Sky?", ("call", "sky"), ("result", "grey")],
    ),
    "a call in two messages of one turn": (
        [user("Sky?"), said(None, call("c1")), said(None, call("c2", "sea")), result("c1"), result("c2", "wet")],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "grey"), ("result", "wet")],
    ),
    "a system message between call and result": (
        [user("Sky?"), said(None, call("c1")), system("Be brief."), result("c1")],
        ["Sky?", ("call", "sky"), ("result", "grey"), f"{NOTE}\n\nBe brief."],
    ),
    "a system message between two calls of one turn": (
        [
            user("Sky?"),
            said(None, call("c1")),
            system("Be brief."),
            said(None, call("c2", "sea")),
            result("c1"),
            result("c2", "wet"),
        ],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "grey"), ("result", "wet"), f"{NOTE}\n\nBe brief."],
    ),
    "calls of old": (
        [
            user("Sky?"),
            said(None, function_call={"name": "sky", "arguments": "{}"}),
            {"role": "function", "name": "sky", "content": "grey"},
        ],
        ["Sky?", ("call", "sky"), ("result", "grey")],
    ),
    "a call of old that was interrupted": (
        [user("Sky?"), said(None, function_call={"name": "sky", "arguments": "{}"}), user("Stop.")],
        ["Sky?", ("call", "sky"), GONE, "Stop."],
    ),
    "calls without ids": (
        [user("Sky?"), said(None, call(None), call("", "sea")), result(None, "wet", name="sea"), result(None)],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "wet"), ("result", "grey")],
    ),
    "an empty turn of the user's between two of the model's": (
        [user("Sky?"), said("Hm."), user([]), said(None, call("c1")), result("c1")],
        ["Sky?", "Hm.", ("call", "sky"), ("result", "grey")],
    ),
    "two calls alike": (
        [user("Sky?"), said(None, call("c1"), call("c2")), result("c1"), result("c2", "blue")],
        ["Sky?", ("call", "sky"), ("call", "sky"), ("result", "grey"), ("result", "blue")],
    ),
    "two calls alike, of which one is signed": (
        [user("Sky?"), said(None, _signed_call("c1"), call("c2")), result("c1"), result("c2", "blue")],
        ["Sky?", ("call", "sky"), ("call", "sky"), ("result", "grey"), ("result", "blue")],
    ),
    "two calls alike, written differently": (
        [
            user("Sky?"),
            said(
                None, call("c1", arguments='{"a": 1, "b": "\u00e5"}'), call("c2", arguments='{"b":"\\u00e5","a":1.0}')
            ),
            result("c1"),
            result("c2", "blue"),
        ],
        ["Sky?", ("call", "sky"), ("call", "sky"), ("result", "grey"), ("result", "blue")],
    ),
    "two calls with one id": (
        [user("Sky?"), said(None, call("c1"), call("c1", "sea")), result("c1"), result("c1", "wet")],
        ["Sky?", ("call", "sky"), ("call", "sea"), ("result", "grey"), ("result", "wet")],
    ),
    "one id in several turns": (
        [user("Sky?"), *[said(None, call("c1")), result("c1")] * 3],
        ["Sky?", *[("call", "sky"), ("result", "grey")] * 3],
    ),
}


@every_model
@pytest.mark.parametrize(("messages", "expected"), TABLE.values(), ids=TABLE)
def test_calls_are_answered_right_behind_them(model: str, messages: list[Json], expected: list[Any]) -> None:
    """Before, all but the valid ones among these were refused (400), by upstream or by LiteLLM's converter."""
    assert shown(sent(model, messages)) == expected


@every_model
@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([result("c9", "grey over Oslo"), user("And now?")], ["c9", "grey over Oslo", "And now?"]),
        ([user("So far: ..."), result("c9", "grey over Oslo")], ["So far: ...", "c9", "grey over Oslo"]),
        (
            [user("Sky?"), said(None, call("c1")), result("c1"), result("c1", "blue by now")],
            ["Sky?", "grey", "blue by now"],
        ),
        (
            [user("Sky?"), said(None, call("c1")), user("Wait."), said("I wait."), result("c1", "grey at last")],
            ["Sky?", CANCELLED, "Wait.", "I wait.", "grey at last"],
        ),
        ([{"role": "function", "name": "sky", "content": "grey over Oslo"}], ["sky", "grey over Oslo"]),
    ],
    ids=["first", "after a compaction", "a second result", "too late", "of old"],
)
def test_a_result_that_belongs_to_no_call_is_the_users_text(model: str, messages: list[Json], words: list[str]) -> None:
    """Before, this was a 400: "the result of a tool call that no message before it makes"."""
    text = json.dumps(shown(sent(model, messages)))
    places = [text.find(word) for word in words]
    assert -1 not in places
    assert places == sorted(places)


@every_model
def test_a_picture_in_an_orphaned_result_stays(model: str) -> None:
    content = [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": PNG}}]
    parts = [part for one in sent(model, [result("c9", content)]) for part in one["parts"]]
    assert any("inlineData" in part for part in parts)


@every_model
@pytest.mark.parametrize("last", [said("{"), said("Roses are"), said([{"type": "text", "text": "Roses"}])])
def test_a_last_turn_of_the_models_is_gone_on_with_where_upstream_allows_it(model: str, last: Json) -> None:
    """Before, Claude 4.6 got it as it was: "This model does not support assistant message prefill"."""
    contents = sent(model, [user("Rhyme."), last])
    added = contents[2:]
    if "4-6" in model:
        assert [content["role"] for content in added] == ["user"]
    else:
        assert added == []


@every_model
def test_an_earlier_turn_is_repaired_in_the_same_way_in_every_later_request(model: str) -> None:
    history = [
        result("c0", "from before"),
        user("Sky?"),
        said(None, call("c1"), call(None, "sea")),
        user("Stop."),
        said(None, function_call={"name": "sky", "arguments": "{}"}),
        user("Stop again."),
        said("Good.", call("c1")),
        result("c1"),
        said("Grey."),
        user("And now?"),
    ]
    whole = sent(model, history)
    for end in (4, 6, 8, 10):
        part = sent(model, history[:end])
        assert whole[: len(part)] == part


@every_model
@pytest.mark.parametrize(("given", "gets"), [("[1]", [1]), ([1], [1]), (7, 7), ('{"cut', '{"cut')])
def test_arguments_that_are_no_object_go_in_whole(model: str, given: Any, gets: Any) -> None:
    """Before: those that were no text were left out."""
    contents = sent(model, [user("Sky?"), said(None, call("c1", arguments=given)), result("c1")])
    assert contents[1]["parts"][0]["functionCall"]["args"] == {"arguments": gets}


# Whatever comes

TEXTS = st.sampled_from(["", " ", "alpha", "beta", "gamma\n"])
ELEMENTS = st.sampled_from(
    [
        {"type": "text", "text": "delta"},
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "tool_reference", "tool_name": "zeta"},
        {"type": "unheard_of", "payload": ["eta"]},
        "theta",
    ]
)
CONTENTS: st.SearchStrategy[Any] = st.one_of(st.none(), TEXTS, st.lists(ELEMENTS, max_size=3))
IDS = st.sampled_from([None, "", "c1", "c2", "c3", "c.4", "c_4", "c5__thought__c2ln"])
CALLS = st.lists(
    st.builds(
        call, IDS, st.sampled_from(["sky", "sea", "a.b", ""]), st.sampled_from(["{}", '{"a": 1}', "[1]", "{cut"])
    ),
    max_size=3,
)
OLD_CALL = st.one_of(st.none(), st.just({"name": "sky", "arguments": "{}"}))
MESSAGES = st.one_of(
    st.builds(user, CONTENTS),
    st.builds(lambda text, calls, old: said(text, *calls, function_call=old), CONTENTS, CALLS, OLD_CALL),
    st.builds(lambda one, text, name: result(one, text, name=name), IDS, CONTENTS, st.sampled_from([None, "sky"])),
    st.builds(lambda text: {"role": "function", "name": "sky", "content": text}, CONTENTS),
    st.builds(system, TEXTS),
)


# System messages that come later


@every_model
@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_later_system_message_stays_in_its_place_and_says_whose_it_is(model: str, role: str) -> None:
    """Before, it moved in front of the conversation, and upstream's prompt cache found nothing of it."""
    later = {"role": role, "content": [{"type": "text", "text": "Rhyme."}]}
    begins = [{"role": role, "content": "Be brief."}, {"role": role, "content": "Be kind."}]
    messages = [*begins, user("Sky?"), said("Grey."), user("Sea?"), later, said("Wet."), user("Sun?")]
    body = to_gemini(model, messages, {}, thoughts=SignedThoughts())
    assert [part["text"] for part in body["systemInstruction"]["parts"]] == ["Be brief.", "Be kind."]
    texts = [[part["text"] for part in content["parts"]] for content in body["contents"]]
    assert texts == [["Sky?"], ["Grey."], ["Sea?", f"{NOTE}\n\nRhyme."], ["Wet."], ["Sun?"]]


@every_model
@pytest.mark.parametrize("nothing", ["", "  ", None, [], [{"type": "text", "text": ""}]])
def test_a_later_system_message_that_says_nothing_is_left_out(model: str, nothing: Any) -> None:
    contents = sent(model, [user("Sky?"), system(nothing), said("Grey."), user("Sea?")])
    assert [len(content["parts"]) for content in contents] == [1, 1, 1]


@every_model
@pytest.mark.parametrize("nothing", [{"role": "system"}, {"role": "developer"}, system(None), system([])])
def test_a_first_system_message_without_content_is_none(model: str, nothing: Json) -> None:
    """Before: "'content'", as an error of the connection."""
    assert shown(sent(model, [nothing, user("Sky?")])) == ["Sky?"]


TURNS = st.lists(
    st.one_of(
        st.just([said("Grey."), user("Go on.")]),
        st.just([said("Grey."), system("Be brief.")]),
        st.just([said("Grey."), user("Go on."), system("Be kind.")]),
        st.just([said(None, call("c1")), result("c1"), system("Be quick.")]),
        st.just([said(None, call("c1")), system("Be slow."), result("c1"), user("Go on.")]),
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(TURNS, st.sampled_from(MODELS))
def test_what_has_been_sent_is_the_beginning_of_what_is_sent_next(turns: list[list[Json]], model: str) -> None:
    """Before, a system message of a later turn changed the beginning."""
    messages, before = [system("You are an agent."), user("Sky?")], None
    for turn in [[], *turns]:
        messages = [*messages, *turn]
        body = to_gemini(model, messages, {"tools": TOOLS}, thoughts=SignedThoughts())
        front = [body["systemInstruction"], body["tools"]]
        assert before is None or (before[0] == front and body["contents"][: len(before[1])] == before[1])
        before = (front, body["contents"])


WORDS = ("alpha", "beta", "gamma", "delta", "zeta", "eta", "theta")


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, max_size=9), st.sampled_from(MODELS), st.booleans(), st.booleans())
def test_upstream_takes_any_history_and_nothing_said_is_lost(
    messages: list[Json], model: str, thinks: bool, forced: bool
) -> None:
    params: Json = {"thinking": {"type": "enabled", "budget_tokens": 2000}} if thinks else {}
    contents = sent(model, messages, **params | ({"tool_choice": "required"} if forced else {}))
    kept = json.dumps(contents)
    begun = [one["role"] != "system" for one in messages]
    given_words = json.dumps([one.get("content") for number, one in enumerate(messages) if any(begun[: number + 1])])
    for word in WORDS:
        # Of results that are the same twice, one is kept.
        assert (word in given_words) == (word in kept)


VALID_TURNS = st.lists(
    st.one_of(
        st.just(("say",)),
        st.lists(st.sampled_from(["sky", "sea"]), min_size=1, max_size=3).map(lambda names: ("call", *names)),
    ),
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(VALID_TURNS)
def test_a_history_that_is_in_order_is_not_changed(turns: list[tuple[str, ...]]) -> None:
    messages = [user("Begin.")]
    for number, (kind, *names) in enumerate(turns):
        if kind == "say":
            messages += [said(f"Words {number}."), user("Go on.")]
            continue
        calls = [call(f"id-{number}-{index}", name, f'{{"n": {index}}}') for index, name in enumerate(names)]
        messages.append(said("I look." if number % 2 else None, *calls))
        messages += [result(one["id"], name=one["function"]["name"]) for one in calls]
    assert repair_history(copy.deepcopy(messages)) == messages
