"""``ask``: one request through LiteLLM, answer and account and cost, and one sentence for whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import new_home, run, save

from litellm_antigravity.simulator import Simulator

MODEL = "claude-sonnet-4-6"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path, monkeypatch)


@pytest.fixture
def simulator(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    with Simulator(2) as simulator:
        accounts = simulator.write_accounts_file(home / "accounts.json")
        for name, value in simulator.environment(accounts, home / "state").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", "sticky")
        yield simulator


def test_the_answer_is_on_standard_output_and_who_gave_it_on_standard_error(simulator: Simulator) -> None:
    result = run("ask", "Hello", "--model", MODEL)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Served by user1@example.com with {MODEL}.\n"
    facts = result.stderr.strip()
    assert facts.startswith("account user1@example.com; ")
    assert " s (first word after " in facts
    assert " out; cost 0, within the subscription" in facts
    assert facts.count("\n") == 0
    (request,) = simulator.requests("streamGenerateContent")
    assert request.model == MODEL


def test_the_question_may_come_from_a_pipe(simulator: Simulator) -> None:
    simulator.reply_with(lambda served: str(served.request["contents"][-1]["parts"][0]["text"]).strip().upper())
    assert run("ask", "-", "--model", MODEL, typed="what is this\n").stdout.strip() == "WHAT IS THIS"


@pytest.mark.usefixtures("simulator")
def test_json_has_the_answer_and_all_that_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = {MODEL: {"input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3}}
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_MODEL_COSTS", json.dumps(prices))
    result = run("ask", "Hello", "--model", f"antigravity/{MODEL}", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["text"] == f"Served by user1@example.com with {MODEL}."
    assert document["account"] == "user1@example.com"
    assert document["finish_reason"] == "stop"
    assert document["cost"] == pytest.approx(1e-3 * document["input_tokens"] + 2e-3 * document["output_tokens"])
    assert 0 < document["first_seconds"] <= document["seconds"]


def test_it_takes_the_path_that_every_request_takes_and_goes_on_to_the_next_account(simulator: Simulator) -> None:
    simulator.drain("user1@example.com", "claude")
    result = run("ask", "Hello", "--model", MODEL)
    assert result.stdout == f"Served by user2@example.com with {MODEL}.\n"
    assert "user1@example.com" in run("status").stdout
    assert "cooling down" in run("status").stdout


def error_in(stderr: str) -> str:
    """Return the error: one line, behind nothing but warnings, and nothing of LiteLLM's own words around it."""
    *warnings, error = stderr.splitlines()
    assert all(line.startswith(("Warning: Account ", "account ")) for line in warnings)
    assert error.startswith("Error: ")
    for words in ("litellm.", "Traceback", "AntigravityException", "Give Feedback"):
        assert words not in stderr
    return error.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("quota", "Reason: quota. `litellm-antigravity status` shows each account."),
        ("refused-request", "Upstream gives no reason; try again in a minute."),
        ("verification", "None comes back by itself: see `litellm-antigravity status`. Reason: verification."),
        ("banned", "`litellm-antigravity status` shows the account and what to do."),
        ("not-available", "`litellm-antigravity models` lists what there is."),
        ("bad-request", "Upstream refuses the request itself, so no other account was asked."),
        ("server-error", "Upstream answered 500: "),
        ("html", "is `endpoint` right, or is a proxy in between?"),
        ("malformed-function-call", "The model has failed, not the account: try again."),
        ("empty-stop", "The answer is empty."),
    ],
)
def test_what_upstream_refuses_is_one_line_that_helps(simulator: Simulator, kind: str, said: str) -> None:
    simulator.refuse(kind)  # type: ignore[arg-type]  # the kinds are spelled out above
    result = run("ask", "Hello", "--model", MODEL)
    assert result.exit_code == 1
    assert result.stdout.strip() == ""
    assert said in error_in(result.stderr)


@pytest.mark.usefixtures("simulator")
def test_a_token_endpoint_that_cannot_be_reached_is_not_called_an_answer_of_upstreams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_TOKEN_URL", "http://127.0.0.1:9/token")
    result = run("ask", "Hello", "--model", MODEL)
    assert result.exit_code == 1
    said = error_in(result.stderr)
    assert "cannot reach the token endpoint at 127.0.0.1" in said
    assert "`litellm-antigravity doctor` looks what keeps this machine from it." in said
    assert "Upstream answered" not in said


def test_a_stream_that_breaks_off_is_told_of_below_what_has_come(simulator: Simulator) -> None:
    simulator.refuse("truncated-stream")
    result = run("ask", "Hello", "--model", MODEL)
    assert result.exit_code == 1
    assert result.stdout.startswith("Served by ")
    assert result.stdout.endswith("\n")
    assert "broke off" in error_in(result.stderr)
    assert "Original exception" not in result.stderr


@pytest.mark.usefixtures("simulator")
def test_a_misspelt_model_is_told_the_name_that_was_meant() -> None:
    assert "Did you mean claude-sonnet-4-6?" in error_in(run("ask", "Hello", "--model", "claude-sonet-4-6").stderr)


def test_a_login_that_was_revoked_is_one_line_that_helps(simulator: Simulator) -> None:
    for account in simulator.accounts:
        simulator.revoke(account.email)
    error = error_in(run("ask", "Hello").stderr)
    assert "revoked" in error


@pytest.mark.usefixtures("simulator")
def test_an_endpoint_that_nobody_listens_at_is_one_line_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_ENDPOINT", "http://127.0.0.1:9")
    error = error_in(run("ask", "Hello").stderr)
    assert "127.0.0.1" in error


def test_what_is_wrong_before_the_request_is_said_without_litellm(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litellm_antigravity.cli.ask_call.call_model", pytest.fail)
    assert "There is no accounts file" in error_in(run("ask", "Hello").stderr)
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID")
    save(home, {"email": "user1@gmail.com", "refreshToken": "1//token"})
    assert "needs an OAuth client" in error_in(run("ask", "Hello").stderr)
    assert run("ask", "  ").exit_code == 2
