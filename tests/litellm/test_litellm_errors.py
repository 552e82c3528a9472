"""What callers of LiteLLM see when something goes wrong, through every door."""

from __future__ import annotations

import asyncio
import itertools
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest
from litellm_doors import ask, every_door, fail
from serving import MESSAGES, MODEL, settings_of

import litellm_antigravity
from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.litellm.errors import as_litellm
from litellm_antigravity.litellm.translation import to_gemini
from litellm_antigravity.models import BUILT_IN_MODELS
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.simulator import ModelReply, Simulator

NAME = MODEL.removeprefix("antigravity/")


@pytest.fixture
def simulator(antigravity_simulator: Simulator, tmp_path: Path) -> Simulator:
    settings = settings_of(
        antigravity_simulator, tmp_path, account_selection_strategy="sticky", max_rate_limit_wait_seconds=0
    )
    litellm_antigravity.register(settings)
    return antigravity_simulator


def check(error: Any, kind: type[Exception], status: int, *words: str, model: str = NAME) -> None:
    """Check an exception and what every one of them carries."""
    assert error.__class__.__name__ == kind.__name__
    assert error.status_code == error.response.status_code == status
    assert error.llm_provider == "antigravity"
    assert error.model == model
    assert isinstance(error.response, httpx.Response)
    assert isinstance(error.headers, Mapping)
    assert dict(error.headers) == dict(error.response.headers)
    for word in words:
        assert word in str(error)


# What cannot be translated

MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "an image that is none": ({"type": "image_url", "image_url": {"url": "notes.png"}}, "notes.png"),
    "a file without data": ({"type": "file", "file": {"filename": "a.pdf"}}, "file_data"),
}


@every_door
@pytest.mark.parametrize("name", ["claude-sonnet-4-6", "gemini-3-flash"])
@pytest.mark.parametrize(("element", "word"), MALFORMED.values(), ids=MALFORMED)
def test_what_litellm_cannot_translate_is_the_callers_mistake(
    element: dict[str, Any], word: str, name: str, door: Any, simulator: Simulator
) -> None:
    """Before: `APIConnectionError`, a 500 that clients repeat, with a stack in its message."""
    error = fail(door, model=f"antigravity/{name}", messages=[{"role": "user", "content": [element]}])
    check(error, litellm.BadRequestError, 400, "cannot be translated", word, model=name)
    assert "Traceback" not in str(error)
    assert not simulator.requests()


def test_a_parameter_that_litellm_cannot_translate_is_the_callers_mistake(simulator: Simulator) -> None:
    """Before: the same."""
    error = fail(ask, response_format={"type": "json_schema", "json_schema": None})
    check(error, litellm.BadRequestError, 400, "cannot be translated")
    assert not simulator.requests()


def test_of_what_cannot_be_translated_no_more_is_told_than_anybody_reads() -> None:
    """Before: the whole image, if that is what LiteLLM quotes."""
    image = {"type": "image_url", "image_url": {"url": "x" * 100_000}}
    with pytest.raises(litellm.BadRequestError) as caught:
        to_gemini(NAME, [{"role": "user", "content": [image]}], {})
    assert len(str(caught.value)) < 1000


# Upstream's refusals

TOO_LONG = [
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Request payload size exceeds the limit: 20971520 bytes.",
    "prompt is too long: 215001 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 64000 > 200000",
    "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens.",
]
FILTERED = ["The response was blocked.", "Output blocked by content filtering policy"]
BAD = [
    "Request contains an invalid argument.",
    "Invalid value at 'request.tools[0].function_declarations[0].name' (TYPE_STRING), too long",
    "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens",
    "thinking.budget_tokens: Input should be greater than or equal to 1024",
]


@every_door
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        *((message, litellm.ContextWindowExceededError) for message in TOO_LONG),
        *((message, litellm.ContentPolicyViolationError) for message in FILTERED),
        *((message, litellm.BadRequestError) for message in BAD),
    ],
)
def test_a_bad_request_is_told_apart_by_upstreams_own_words(
    message: str, kind: Any, door: Any, simulator: Simulator
) -> None:
    simulator.refuse("bad-request", message=message)
    check(fail(door), kind, 400, message, simulator.accounts[0].label)
    assert len(simulator.requests(status=400)) == 1  # no other account is asked


@every_door
@pytest.mark.parametrize(
    ("fault", "options", "kind", "status", "said"),
    [
        ("quota", {}, litellm.RateLimitError, 429, "Every account (4) is limited"),
        ("rate", {}, litellm.RateLimitError, 429, "Every account (4) is limited"),
        ("refused-request", {}, litellm.RateLimitError, 429, "check quota"),
        ("banned", {}, litellm.PermissionDeniedError, 403, "`litellm-antigravity status`"),
        ("server-error", {}, litellm.InternalServerError, 500, "Internal error encountered."),
        ("not-available", {"status": 403}, litellm.NotFoundError, 404, "does not have permission"),
    ],
)
def test_what_upstream_refuses_is_what_litellms_users_know(
    fault: Any, options: dict[str, Any], kind: Any, status: int, said: str, door: Any, simulator: Simulator
) -> None:
    simulator.refuse(fault, times=None, **options)
    error = fail(door)
    check(getattr(error, "original_exception", error), kind, status, said)


@every_door
def test_a_rate_limit_says_when_to_come_back(door: Any, simulator: Simulator) -> None:
    simulator.refuse("quota", times=None, reset_seconds=600)
    error = fail(door)
    assert 590 <= int(error.headers["retry-after"]) <= 600


@every_door
def test_a_time_out_is_one(door: Any, simulator: Simulator) -> None:
    simulator.refuse("hang", times=None)
    check(fail(door, timeout=0.3), litellm.Timeout, 408, "timed out")


@every_door
def test_a_model_that_no_account_has_is_not_found_and_the_known_ones_are_named(door: Any, simulator: Simulator) -> None:
    name = "claude-sonet-4-6"
    error = fail(door, model=f"antigravity/{name}")
    check(error, litellm.NotFoundError, 404, "Did you mean claude-sonnet-4-6?", *BUILT_IN_MODELS, model=name)
    assert len(simulator.requests(status=404)) == len(simulator.accounts)
    again = fail(door, model=f"antigravity/{name}")  # nobody is asked a second time
    check(again, litellm.NotFoundError, 404, "Did you mean claude-sonnet-4-6?", *BUILT_IN_MODELS, model=name)
    assert len(simulator.requests(status=404)) == len(simulator.accounts)


def test_a_known_model_that_no_account_has_is_not_suggested(simulator: Simulator) -> None:
    simulator.refuse("not-available", times=None)
    assert "Did you mean" not in str(fail(ask))


# Content filters: as LiteLLM's own Gemini provider, a reply without content that says why, not an exception

FLAGGED = ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"]


@every_door
@pytest.mark.parametrize("reason", FLAGGED)
def test_a_filtered_answer_ends_with_content_filter(reason: str, door: Any, simulator: Simulator) -> None:
    simulator.reply_with(ModelReply([], finish_reason=reason))
    reply = door()
    if isinstance(reply, list):
        reply = litellm.stream_chunk_builder(reply, messages=MESSAGES)
    assert reply.choices[0].finish_reason == "content_filter"
    assert not reply.choices[0].message.content


def test_the_router_makes_an_error_of_a_filtered_answer_when_it_has_somewhere_else_to_go(simulator: Simulator) -> None:
    simulator.reply_with(
        lambda served: ModelReply([], "SAFETY") if served.model == NAME else ModelReply([{"text": "y"}])
    )
    router = litellm.Router(
        model_list=[
            {"model_name": "first", "litellm_params": {"model": MODEL}},
            {"model_name": "second", "litellm_params": {"model": "antigravity/gemini-3-flash"}},
        ],
        content_policy_fallbacks=[{"first": ["second"]}],
    )
    assert router.completion("first", MESSAGES).choices[0].message.content == "y"


# What is not offered


def _both(sync: Any, asynchronous: Any, **params: Any) -> list[Any]:
    def run(**more: Any) -> Any:
        return asyncio.run(asynchronous(**more))

    return [pytest.param(sync, params, id=sync.__name__), pytest.param(run, params, id=asynchronous.__name__)]


@pytest.mark.parametrize(
    ("call", "params"),
    [
        *_both(litellm.embedding, litellm.aembedding, input=["a"]),
        *_both(litellm.image_generation, litellm.aimage_generation, prompt="a"),
        *_both(litellm.image_edit, litellm.aimage_edit, prompt="a", image=b"a"),
    ],
)
@pytest.mark.usefixtures("simulator")
def test_what_is_not_offered_is_refused_clearly(call: Any, params: dict[str, Any], simulator: Simulator) -> None:
    error = fail(call, model=MODEL, **params)
    check(error, litellm.BadRequestError, 400, "not offered by this provider", "completion", *BUILT_IN_MODELS)
    assert list(simulator.requests()) == []


# The mapping itself


@pytest.mark.parametrize("kind", RefusalKind)
def test_every_refusal_is_an_error_with_all_that_litellm_reads(kind: RefusalKind) -> None:
    statuses = (200, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 529)
    for status, retry_after in itertools.product(statuses, (None, 0.2, 600.5)):
        refusal = Refusal(kind, status, "upstream's words", retry_after=retry_after)
        error: Any = as_litellm(RequestRefusedError(refusal, account="us***1@example.com"), NAME)
        check(error, type(error), error.status_code, "upstream's words", "us***1@example.com")
        assert error.status_code >= 400
        assert any(isinstance(error, known) for known in litellm.exceptions.LITELLM_EXCEPTION_TYPES)
        if "retry-after" in error.headers:
            assert int(error.headers["retry-after"]) >= (retry_after or 0)


def test_what_it_was_made_from_can_be_sent_to_another_process() -> None:
    refused = RequestRefusedError(Refusal(RefusalKind.CALLER, 400, "no"), account="us***1@example.com")
    check(as_litellm(pickle.loads(pickle.dumps(refused)), NAME), litellm.BadRequestError, 400, "no")  # noqa: S301
