"""Conversations that go on turn by turn, many at once, each turn on a new connection: what accounts make of them."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy import STARTED, Proxy, pool_environment, until

from litellm_antigravity.simulator import Simulator

DECISION_HEADER = "x-litellm-antigravity-decision"
KEYS_MODEL = "gemini-2.5-flash"
"""Of the configurations with keys; the simulator has it when it is told to."""

_SYSTEM = "You are a careful engineer. " * 400  # 2,800 tokens: more than the prompt cache takes notice of
_TURN = "Go on, and mind what was said before. " * 40
_SERVED_BY = re.compile(r"Served by (\S+@\S+) with")

Named = tuple[dict[str, Any], dict[str, str]]


def _in_nothing(_: str) -> Named:
    return {}, {}


def _in_litellms_header(session: str) -> Named:
    return {}, {"x-litellm-session-id": session}


def _as_claude_code(session: str) -> Named:
    user = json.dumps({"device_id": "d" * 8, "account_uuid": "", "session_id": session})
    return {"metadata": {"user_id": user}}, {"x-claude-code-session-id": session, "user-agent": "claude-cli/2.1.200"}


def _as_codex(session: str) -> Named:
    return {"prompt_cache_key": session}, {"session-id": session, "thread-id": session}


def _as_opencode(session: str) -> Named:
    return {}, {"x-session-affinity": session}


NAMES: dict[str, Callable[[str], Named]] = {
    "no name": _in_nothing,
    "LiteLLM's header": _in_litellms_header,
    "Claude Code": _as_claude_code,
    "Codex": _as_codex,
    "OpenCode": _as_opencode,
}


@dataclass(slots=True)
class Talk:
    """What became of one conversation: for each turn who served it, and what the answer said of the decision."""

    served_by: list[str] = field(default_factory=list)
    decisions: list[str | None] = field(default_factory=list)
    cached: int = 0
    failed: list[int] = field(default_factory=list)

    @property
    def moves(self) -> int:
        """How often it went from one account to another."""
        return sum(one != other for one, other in zip(self.served_by, self.served_by[1:], strict=False))


def talk(
    proxy: Proxy, model: str, number: int, turns: int, named: Callable[[str], Named], after: Callable[[], object]
) -> Talk:
    """Hold a conversation.

    Args:
        proxy: with whom.
        model: its name there.
        number: of the conversation: what tells it from the others if it has no name.
        turns: how many.
        named: gives what the client says of its session, in body and headers.
        after: called after each turn.
    """
    found, session = Talk(), str(uuid.UUID(int=number + 1))
    messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": f"This is task {number}. {_TURN}"}]
    for turn in range(turns):
        more, headers = named(session)
        answer = proxy.post("/v1/chat/completions", {"model": model, "messages": messages, **more}, **headers)
        after()
        if answer.status_code != 200:
            found.failed.append(answer.status_code)
            continue
        body = answer.json()
        text = body["choices"][0]["message"]["content"]
        by = _SERVED_BY.search(text)
        found.served_by.append("" if by is None else by[1])
        found.decisions.append(answer.headers.get(DECISION_HEADER))
        found.cached += (body["usage"].get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": f"Turn {turn}. {_TURN}"}]
    return found


def talks(
    proxy: Proxy,
    model: str,
    *,
    conversations: int,
    turns: int,
    naming: str = "no name",
    midway: Callable[[], object] = lambda: None,
) -> list[Talk]:
    """Hold several conversations at once; call ``midway`` when half of the turns are over."""
    lock, left = threading.Lock(), [conversations * turns // 2]

    def after() -> None:
        with lock:
            left[0] -= 1
            now = left[0] == 0
        if now:
            midway()

    with ThreadPoolExecutor(conversations) as threads:
        pending = [
            threads.submit(talk, proxy, model, number, turns, NAMES[naming], after) for number in range(conversations)
        ]
        return [one.result() for one in pending]


def accounts_each(found: Sequence[Talk]) -> float:
    """Return on how many accounts a conversation was, on average."""
    return sum(len({*one.served_by}) for one in found) / len(found)


def began_on(found: Sequence[Talk]) -> Counter[str]:
    """Return how many conversations began on each account."""
    return Counter(one.served_by[0] for one in found if one.served_by)


def pool_config(**settings: Any) -> dict[str, Any]:
    """Return a proxy's configuration: one deployment, all accounts."""
    return {
        "model_list": [{"model_name": "model", "litellm_params": {"model": "antigravity/claude-sonnet-4-6"}}],
        "litellm_settings": {
            "custom_provider_map": [{"provider": "antigravity", "custom_handler": "litellm_antigravity.handler"}],
            "callbacks": ["litellm_antigravity.hook"],
        },
        "antigravity_settings": settings,
    }


def keys_config(count: int, router: Mapping[str, Any], settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a proxy's configuration: one deployment for each of several keys of another provider.

    Args:
        count: how many keys.
        router: LiteLLM's settings of its Router.
        settings: ours; ``None`` for a proxy without this package.
    """
    config: dict[str, Any] = {
        "model_list": [
            {
                "model_name": "model",
                "litellm_params": {"model": f"gemini/{KEYS_MODEL}", "api_key": f"os.environ/KEY_{number}"},
                **({} if settings is None else {"model_info": {"account": f"key {number}"}}),
            }
            for number in range(count)
        ],
        "router_settings": {"num_retries": 3, **router},
    }
    if settings is not None:
        config |= {"litellm_settings": {"callbacks": ["litellm_antigravity.hook"]}, "antigravity_settings": settings}
    return config


def started_proxy(simulator: Simulator, folder: Path, config: Mapping[str, Any], *, workers: int = 4) -> Proxy:
    """Start a proxy with several gunicorn workers, and wait until all of them serve. To be closed."""
    folder.mkdir(exist_ok=True)
    file = folder / "config.yaml"
    file.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    keys = {f"KEY_{number}": account.api_key for number, account in enumerate(simulator.accounts)}
    environment = pool_environment(simulator, folder, **keys, GEMINI_API_BASE=f"{simulator.url}/v1beta")
    proxy = Proxy(file, folder, environment, workers=workers, options=["--run_gunicorn"], imported=True)
    proxy.launch().wait()
    until(lambda: proxy.log.count(STARTED) >= workers)
    return proxy
