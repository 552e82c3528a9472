"""The request of ``ask``: a program that uses LiteLLM as its readers would."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from litellm_antigravity.cli.ask_errors import told
from litellm_antigravity.clock import Clock
from litellm_antigravity.models import PROVIDER
from litellm_antigravity.settings import Settings

_ACCOUNT_HEADER = "x-litellm-antigravity-account"


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back.

    Attributes:
        text: the answer.
        account: who served it, as the answer's header has it: masked, or a label; ``None`` when it has none.
        first_seconds: until the first word came.
        seconds: until the last one.
        input_tokens: of the question; ``None`` when nobody said.
        output_tokens: of the answer, thoughts included; ``None`` when nobody said.
        cost: in US dollars, as LiteLLM works it out; ``None`` when it cannot.
        finish_reason: why the model stopped.
    """

    text: str
    account: str | None
    first_seconds: float
    seconds: float
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    finish_reason: str | None


def call_model(
    prompt: str,
    model: str,
    settings: Settings,
    *,
    timeout: float,
    clock: Clock,
    on_ready: Callable[[], object],
    on_text: Callable[[str], object],
) -> Answered:
    """Send one streamed request through LiteLLM and return what came of it.

    Args:
        prompt: the user's message.
        model: its name, with or without ``antigravity/``.
        settings: how accounts are chosen.
        timeout: in seconds, until the first word.
        clock: what measures.
        on_ready: called when LiteLLM has been imported.
        on_text: called with every piece of the answer.

    Raises:
        AntigravityError: when it fails; it says what helps.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download at import
    import litellm

    import litellm_antigravity

    litellm.suppress_debug_info = True
    litellm_antigravity.register(settings)
    on_ready()
    name = f"{PROVIDER}/{model.strip().removeprefix(f'{PROVIDER}/')}"
    messages = [{"role": "user", "content": prompt}]
    began = clock.monotonic()
    first: float | None = None
    chunks: list[Any] = []
    try:
        stream = litellm.completion(
            model=name, messages=messages, stream=True, stream_options={"include_usage": True}, timeout=timeout
        )
        for chunk in stream:
            chunks.append(chunk)
            for text in _texts(chunk):
                first = clock.monotonic() if first is None else first
                on_text(text)
    except Exception as error:
        raise told(error, model) from error
    ended = clock.monotonic()
    whole = litellm.stream_chunk_builder(chunks, messages=messages)
    usage = getattr(whole, "usage", None)
    return Answered(
        "".join(text for chunk in chunks for text in _texts(chunk)),
        next(filter(None, map(_account, chunks)), None),
        (ended if first is None else first) - began,
        ended - began,
        getattr(usage, "prompt_tokens", None),
        getattr(usage, "completion_tokens", None),
        _cost(litellm, whole, name),
        next((choice.finish_reason for choice in getattr(whole, "choices", ())), None),
    )


def _texts(chunk: Any) -> Iterator[str]:
    for choice in chunk.choices:
        if choice.delta.content:
            yield choice.delta.content


def _account(chunk: Any) -> str | None:
    headers = (getattr(chunk, "_hidden_params", None) or {}).get("additional_headers") or {}
    account = headers.get(_ACCOUNT_HEADER)
    return str(account) if account else None


def _cost(litellm: Any, whole: Any, model: str) -> float | None:
    try:
        return float(litellm.completion_cost(whole, model=model))
    except Exception:  # noqa: BLE001 - whatever LiteLLM lacks for it, the answer is there
        return None
