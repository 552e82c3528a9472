"""What a proxy tells of accounts, models and waits: to operators, and to clients that do not own them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml
from proxy import Proxy, needs_proxy, pool_environment
from proxy_requests import body_for, every_endpoint, streamed_or_not
from serving import ACCOUNT_HEADER

from litellm_antigravity.simulator import Simulator

pytestmark = needs_proxy

EMAILS = [f"user{number}@example.com" for number in range(1, 5)]
LABEL = "Work (Zoë's)"
CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"
CAP = 20


class Served(NamedTuple):
    proxy: Proxy
    simulator: Simulator


PINNED = {"by e-mail": EMAILS[0], "by label": LABEL, "by masked e-mail": "us***3@example.com"}


def pinned(name: str) -> dict[str, Any]:
    return {
        "model_name": name,
        "litellm_params": {"model": f"antigravity/{GEMINI}"},
        "model_info": {"account": PINNED[name]},
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("told")
    models = [{"model_name": name, "litellm_params": {"model": f"antigravity/{name}"}} for name in (CLAUDE, GEMINI)]
    provider = {"provider": "antigravity", "custom_handler": "litellm_antigravity.handler"}
    config = {
        "model_list": [*models, *map(pinned, PINNED)],
        "litellm_settings": {"custom_provider_map": [provider], "callbacks": ["litellm_antigravity.hook"]},
        "antigravity_settings": {
            "account_selection_strategy": "sticky",
            "max_rate_limit_wait_seconds": 0,
            "max_retry_after_seconds": CAP,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    with Simulator(4) as simulator:
        labels = {EMAILS[1]: {"label": LABEL}}
        simulator.write_accounts_file(folder / "antigravity-accounts.json", entries=labels)
        with Proxy(folder / "config.yaml", folder, pool_environment(simulator, folder), imported=True) as proxy:
            yield Served(proxy, simulator)


def listed(served: Served, path: str = "/model/info") -> dict[str, dict[str, Any]]:
    return {one["model_name"]: one["model_info"] for one in served.proxy.get(path).json()["data"]}


@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info"])
def test_what_is_told_of_models_has_no_whole_e_mail(served: Served, path: str) -> None:
    """Before, everybody with a key could read the accounts' e-mails in ``model_info.account``."""
    told = served.proxy.get(path)
    assert not any(email in told.text for email in EMAILS)
    accounts = [one["account"] for one in listed(served, path).values() if "account" in one]
    assert accounts == ["us***1@example.com", LABEL, "us***3@example.com"]


def test_one_deployment_is_told_of_without_its_e_mail_too(served: Served) -> None:
    deployment = listed(served)["by e-mail"]["id"]
    told = served.proxy.get(f"/model/info?litellm_model_id={deployment}")
    assert told.status_code == 200
    assert EMAILS[0] not in told.text


@pytest.mark.parametrize(("name", "email"), [*zip(PINNED, EMAILS, strict=False)])
def test_a_deployment_may_name_its_account_by_its_label(served: Served, name: str, email: str) -> None:
    """Before, only by its e-mail: the proxy did not start with a label."""
    served.simulator.clear_log()
    answer = served.proxy.post("/v1/chat/completions", body_for("/v1/chat/completions", name))
    assert answer.status_code == 200, answer.text
    assert [entry.email for entry in served.simulator.requests("generateContent")] == [email]
    assert email not in answer.headers[ACCOUNT_HEADER]


@pytest.mark.parametrize(("model", "searches"), [(CLAUDE, False), (GEMINI, True)])
def test_the_parameters_that_are_told_are_those_that_do_something(
    served: Served, model: str, *, searches: bool
) -> None:
    """Before, Claude's had the web search of Google's, which is left out for Claude."""
    asked = served.proxy.get(f"/utils/supported_openai_params?model={model}").json()["supported_openai_params"]
    assert asked == listed(served)[model]["supported_openai_params"]
    assert {"tools", "thinking", "reasoning_effort", "response_format"} <= {*asked}
    assert ("web_search_options" in asked) == searches
    assert not {"logit_bias", "audio"} & {*asked}


def test_what_claude_cannot_do_here_is_not_told_of(served: Served) -> None:
    """Before, LiteLLM's guess from the model's name: prefill, and searching tools."""
    told = listed(served)[CLAUDE]
    assert [told[f"supports_{name}"] for name in ("assistant_prefill", "tool_search", "web_search")] == [False] * 3
    assert [told[f"supports_{name}"] for name in ("function_calling", "reasoning", "vision")] == [True] * 3


@pytest.fixture
def limited(served: Served) -> Served:
    for email in EMAILS:
        served.simulator.drain(email, None, 7000)
    return served


@streamed_or_not
@every_endpoint
def test_clients_are_told_no_longer_wait_than_the_setting(limited: Served, path: str, stream: bool) -> None:
    """Before, Retry-After was 7000."""
    for model in (CLAUDE, "by label"):
        answer = limited.proxy.post(path, body_for(path, model, stream=stream))
        assert answer.status_code == 429, answer.text
        assert answer.headers["retry-after"] == str(CAP)
        assert "1h56m" in json.loads(answer.text)["error"]["message"]  # the truth
