"""Calls to other providers, and what comes of each before and after this package is registered."""

from __future__ import annotations

import asyncio
import gc
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from other_providers import CUT, OtherProviders
from serving import MESSAGES

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
MUCH: dict[str, Any] = {"tools": [TOOL], "temperature": 0.5, "stop": ["end"], "reasoning_effort": "low", "user": "me"}
CALLS: list[tuple[str, list[int], dict[str, Any]]] = [
    ("openai/gpt-4o", [], {}),
    ("openai/gpt-4o", [], MUCH),
    ("openai/gpt-4o", [], {"response_format": {"type": "json_object"}, "n": 2}),
    ("openai/gpt-4o", [429] * 9, {}),
    ("openai/gpt-4o", [500] * 9, {}),
    ("openai/gpt-4o", [400], {}),
    ("openai/gpt-4o", [CUT] * 9, {}),
    ("anthropic/claude-haiku-4-5", [], {}),
    ("anthropic/claude-haiku-4-5", [], MUCH),
    ("anthropic/claude-haiku-4-5", [], {"logprobs": True}),
    ("anthropic/claude-haiku-4-5", [], {"logprobs": True, "drop_params": True}),
    ("anthropic/claude-haiku-4-5", [529] * 9, {}),
    ("anthropic/claude-haiku-4-5", [CUT] * 9, {}),
    ("nobody/nothing", [], {}),
]


def before_and_after(environment: list[str]) -> list[list[str]]:
    """In a process of its own: return what comes of every call, without us and with us."""
    os.environ |= {name: value for name, _, value in (one.partition("=") for one in environment)}
    import litellm

    litellm.suppress_debug_info = True
    # LiteLLM leaves streams that were cut to garbage collection, which may close one where httpx's connection pool is
    # locked, and hang: see `litellm_antigravity.wire.closing`.
    gc.disable()
    loop = asyncio.new_event_loop()  # one for all, since LiteLLM makes clients for each
    with OtherProviders() as others:
        os.environ.update(others.environment)
        router = _router(litellm)
        before = [*_outcomes(litellm, router, others, loop)]
        import litellm_antigravity

        litellm_antigravity.register()
        litellm_antigravity.install(router)
        again = [*_outcomes(litellm, router, others, loop)]
        return [before, again, [*_outcomes(litellm, _router(litellm), others, loop)]]


def _router(litellm: Any) -> Any:
    names = ["openai/gpt-4o", "anthropic/claude-haiku-4-5"]
    groups = [{"model_name": name, "litellm_params": {"model": name}} for name in names]
    return litellm.Router(model_list=groups, num_retries=0, disable_cooldowns=True)


def _outcomes(litellm: Any, router: Any, others: OtherProviders, loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    for model, statuses, more in CALLS:
        for stream in (False, True):
            for door in _doors(litellm, router, loop):
                others.forget()
                others.statuses.extend(statuses)
                params = {"model": model, "messages": MESSAGES, "max_retries": 0, "stream": stream, **more}
                try:
                    outcome = str(door(params))
                except Exception as error:  # noqa: BLE001 - it is what is compared
                    outcome = f"{type(error).__name__} {getattr(error, 'status_code', '')} {error}"
                asked = [(one.path, one.body) for one in others.received]
                yield re.sub(r"(id|created)='?[\w-]+'?|0x[0-9a-f]+", "", f"{outcome} after {asked}")


def _doors(litellm: Any, router: Any, loop: asyncio.AbstractEventLoop) -> list[Callable[[dict[str, Any]], Any]]:
    async def whole(call: Any, params: dict[str, Any]) -> Any:
        reply = await call(**params)
        return [chunk async for chunk in reply] if params["stream"] else reply

    def sync(call: Any, params: dict[str, Any]) -> Any:
        reply = call(**params)
        return list(reply) if params["stream"] else reply

    return [
        lambda params: sync(litellm.completion, params),
        lambda params: loop.run_until_complete(whole(litellm.acompletion, params)),
        lambda params: sync(router.completion, params),
        lambda params: loop.run_until_complete(whole(router.acompletion, params)),
    ]
