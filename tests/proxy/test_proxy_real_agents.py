"""OpenCode, Claude Code and Codex play the two ready scripts through a real proxy; docs/agents.md has what they show.

They are npm's, installed by CI into the folder that ``REAL_AGENTS_DIR`` names; skipped where they are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents import AGENTS, FOLDER_VARIABLE, Agent, Ran
from proxy import Proxy, needs_proxy, pool_environment
from proxy_agents import CLAUDE, CONFIG

from litellm_antigravity.simulator import Served, Simulator
from litellm_antigravity.simulator.scripts.reading import load_script

STOPPED = "The whole pool has stopped: two accounts were banned within an hour"
NEXT = r"The next one will be served by us\*\*\*\d@example\.com"

pytestmark = [
    *needs_proxy,
    pytest.mark.once,
    pytest.mark.real_agents,
]


def with_each_agent(play: Callable[[Agent, Path], None], folder: Path) -> None:
    """Have each agent that is installed play, one after the other."""
    found = [agent for agent in AGENTS.values() if agent.found is not None]
    if not found:
        pytest.skip(f"no agent is installed in the folder that {FOLDER_VARIABLE} names")
    for agent in found:
        own = folder / agent.program
        own.mkdir()
        play(agent, own)


class Rehearsal:
    """An agent, a proxy and a simulator that plays a script."""

    def __init__(self, agent: Agent, proxy: Proxy, simulator: Simulator, folder: Path) -> None:
        self.agent = agent
        self.proxy = proxy
        self.simulator = simulator
        self.folder = folder

    def ask(self) -> Ran:
        ran = self.agent.ask(
            "Do it.", url=self.proxy.url, key=self.proxy.key, model=CLAUDE, folder=self.folder, seconds=150
        )
        assert ran.code is not None, f"it had to be stopped:\n{ran.said}"
        return ran

    @property
    def kinds(self) -> list[str]:
        """What its requests met, without repetitions."""
        return list(dict.fromkeys(entry.kind for entry in self.simulator.requests("generateContent")))


def config_in(folder: Path) -> Path:
    config = folder / "config.yaml"
    config.write_text(CONFIG.replace("round-robin", "sticky\n  debug: true"), "utf-8")
    return config


def test_an_agents_session_runs_its_tools_and_notices_no_limit(tmp_path: Path) -> None:
    with_each_agent(play_a_session, tmp_path)


def play_a_session(agent: Agent, folder: Path) -> None:
    script = load_script("agent-session")
    with (
        Simulator(script.accounts or 1) as simulator,
        Proxy(config_in(folder), folder, pool_environment(simulator, folder), imported=True) as proxy,
    ):
        simulator.play(script)
        ran = Rehearsal(agent, proxy, simulator, folder).ask()
        assert ran.code == 0, ran.said
        assert "rehearsal.txt is written and checked" in ran.out
        assert (folder / "work" / "rehearsal.txt").read_text() == "rehearsed\n"  # the tools did run
        assert len(simulator.requests(kind="quota")) == 1
        last = [entry.body["request"]["contents"] for entry in simulator.requests("generateContent", kind="served")][-1]
        results = [part for turn in last for part in turn["parts"] if "functionResponse" in part]
        assert len(results) == 4
        assert "rehearsed" in str(results)
        conversations = set(re.findall(r"conversation (\S+), known by (\S+)", proxy.log))
        assert [where for _, where in conversations] == [agent.session]  # one, through tools and a change of account


def test_a_day_of_limits_shows_what_the_page_says(tmp_path: Path) -> None:
    with_each_agent(play_a_day, tmp_path)


def play_a_day(agent: Agent, folder: Path) -> None:
    script = load_script("day-of-limits")
    with (
        Simulator(script.accounts or 1) as simulator,
        Proxy(config_in(folder), folder, pool_environment(simulator, folder), imported=True) as proxy,
    ):
        simulator.play(script)
        rehearsal = Rehearsal(agent, proxy, simulator, folder)
        first = rehearsal.ask()
        assert {"rate", "quota", "capacity", "truncated-stream", "verification", "banned"} <= {*rehearsal.kinds}
        assert first.code != 0
        if agent.retries_bans:  # by itself, and so the second account has been banned already
            assert STOPPED in first.said
        else:
            assert re.search(NEXT, first.said), first.said
        asked = len(simulator.requests("generateContent"))
        second = rehearsal.ask()
        assert second.code != 0
        assert STOPPED in second.said
        assert "`litellm-antigravity auth retry EMAIL`" in second.said
        banned = {entry.email for entry in simulator.requests(kind="banned")}
        assert len(banned) == 2  # and no third one is
        assert agent.retries_bans == (len(simulator.requests("generateContent")) == asked)


AGENT_TOOLS = {
    "Agent": {"description": "look", "prompt": "Search the sources.", "subagent_type": "general-purpose"},
    "task": {"description": "look", "prompt": "Search the sources.", "subagent_type": "general"},
}


def with_a_sub_agent(served: Served) -> Any:
    """Reply as a model that starts an agent as soon as it can, and believes whatever that says."""
    said = str(served.request["contents"])
    declared = {one["name"] for tool in served.request.get("tools", ()) for one in tool.get("functionDeclarations", ())}
    if "Do it." in said and "functionCall" not in said:
        for name in declared & AGENT_TOOLS.keys():
            return [{"functionCall": {"id": "toolu_vrtx_1", "name": name, "args": AGENT_TOOLS[name]}}]
    return "Done."


def test_an_agent_that_an_agent_starts_has_a_conversation_of_its_own(tmp_path: Path) -> None:
    with_each_agent(play_two_agents, tmp_path)


def play_two_agents(agent: Agent, folder: Path) -> None:
    if agent.program == "codex":
        return  # it starts agents by a tool in a namespace, which nothing here plays
    with (
        Simulator(2) as simulator,
        Proxy(config_in(folder), folder, pool_environment(simulator, folder), imported=True) as proxy,
    ):
        simulator.reply_with(with_a_sub_agent)
        ran = Rehearsal(agent, proxy, simulator, folder).ask()
        assert ran.code == 0, ran.said
        bodies = [str(entry.body) for entry in simulator.requests("generateContent", kind="served")]
        assert any("Search the sources." in body and "Do it." not in body for body in bodies)  # there was one
        conversations = set(re.findall(r"conversation (\S+), known by (\S+)", proxy.log))
        assert [where for _, where in conversations] == [agent.session] * 2
