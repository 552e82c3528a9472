"""Signed thoughts follow a conversation from host to host: sealed, once for each request, and nobody fails over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import thread
from pathlib import Path
from typing import Any

import pytest
from processes import together
from pydantic import SecretStr
from redis_servers import RedisServer, needs_server
from serving import fields_of

from litellm_antigravity.litellm.registration import handler
from litellm_antigravity.litellm.translation.signatures import THOUGHTS, SignedThoughts
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.joined_thoughts import KEPT_SECONDS, MAX_CHARS, JoinedThoughts
from litellm_antigravity.state.sealing import Seal
from litellm_antigravity.state.shared_thoughts import SharedThoughts

pytestmark = [pytest.mark.once, needs_server]

THOUGHT, SIGNATURE = "The sky over Oslo is what they want to know.", "RXFRQkNrWUlCUmdDS2tCU2lnbmVk"
BLOCKS = [{"thinking": THOUGHT, "signature": SIGNATURE}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Host:
    """A host with thoughts of its own."""

    def __init__(self, server: RedisServer, folder: Path, name: str, key: str = "a key of all") -> None:
        seal = Seal(SecretStr(key), folder.name)
        self.joined = JoinedThoughts(server.place(folder.name, socket_timeout=1.0), seal, patience=5.0)
        self.shared = SharedThoughts(folder / name / "thoughts", among_hosts=self.joined)
        self.thoughts = SignedThoughts(shared=self.shared)

    def learn(self, call_id: str, blocks: Any = BLOCKS) -> None:
        """Have a reply with a call, to the end."""
        self.thoughts.remember(blocks, [call_id], "claude")
        self.shared.close()

    def recall(self, *call_ids: str) -> list[Any]:
        """Have a request with a history of calls; return what comes before each."""
        calls = [{"role": "assistant", "tool_calls": [{"id": call_id}]} for call_id in call_ids]
        self.thoughts.seek(calls, of_calls=False)
        return [self.thoughts.recall([call_id], "claude") for call_id in call_ids]


def trips_to(server: RedisServer) -> int:
    return int(server.client().info("commandstats").get("cmdstat_mget", {}).get("calls", 0))


def test_a_request_asks_once_for_all_that_its_host_lacks(server: RedisServer, tmp_path: Path) -> None:
    """The code before had thoughts on the host only that they came to: Claude went on without them elsewhere."""
    one, two = Host(server, tmp_path, "one"), Host(server, tmp_path, "two")
    ids = [f"toolu_{number}" for number in range(5)]
    for call_id in ids:
        one.learn(call_id)
    before = trips_to(server)
    assert two.recall(*ids, "toolu_nobodys") == [BLOCKS] * 5 + [[]]
    assert trips_to(server) == before + 1
    assert two.recall(*ids, "toolu_nobodys") == [BLOCKS] * 5 + [[]]
    assert one.recall(*ids) == [BLOCKS] * 5
    assert trips_to(server) == before + 1
    gemini = [{"role": "assistant", "tool_calls": [{"id": "call_g"}]}]
    one.thoughts._write("call:call_g", [{"thinking": "", "signature": SIGNATURE}])
    one.shared.close()
    two.thoughts.seek(gemini, of_calls=True)
    assert two.thoughts.recall_call("call_g") == SIGNATURE


def test_a_thought_in_redis_is_sealed_expires_and_stays_its_calls(server: RedisServer, tmp_path: Path) -> None:
    one = Host(server, tmp_path, "one")
    one.learn("toolu_a")
    one.learn("toolu_long", [{"thinking": THOUGHT, "signature": "".join(map(str, range(MAX_CHARS)))}])
    client = server.client()
    [key] = client.keys(f"{{{tmp_path.name}}}:thought:*")
    kept = client.get(key)
    for secret in (THOUGHT, SIGNATURE, "toolu_a"):
        assert secret.encode() not in key + kept
    assert 0 < client.ttl(key) <= KEPT_SECONDS
    assert Host(server, tmp_path, "stranger", "another key").recall("toolu_a") == [[]]
    two = Host(server, tmp_path, "two")
    name = key.rpartition(b":")[0]
    for number, poison in enumerate((kept, b"\x80\x04cos\nsystem\n", b"x" * (MAX_CHARS + 1), b"")):
        other = f"toolu_{number}"
        client.set(name + b":" + _row(other), poison)
        assert two.recall(other) == [[]]
    client.rpush(name + b":" + _row("toolu_list"), "x")
    assert two.recall("toolu_list") == [[]]
    assert two.recall("toolu_a") == [BLOCKS]


def _row(call_id: str) -> bytes:
    from litellm_antigravity.state import shared_thoughts

    return shared_thoughts._row(call_id).encode()


def test_a_redis_that_hangs_costs_a_request_its_fifty_milliseconds_once(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        one = Host(server, tmp_path, "one")
        one.learn("toolu_a")
        one.joined._patience = 0.05
        server.client().execute_command("CLIENT", "PAUSE", "20000", "ALL")
        began = time.monotonic()
        for number in range(100):
            assert one.recall("toolu_a", f"toolu_{number}") == [BLOCKS, []]
        assert time.monotonic() - began < 100 * 0.05


def turn(fields: dict[str, Any], messages: list[Any]) -> None:
    """In a process of its own: make a request of Claude's."""
    import litellm

    import litellm_antigravity

    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    _ = handler.dispatcher
    assert THOUGHTS._shared is not None
    assert THOUGHTS._shared._among_hosts is not None
    THOUGHTS._shared._among_hosts._patience = 20.0  # on a busy machine the first answer may come after its 50 ms
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    thinking = {"type": "enabled", "budget_tokens": 2000}
    model = "antigravity/claude-sonnet-4-6"
    asyncio.run(litellm.acompletion(model=model, messages=messages, thinking=thinking, tools=[tool]))
    thread._python_exit()  # as at the end of any process; `together` kills them


def test_the_next_turn_may_come_to_another_host(server: RedisServer, tmp_path: Path) -> None:
    call: dict[str, Any] = {"name": "weather", "args": {"place": "Oslo"}, "id": "toolu_vrtx_01A09q90qw90lq917835lq9"}
    parts: list[dict[str, Any]] = [
        {"thought": True, "text": THOUGHT, "thoughtSignature": SIGNATURE},
        {"functionCall": call},
    ]
    with Simulator(1) as simulator:
        shared = {"redis": server.url, "redis_namespace": "doors", "share_tokens": "redis", "share_tokens_key": "k"}
        fields = [fields_of(simulator, tmp_path, **shared, state_dir=str(tmp_path / name)) for name in ("one", "two")]
        messages: list[Any] = [{"role": "user", "content": "How is the sky over Oslo?"}]
        simulator.reply_with(parts)
        together(turn, [(fields[0], messages)])
        function = {"name": "weather", "arguments": '{"place": "Oslo"}'}
        messages += [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": call["id"], "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": call["id"], "content": "grey"},
        ]
        simulator.reply_with("Grey.")
        together(turn, [(fields[1], messages)])
        sent = simulator.requests(kind="served")[-1].body["request"]
        assert sent["contents"][1]["parts"] == parts
        assert simulator.token_calls() == 1
