"""What the proxy says to whoever sets it up: at its start, of a start that fails, and of a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy import Proxy, needs_proxy, pool_environment
from serving import MESSAGES
from support import ROOT

from litellm_antigravity.simulator import Simulator

EXAMPLE = (ROOT / "config_examples" / "proxy_pool.yaml").read_text("utf-8")
MODEL = "claude-sonnet-4-6"

pytestmark = needs_proxy


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Simulator]]:
    """The pool of the example, for two accounts that have no client of their own beside two that need none."""
    folder = tmp_path_factory.mktemp("first-contact")
    config = folder / "pool.yaml"
    config.write_text(EXAMPLE, "utf-8")
    with Simulator(2) as simulator:
        environment = pool_environment(simulator, folder)
        with Proxy(config, folder, environment, imported=True) as proxy:
            yield proxy, simulator


def lines_about(log: str, text: str) -> list[str]:
    return [line for line in log.splitlines() if text in line]


def test_one_line_says_what_the_proxy_will_do(served: tuple[Proxy, Simulator]) -> None:
    """Before: nothing did."""
    [line] = lines_about(served[0].log, "litellm-antigravity:")
    assert line.startswith("INFO:")
    assert "2 accounts, strategy sticky, offset by slot, state in " in line


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_one_warning(served: tuple[Proxy, Simulator], path: str, stream: bool) -> None:
    """Before: an error, with 57 lines of traceback, half of them of how an account had been looked for."""
    proxy, simulator = served
    for account in simulator.accounts:
        simulator.drain(account.email, None, 600)
    before = proxy.log
    asked = {"input": "Hello"} if path.endswith("responses") else {"messages": MESSAGES}
    answer = proxy.post(path, {"model": MODEL, "stream": stream, "max_tokens": 100, **asked})
    assert answer.status_code == 429
    said = proxy.log[len(before) :]
    [line] = lines_about(said, "Every account (2) is limited")
    assert "WARNING" in line
    assert "litellm_call_id=" in line  # LiteLLM's own words, to be searched for
    assert "Traceback" not in said
    assert "ERROR" not in said


def test_a_model_named_as_the_plugin_does_is_answered_with_its_name_here(served: tuple[Proxy, Simulator]) -> None:
    """Before: "Invalid model name passed in"."""
    answer = served[0].post("/v1/chat/completions", {"model": f"antigravity-{MODEL}", "messages": MESSAGES})
    assert answer.status_code == 404
    assert f"Write {MODEL} here. (`/v1/models` lists all.)" in answer.text


def test_an_error_that_is_not_ours_keeps_its_traceback(served: tuple[Proxy, Simulator]) -> None:
    proxy, _ = served
    answer = proxy.post("/v1/chat/completions", {"model": "nobody-has-it", "messages": MESSAGES})
    assert answer.status_code == 400
    assert any("ERROR" in line for line in lines_about(proxy.log, "nobody-has-it"))


def test_a_start_that_fails_ends_with_the_sentence_that_helps(tmp_path: Path) -> None:
    """Before: it stood above the banner of LiteLLM and an address to complain to."""
    config = tmp_path / "wrong.yaml"
    config.write_text(EXAMPLE.replace("antigravity/claude", "antigravity-claude"), "utf-8")
    with Simulator(1) as simulator:
        proxy = Proxy(config, tmp_path, pool_environment(simulator, tmp_path))  # the command itself, for its end
        try:
            assert proxy.launch().wait_for_end() != 0
            last = proxy.log.rstrip("\n").splitlines()[-1]
        finally:
            proxy.close()
    assert last.startswith("The proxy could not start. ")
    assert str(config) in last
    assert "Write antigravity/claude-sonnet-4-6 here." in last


def test_accounts_without_a_client_are_told_of_at_the_start(tmp_path: Path) -> None:
    """Before: the proxy started without a word, and the first request was a 401."""
    config = tmp_path / "no-client.yaml"
    config.write_text(EXAMPLE, "utf-8")
    with Simulator(2) as simulator:
        environment = pool_environment(simulator, tmp_path)
        environment = {name: value for name, value in environment.items() if "OAUTH" not in name}
        with Proxy(config, tmp_path, environment, imported=True) as proxy:
            [line] = lines_about(proxy.log, "2 accounts need an OAuth client")
            assert "oauth_client_id" in line
            assert proxy.post("/v1/chat/completions", {"model": MODEL, "messages": MESSAGES}).status_code == 401
            assert "Traceback" not in proxy.log
