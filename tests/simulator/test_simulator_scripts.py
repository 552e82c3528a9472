"""Scripts for the simulator: how they are checked, what they make the model say, and what they have happen."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from simulator_client import CLAUDE, FIRST, GEMINI, SECOND, Client, Json, client, details_of, events, simulator
from support import ROOT, FakeClock

from litellm_antigravity.cli import cli
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.simulator.scripts.reading import ScriptError, load_script, ready_scripts, script_of
from litellm_antigravity.simulator.signatures import signature_for

__all__ = ["client", "simulator"]  # fixtures

pytestmark = pytest.mark.once


def tools(*names: str) -> list[Json]:
    schema = {"type": "object", "properties": {}}
    return [{"functionDeclarations": [{"name": name, "parameters": schema} for name in names]}]


def turn(role: str, *parts: Json) -> Json:
    return {"role": role, "parts": list(parts)}


def asked(
    client: Client, history: Sequence[Json] = (), email: str = FIRST, model: str = CLAUDE, **more: Any
) -> httpx.Response:
    contents = list(history) or [turn("user", {"text": "Hello"})]
    config = {"maxOutputTokens": 20_000, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000}}
    request = {"contents": contents, "generationConfig": config, **more}
    return client.ask(email, model, body=client.envelope(email, model, **request))


def said(answer: httpx.Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    parts: list[Json] = answer.json()["response"]["candidates"][0]["content"]["parts"]
    return parts


def text(answer: httpx.Response) -> str:
    return "".join(part["text"] for part in said(answer) if not part.get("thought"))


def answered(parts: Sequence[Json]) -> list[Json]:
    """Return the turns that go on from a reply: what the model said, and what its tools returned."""
    results: list[Json] = [
        {
            "functionResponse": {
                **{name: part["functionCall"][name] for name in ("id", "name") if name in part["functionCall"]},
                "response": {"output": "done"},
            }
        }
        for part in parts
        if "functionCall" in part
    ]
    return [turn("model", *parts), turn("user", *(results or [{"text": "Go on"}]))]


def play(simulator: Simulator, script: str) -> list[str]:
    """Play a script; return where its notes go."""
    notes: list[str] = []
    simulator.play(script_of(f"version: 1\n{script}", "test.yaml"), on_note=notes.append)
    return notes


# What the model says

CONVERSATION = """
conversations:
  - when: {tools: false}
    replies: [{text: A title}]
  - replies:
      - thinking: First I look.
        text: I look around.
        calls: [{any_of: [{tool: bash, arguments: {command: ls}}, {tool: Bash, arguments: {command: ls -a}}]}]
      - calls: [{tool: Bash, arguments: {command: a}}, {tool: Bash, arguments: {command: b}}]
      - text: "Served by {account} with {model}."
"""


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_a_conversation_goes_on_by_what_its_history_has(simulator: Simulator, client: Client, model: str) -> None:
    play(simulator, CONVERSATION)
    history = [turn("user", {"text": "Work"})]
    replies = []
    for _ in range(4):
        parts = said(asked(client, history, model=model, tools=tools("Bash")))
        replies.append([{name: one for name, one in part.items() if name != "thoughtSignature"} for part in parts])
        history += answered(parts)
    names = [[part["functionCall"]["name"] for part in parts if "functionCall" in part] for parts in replies]
    assert names == [["Bash"], ["Bash", "Bash"], [], ["Bash"]]  # after the last one from the beginning
    assert replies[0][:2] == [{"text": "First I look.", "thought": True}, {"text": "I look around."}]
    assert replies[0][2]["functionCall"]["args"] == {"command": "ls -a"}
    assert replies[2] == [{"text": f"Served by {FIRST} with {model}."}]


def test_thoughts_are_signed_and_claudes_calls_are_numbered(simulator: Simulator, client: Client) -> None:
    play(simulator, CONVERSATION)
    parts = said(asked(client, tools=tools("bash")))
    assert parts[0]["thoughtSignature"] == signature_for(CLAUDE, "First I look.")
    ids = {said(asked(client, tools=tools("bash")))[2]["functionCall"]["id"] for _ in range(3)}
    assert len(ids) == 3
    assert "id" not in said(asked(client, model=GEMINI, tools=tools("bash")))[2]["functionCall"]


def test_a_model_does_not_think_aloud_unless_it_is_asked_to(simulator: Simulator, client: Client) -> None:
    play(simulator, CONVERSATION)
    parts = said(asked(client, tools=tools("Bash"), generationConfig={}))
    assert [set(part) for part in parts] == [{"text"}, {"functionCall"}]


def test_parallel_agents_and_repeated_requests_each_get_the_reply_that_is_theirs(
    simulator: Simulator, client: Client
) -> None:
    play(simulator, CONVERSATION)
    first = said(asked(client, tools=tools("Bash")))
    history = [turn("user", {"text": "Hello"}), *answered(first)]
    for _ in range(2):
        assert len(said(asked(client, history, tools=tools("Bash")))) == 2
        assert text(asked(client, email=SECOND)) == "A title"
        assert len(said(asked(client, email=SECOND, tools=tools("Bash")))) == 3


def test_a_call_of_a_tool_that_is_not_offered_says_so(simulator: Simulator, client: Client) -> None:
    play(simulator, CONVERSATION)
    parts = said(asked(client, tools=tools("shell")))
    assert parts[-1] == {"text": "(The script calls bash or Bash, which this request does not offer.)"}


def test_a_conversation_is_for_the_requests_that_it_names(simulator: Simulator, client: Client) -> None:
    conversations = [
        "{when: {says: weather}, replies: [{text: by words}]}",
        f"{{when: {{model: {CLAUDE}, tools: true}}, replies: [{{text: by model}}]}}",
        "{when: {family: gemini}, replies: [{text: by family}]}",
    ]
    play(simulator, f"conversations: [{', '.join(conversations)}]")
    ask = [turn("user", {"text": "How is the Weather?"})]
    assert text(asked(client, ask)) == "by words"
    assert text(asked(client, [*ask, turn("model", {"text": "Fine"}), turn("user", {"text": "Thanks"})])) != "by words"
    assert text(asked(client, tools=tools("x"))) == "by model"
    assert text(asked(client, model=GEMINI)) == "by family"
    assert text(asked(client)) == f"Served by {FIRST} with {CLAUDE}."  # the simulator's own


def test_a_reply_has_a_finish_reason_and_a_pace_of_its_own(simulator: Simulator, client: Client) -> None:
    play(simulator, "conversations: [{replies: [{text: Cut, finish_reason: MAX_TOKENS, pace: {per_chunk: 0.01}}]}]")
    answer = asked(client).json()["response"]["candidates"][0]
    assert answer["finishReason"] == "MAX_TOKENS"
    assert len(events(client.ask(path="/v1internal:streamGenerateContent?alt=sse").text)) == 3


# What happens


def kinds(simulator: Simulator) -> list[str]:
    return [entry.kind for entry in simulator.log if entry.kind not in ("token", "project")]


def test_an_event_happens_before_the_request_of_its_number(simulator: Simulator, client: Client) -> None:
    notes = play(
        simulator,
        """
events:
  - at_request: 2
    do: [{note: A limit}, {refuse: {kind: quota, account: serving, options: {reset_seconds: 30}}}]
  - at_request: 3
    do: [{drain: {account: 2, family: claude, seconds: 60}}]
""",
    )
    assert [asked(client).status_code, asked(client).status_code, asked(client).status_code] == [200, 429, 200]
    assert notes == ["A limit"]
    assert details_of(asked(client, email=SECOND))["RetryInfo"]["retryDelay"] == "60s"
    assert asked(client, email=SECOND, model=GEMINI).status_code == 200
    assert kinds(simulator) == ["served", "quota", "served", "quota", "served"]


def test_an_event_happens_once_its_time_has_come(simulator: Simulator, client: Client, clock: FakeClock) -> None:
    play(simulator, "events: [{at_seconds: 60, do: [{refuse: {kind: banned}}]}]")
    assert asked(client).status_code == 200
    clock.advance(61)
    assert [asked(client).status_code, asked(client).status_code] == [403, 200]


def test_what_a_reply_has_happen_happens_when_it_is_first_asked_for(simulator: Simulator, client: Client) -> None:
    play(
        simulator,
        """
conversations:
  - replies:
      - do: [{refuse: {kind: verification, account: serving}}]
        text: Verified now
""",
    )
    assert [asked(client).status_code, asked(client).status_code, asked(client).status_code] == [403, 200, 200]


def test_every_other_action_does_what_it_says(simulator: Simulator, client: Client) -> None:
    play(
        simulator,
        f"""
events:
  - at_request: 1
    do: [{{quota: {{requests: 1, window_seconds: 600}}}}]
  - at_request: 3
    do: [{{quota: {{account: {FIRST}, family: claude, requests: null}}}}, {{revoke: 2}}]
  - at_request: 4
    do: [{{heal: true}}, {{pace: {{seconds: 0.01, per_chunk: 0.01, refused: 0.01, token: 0.01}}}}]
""",
    )
    assert [asked(client).status_code for _ in range(3)] == [200, 429, 200]
    assert client.refresh(SECOND).json()["error"] == "invalid_grant"
    assert asked(client).status_code == 200
    assert client.refresh(SECOND).status_code == 200


def test_a_script_that_names_an_account_that_there_is_not_is_refused(simulator: Simulator) -> None:
    for name in ("5", "nobody@example.com"):
        with pytest.raises(ValueError, match="there are 4: user1@example"):
            play(simulator, f"events: [{{at_request: 1, do: [{{revoke: {name}}}]}}]")


def test_scripted_replies_take_the_place_of_a_script_and_the_other_way_round(
    simulator: Simulator, client: Client
) -> None:
    play(simulator, "conversations: [{replies: [{text: Scripted}]}]")
    assert text(asked(client)) == "Scripted"
    simulator.reply_with("Said")
    assert text(asked(client)) == "Said"
    assert simulator.director is None
    simulator.play(None)
    assert text(asked(client)).startswith("Served by")


# Files


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("", "test.yaml: has to be an object."),
        ("events: []", "test.yaml, line 1: version: is missing."),
        ("version: 2", "test.yaml, line 1: version: has to be 1."),
        (
            "version: 1\n\nconversatons: []",
            "test.yaml, line 3: conversatons: is not known; did you mean conversations?",
        ),
        ("version: 1\nversion: 1", "test.yaml, line 2: version is there twice."),
        ("version: 1\nevents: [", "test.yaml, line 2, column 10: neither YAML nor JSON: "),
        ("version: 1\naccounts: 1.5", "test.yaml, line 2: accounts: has to be an integer."),
        ("version: 1\nevents: 3", "test.yaml, line 2: events: has to be a list."),
        (
            "version: 1\nevents:\n- at_request: 1\n  do:\n  - refuse:\n      kind: bannd",
            "test.yaml, line 6: events[0].do[0].refuse.kind: cannot be 'bannd'; did you mean banned?",
        ),
        (
            "version: 1\nevents:\n- at_request: 1\n  do:\n  - refuse: {kind: quota, options: {reset: 1}}",
            "test.yaml, line 5: events[0].do[0].refuse: kind 'quota' has no option 'reset'; it has headers, reset_sec",
        ),
        (
            "version: 1\nevents:\n- do: [{heal: true}]",
            "test.yaml, line 3: events[0]: has to be exactly one of at_request, at_seconds; it is none of them.",
        ),
        (
            "version: 1\nevents:\n- at_request: 1\n  do: [{heal: true, note: x}]",
            "test.yaml, line 4: events[0].do[0]: has to be exactly one of refuse, drain, quota, pace, revoke, heal, no",
        ),
        (
            "version: 1\nconversations:\n- replies:\n  - text: 3",
            "test.yaml, line 4: conversations[0].replies[0].text: has to be a string.",
        ),
        (
            "version: 1\nconversations:\n- replies:\n  - calls: [{tol: x}]",
            "test.yaml, line 4: conversations[0].replies[0].calls[0].tol: is not known; did you mean tool?",
        ),
        ('{"version": 1,\n\t"events": [{}]}', "test.yaml, line 2: events[0].do: is missing."),
    ],
)
def test_what_is_wrong_with_a_script_is_said_with_its_line_and_field(written: str, wanted: str) -> None:
    with pytest.raises(ScriptError) as raised:
        script_of(written, "test.yaml")
    assert str(raised.value).splitlines()[0].startswith(wanted)


def test_every_problem_has_a_line_of_its_own() -> None:
    with pytest.raises(ScriptError) as raised:
        script_of("version: 1\naccounts: 0\nabot: x\nevents: [{at_request: 0, do: [{heal: false}]}]", "s")
    assert [line.partition(":")[0] for line in str(raised.value).splitlines()] == [
        "s, line 2",
        "s, line 4",
        "s, line 4",
        "s, line 3",
    ]


@pytest.mark.parametrize(
    "written",
    [
        b"version: 1\nabout: \xff",
        "a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
        "&a [*a]",
        "[" * 5000,
        "x" * (1 << 21),
        "!!python/object/apply:os.system [echo]",
    ],
    ids=["not UTF-8", "aliases", "an alias of itself", "deep", "long", "a tag"],
)
def test_a_text_that_is_no_script_is_refused_in_one_line(written: Any) -> None:
    with pytest.raises(ScriptError) as raised:
        script_of(written, "test.yaml")
    assert len(str(raised.value)) < 300


def test_json_is_read_as_json() -> None:
    document = {"version": 1, "about": "\ud83d\ude00 tab\t", "conversations": [{"replies": [{"text": "1e3"}]}]}
    assert script_of(json.dumps(document, indent="\t"), "test.json").about == "\U0001f600 tab\t"


def test_a_script_comes_from_a_file_or_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("version: 1\nabout: Mine", "utf-8")
    assert load_script(str(path)).about == "Mine"
    assert load_script("agent-session").accounts == 3
    with pytest.raises(ScriptError, match="Did you mean day-of-limits"):
        load_script("day-of-limit")
    with pytest.raises(ScriptError, match="cannot be read: No such file"):
        load_script(str(tmp_path / "none.yaml"))


def test_the_script_in_the_documentation_is_one() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text("utf-8")
    [script] = re.findall(r"```yaml\n(version: 1\n.*?)```", page, re.DOTALL)
    assert script_of(script, "docs/simulator.md").accounts == 2


# The ready scripts


def test_the_ready_scripts_are_listed() -> None:
    result = CliRunner().invoke(cli, ["simulate", "--list-scripts"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == list(ready_scripts())
    assert all(script.about for script in ready_scripts().values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--script", "agent-sesion"], "Did you mean agent-session"),
        (["--script", "day-of-limits", "--accounts", "2"], "there is no account 3; there are 2"),
    ],
)
def test_a_script_that_cannot_be_played_is_an_error_of_the_command(options: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["simulate", "--port", "0", *options])
    assert result.exit_code == 1
    assert words in " ".join(result.output.split())


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
@pytest.mark.parametrize("tool", ["bash", "Bash", "exec_command", "shell_command", "shell"])
def test_the_agents_session_is_one_for_each_agents_tools(
    simulator: Simulator, client: Client, tool: str, model: str
) -> None:
    script = ready_scripts()["agent-session"]
    simulator.play(script)
    history = [turn("user", {"text": "Do it"})]
    calls = []
    for _ in range(4):
        answer = asked(client, history, model=model, tools=tools(tool))
        if answer.status_code == 429:
            answer = asked(client, history, SECOND, model, tools=tools(tool))
        parts = said(answer)
        calls.append([part["functionCall"]["name"] for part in parts if "functionCall" in part])
        history += answered(parts)
    assert calls == [[tool], [tool], [tool, tool], []]
    assert len(simulator.requests(status=429)) == 1


def test_the_day_of_limits_has_all_that_it_promises(simulator: Simulator, client: Client) -> None:
    notes: list[str] = []
    simulator.play(ready_scripts()["day-of-limits"], on_note=notes.append)
    simulator.set_latency(0)
    order: Mapping[str, None] = {}
    for email in itertools.chain([FIRST] * 5, [SECOND] * 15):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("asyncio.sleep", _at_once)
            _streamed(client, email)
        order = {**order, **dict.fromkeys(kinds(simulator))}
    assert list(order) == ["served", "rate", "quota", "capacity", "truncated-stream", "verification", "banned"]
    assert len(notes) == 9


async def _at_once(_: float) -> None:
    """In place of asyncio's sleep: what is slow in the script need not be in its test."""


def _streamed(client: Client, email: str) -> None:
    with contextlib.suppress(httpx.HTTPError):  # a stream that breaks off
        client.ask(email, path="/v1internal:streamGenerateContent?alt=sse")
