"""`antigravity/<model>` against LiteLLM's own `gemini/<model>`: the same request upstream, the same answer.

Every request of `CASES` goes whole and streamed through both providers to one simulator. What arrives there and what
comes back is compared after these differences, and no others:

1. Spelling: ours is camelCase throughout; LiteLLM mixes it with snake_case.
2. Schemas of tools: ours pass `prepare_schema` first (see `test_schemas.py`); where LiteLLM makes something else
   of one, the case says what is expected.
3. A conversation that begins with the assistant gets a blank user turn first.
4. Names of tools that upstream rejects are written in its alphabet, and come back as the caller's.
5. Empty arguments of a call in the history stay empty; LiteLLM writes ``{"type": "object"}``.
6. A stream's deltas carry ``thinking_blocks`` with signatures, and a thought begins with an empty delta; LiteLLM's
   Gemini streams have only the text.
7. A call that nobody answered is answered, and calls of old (``function_call``) get an id, and their results the same.
8. Hints that change no answer (``prompt_cache_key``, ``store``, ``verbosity``, ...) are taken and go nowhere, since
   agents send them with every request; LiteLLM refuses them.
9. Made-up ids (``call_<random>``) and creation times are random, the model is the name that was asked for, and LiteLLM
   adds a price.

For Claude and GPT-OSS models see `test_parity_claude.py`: the same table against stated expectations.

LiteLLM's own tests of its Gemini provider were the model for what is here: in its repository
``tests/test_litellm/llms/vertex_ai/gemini``, ``tests/test_litellm/llms/gemini`` and
``tests/llm_translation/test_gemini.py``. Of what they show, covered:

- parameters and what is dropped or refused; ``reasoning_effort`` at every level and as an object; thinking by level and
  budget, none and adaptive (``test_gemini_thinking_param``); seeds, penalties, several answers, log probabilities;
- response formats: JSON, schemas with references and lists, pydantic models, beside tools;
- tools in every form: functions, search, maps with a place, URLs, code, computer use, search beside functions, Gemini's
  own declarations, sixty of them; server-side calls (``test_context_circulation``); choices in all forms;
- messages: system anywhere, empty, blank and absent contents, merged turns, very long ones, names, objects;
- images, PDF, audio and video by data URL, kinds, detail and media resolution, video metadata, images of the
  assistant's and in results (``test_image_in_tool_result``), files of the Files API by URI;
- histories with tools: parallel and repeated calls, results in another order, without calls after text
  (``test_tool_call_followed_by_text_assistant``), empty and deep arguments
  (``test_function_call_args_serialization``);
- thought signatures in ids, fields, texts, and once only (``test_thought_signature_in_tool_call_id``);
- replies: calls with and without ids, text before and after thoughts and calls, images, code and its output
  (``test_code_execution``), grounding with annotations, citations, ratings, log probabilities, every finish reason,
  finish reasons after calls in streams, tokens cached, of reasoning and by kind (``test_gemini_token_usage``).

Deliberately not here:

- context caching with its TTLs: Cloud Code has no such endpoint; ``cache_control`` is ignored, see
  `test_cache_markers_are_ignored`;
- service tiers, labels from metadata, Vertex paths, regions and credentials, ``gs://`` files, fine-tuned models;
- images and files fetched from URLs: ours are fetched by other rules (``test_remote_media.py``);
- ``streamFunctionCallArguments``, which LiteLLM's request does not turn on; blocked prompts
  (``test_streaming.py``); candidates without content and broken streams, which are a failure of upstream's here
  (``test_wire.py``); calls without a result, which upstream refuses (``test_upstream_rules.py``);
- errors and their mapping (``test_litellm_errors.py``), time-outs (``test_bad_input.py``), costs
  (``test_models.py``), counting tokens;
- embeddings, image generation and editing, speech, transcription, video and realtime, which are not offered.
"""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from parity import ask, comparable, simulator, spelled, with_made_up_ids, with_roles
from parity_cases import CASES
from parity_requests import NEW, OLD, WEATHER, Case, says, text, tool, user

from litellm_antigravity.simulator import Simulator

__all__ = ["simulator"]  # fixtures


@pytest.mark.parametrize("stream", [pytest.param(False, id="whole"), pytest.param(True, id="streamed")])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_same_request_arrives_and_the_same_answer_comes_back(
    simulator: Simulator, case: Case, *, stream: bool
) -> None:
    theirs = ask(simulator, case, stream=stream, provider="gemini")
    ours = ask(simulator, case, stream=stream, provider="antigravity")
    expected = with_roles(spelled(theirs.body))
    if case.change is not None:
        case.change(expected)
    assert with_made_up_ids(ours.body) == expected
    assert comparable(ours.answer) == comparable(theirs.answer)


def test_the_table_is_large_enough() -> None:
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


def _refused(simulator: Simulator, params: dict[str, Any], provider: str) -> bool:
    try:
        ask(simulator, Case("refused", params), stream=False, provider=provider)
    except litellm.UnsupportedParamsError:
        return True
    return False


UNSUPPORTED: list[dict[str, Any]] = [
    {"logit_bias": {"1": 1}},
    {"top_logprobs": 3},
    {"audio": {"voice": "Kore", "format": "pcm16"}},
]


@pytest.mark.parametrize("params", [pytest.param(one, id=next(iter(one))) for one in UNSUPPORTED])
def test_a_parameter_that_gemini_lacks_is_refused_unless_dropped(simulator: Simulator, params: dict[str, Any]) -> None:
    # Older LiteLLM does not know all of them, and lets its own provider ignore those.
    assert _refused(simulator, params, "antigravity") == _refused(simulator, params, "gemini")
    assert "logit_bias" not in params or _refused(simulator, params, "antigravity")
    dropped = Case("dropped", {**params, "drop_params": True})
    ours = ask(simulator, dropped, stream=False, provider="antigravity")
    assert ours.body == ask(simulator, Case("plain"), stream=False, provider="antigravity").body


@pytest.mark.parametrize("effort", ["xhigh", "max", "utmost"])
def test_an_effort_that_gemini_lacks_is_refused_in_the_same_way(simulator: Simulator, effort: str) -> None:
    raised = []
    for provider in ("gemini", "antigravity"):
        with pytest.raises(Exception, match="effort") as error:
            ask(simulator, Case("x", {"reasoning_effort": effort}), stream=False, provider=provider)
        raised.append(error.type)
    theirs, ours = raised
    assert issubclass(ours, litellm.BadRequestError)
    assert theirs in {ours, litellm.APIConnectionError}  # older LiteLLM fails on it, and says 500


@pytest.mark.parametrize("choice", ["auto", "none", {"name": "weather"}], ids=["auto", "none", "one"])
def test_function_call_means_what_tool_choice_does(simulator: Simulator, choice: Any) -> None:
    functions = {"functions": [WEATHER["function"]]}
    now = choice if isinstance(choice, str) else {"type": "function", "function": choice}
    bodies = [
        ask(simulator, Case("x", functions | one), stream=False, provider="antigravity").body
        for one in ({"function_call": choice}, {"tool_choice": now})
    ]
    assert bodies[0] == bodies[1]
    assert bodies[0]["toolConfig"]["functionCallingConfig"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_callers_headers_go_along_but_for_ours(simulator: Simulator, *, stream: bool) -> None:
    theirs = {"X-Extra": "1", "x-trace": 7, "x-none": None}
    ours = {"Authorization": "Bearer other", "User-Agent": "other", "X-Goog-User-Project": "other", "Host": "other"}
    ask(simulator, Case("x", {"extra_headers": theirs | ours}), stream=stream, provider="antigravity")
    (request,) = simulator.requests(kind="served")  # so the token was not the caller's
    assert request.headers["x-extra"] == "1"
    assert request.headers["x-trace"] == "7"
    assert "other" not in request.headers.values()


@pytest.mark.parametrize("headers", [{"x-extra": "a\r\nx-other: b"}, {"x extra": "1"}, {"x-extra": "å"}])
def test_a_header_that_cannot_be_sent_is_the_callers_mistake(simulator: Simulator, headers: dict[str, str]) -> None:
    with pytest.raises(litellm.BadRequestError, match="header"):
        ask(simulator, Case("x", {"extra_headers": headers}), stream=False, provider="antigravity")
    assert simulator.log == []


def test_cache_markers_are_ignored(simulator: Simulator) -> None:
    marked = says(user([{**text("Long ago."), "cache_control": {"type": "ephemeral"}}]))
    plain = says(user([text("Long ago.")]))
    bodies = [ask(simulator, Case("x", one), stream=False, provider="antigravity").body for one in (marked, plain)]
    assert bodies[0] == bodies[1]


HINTS: dict[str, Any] = {
    "prompt_cache_key": "conversation-1",
    "prompt_cache_retention": "24h",
    "store": False,
    "safety_identifier": "user-1",
    "verbosity": "low",
    "service_tier": "auto",
    "prediction": {"type": "content", "content": "x"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "user": "somebody",
}


@pytest.mark.parametrize("model", [NEW, OLD, "claude-sonnet-4-6", "gpt-oss-120b-medium"])
@pytest.mark.parametrize("name", HINTS)
def test_a_hint_that_changes_no_answer_is_taken_and_goes_nowhere(simulator: Simulator, name: str, model: str) -> None:
    """Before, all but two were a 400 (``UnsupportedParamsError``) unless ``drop_params`` was set."""
    bodies = [
        ask(simulator, Case("x", params, model=model), stream=False, provider="antigravity").body
        for params in ({}, {name: HINTS[name]}, HINTS)
    ]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize("model", [NEW, OLD, "claude-sonnet-4-6"])
def test_what_litellm_is_told_of_the_parameters_is_what_is_taken(model: str) -> None:
    """Before, LiteLLM named those of OpenAI itself: without ``thinking``, and with ``logit_bias``."""
    for asked in ((model, "antigravity"), (f"antigravity/{model}", None)):
        taken = litellm.get_supported_openai_params(*asked)
        assert taken is not None
        assert {"reasoning_effort", "thinking", "tools", "max_tokens", *HINTS} <= set(taken)
        assert not {"logit_bias", "audio", "top_logprobs"} & set(taken)
    others = litellm.get_supported_openai_params("some-model", "openai")
    assert others is not None
    assert "logit_bias" in others


def test_a_renamed_tool_comes_back_under_the_callers_name(simulator: Simulator) -> None:
    reply = [{"functionCall": {"name": "weather_in_town", "args": {}}}]
    case = Case("x", {"tools": [tool("weather in town")]}, reply)
    for stream in (False, True):
        answer = ask(simulator, case, stream=stream, provider="antigravity").answer
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather in town"
