"""What the proxy serves of ours over HTTP: metrics, status, why, and a caller's own view, each to who may see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as prometheus
from proxy import STARTED, Proxy, needs_proxy, pool_environment, until
from serving import MESSAGES

import litellm_antigravity
from litellm_antigravity.litellm import proxy_routes
from litellm_antigravity.litellm.proxy_routes import DECISIONS, METRICS, STATUS, USAGE, VIEWS, WHY
from litellm_antigravity.simulator import Simulator

pytestmark = [*needs_proxy, pytest.mark.once]

MODEL = "claude-sonnet-4-6"
KEYS_MODEL = "gemini-2.5-flash"
FIRST, SECOND, THIRD = EMAILS = [f"user{number}@example.com" for number in range(1, 4)]
ROLES = {"sk-admin": "proxy_admin", "sk-viewer": "proxy_admin_viewer", "sk-user": "internal_user", "sk-other": None}
FOR_ADMINS = [METRICS, STATUS, f"{WHY}?model={MODEL}", DECISIONS]
AUTH = f"""
from litellm.proxy._types import UserAPIKeyAuth

ROLES = {ROLES!r}

async def who(request, api_key):
    key = api_key.removeprefix("Bearer ")
    if key not in ROLES:
        raise Exception("no such key")
    return UserAPIKeyAuth(api_key=key, user_role=ROLES[key])
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(3, models=[KEYS_MODEL]) as started:
        yield started


@pytest.fixture(scope="module")
def proxy(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy of two workers, with a pool and a pinned group, whose keys have roles."""
    folder = tmp_path_factory.mktemp("proxy")
    params = {"model": f"antigravity/{MODEL}"}
    models: list[dict[str, Any]] = [{"model_name": "pool", "litellm_params": params, "model_info": {"id": "the-pool"}}]
    for number, email in enumerate(EMAILS, 1):
        info = {"account": email, "id": f"pinned-{number}"}
        models.append({"model_name": "pinned", "litellm_params": params, "model_info": info})
        base = f"{simulator.url}/v1beta/models/{KEYS_MODEL}"
        keys = {"model": f"gemini/{KEYS_MODEL}", "api_key": simulator.account(email).api_key, "api_base": base}
        info = {"account": email, "id": f"key-{number}"}
        models.append({"model_name": "keys", "litellm_params": keys, "model_info": info})
    config = {
        "model_list": models,
        "litellm_settings": {
            "custom_provider_map": [{"provider": "antigravity", "custom_handler": "litellm_antigravity.handler"}],
            "callbacks": ["litellm_antigravity.hook"],
        },
        "general_settings": {"custom_auth": "roles.who", "custom_auth_run_common_checks": True},
        "antigravity_settings": {"account_selection_strategy": "round-robin", "max_rate_limit_wait_seconds": 0},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    (folder / "roles.py").write_text(AUTH, "utf-8")
    with Proxy(
        folder / "config.yaml",
        folder,
        pool_environment(simulator, folder),
        workers=2,
        options=["--run_gunicorn"],
        imported=True,
    ) as started:
        until(lambda: started.log.count(STARTED) >= 2)
        yield started


def get(proxy: Proxy, path: str, key: str | None = "sk-admin") -> httpx.Response:
    """Get something, on a connection of its own: any worker may answer."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.get(proxy.url + path, headers=headers, timeout=60, trust_env=False)


def ask(proxy: Proxy, model: str = "pool", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": MESSAGES, **more}
    headers = {"Authorization": "Bearer sk-user"}
    return httpx.post(f"{proxy.url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False)


def number_of(proxy: Proxy, name: str) -> float:
    text = get(proxy, METRICS).text
    return sum(one.value for family in prometheus(text) for one in family.samples if one.name == name)


def test_each_view_is_for_those_who_may_see_it(proxy: Proxy) -> None:
    for path in FOR_ADMINS[:2]:  # each takes its time on a busy machine, and the others go the same way
        answered = {key: get(proxy, path, key).status_code for key in ("sk-admin", "sk-viewer", "sk-user", "sk-other")}
        assert answered.pop("sk-admin") == 200, path
        # LiteLLM refuses them itself, a viewer that is in no database as well; without prisma it fails at that.
        assert set(answered.values()) <= {401, 403, 500}, (path, answered)
        assert refused(proxy, path)
    for key in ROLES:
        assert get(proxy, USAGE, key).status_code == 200, key
    assert refused(proxy, USAGE)
    assert get(proxy, WHY).status_code == 400


def refused(proxy: Proxy, path: str) -> bool:
    """Return whether nobody's key is turned away, as LiteLLM turns it away itself."""
    for key in (None, "sk-nobody"):
        answer = get(proxy, path, key).status_code
        if answer == 200 or answer != get(proxy, "/v1/models", key).status_code:
            return False
    return True


def test_any_worker_s_metrics_are_those_of_all(proxy: Proxy, simulator: Simulator) -> None:
    before, seen = number_of(proxy, "antigravity_requests_total"), len(asked(simulator))
    with ThreadPoolExecutor(8) as many:
        groups = ["pool", "pinned", "keys"]
        replies = list(many.map(lambda n: ask(proxy, groups[n % 3], stream=n % 2 == 0).status_code, range(24)))
    assert replies == [200] * 24
    sent = len(asked(simulator)) - seen
    for _ in range(6):
        assert number_of(proxy, "antigravity_requests_total") == before + sent
    until(lambda: number_of(proxy, "antigravity_served_total") >= sent)  # LiteLLM tells of the keys' a little later


def is_benched(proxy: Proxy) -> bool:
    """Return whether the first account has met its limit."""
    return bool(get(proxy, STATUS).json()["accounts"][0]["families"]["claude"]["state"] == "cooling_down")


def asked(simulator: Simulator) -> list[str]:
    return [entry.email or "" for entry in simulator.log if entry.model is not None]


def test_the_status_tells_of_accounts_and_deployments_and_of_nobody_s_address(
    proxy: Proxy, simulator: Simulator
) -> None:
    simulator.drain(FIRST, "claude", 900)
    until(lambda: ask(proxy, "pinned").status_code == 200 and is_benched(proxy))
    found: list[Any] = []

    def knows_the_keys() -> bool:
        """Whether the worker that answers has served the keys' group: before, it does not know of it."""
        ask(proxy, "keys")
        found.append(get(proxy, STATUS).json())
        return any(one["deployment"] == "key-1" for one in found[-1]["deployments"])

    until(knows_the_keys)
    told = found[-1]
    first = told["accounts"][0]["families"]
    assert told["accounts"][0]["account"] == "us***1@example.com"
    assert (first["claude"]["state"], first["claude"]["reason"]) == ("cooling_down", "quota")
    assert first["claude"]["since"] < told["now"] < first["claude"]["until"] <= told["now"] + 900
    assert first["gemini"]["state"] == "ready"
    deployments = {one["deployment"]: one for one in told["deployments"]}
    assert deployments["key-1"]["state"] == "ready"
    pinned = deployments["pinned-1"]
    assert (pinned["state"], pinned["reason"], pinned["account"]) == ("cooling_down", "quota", "us***1@example.com")
    assert pinned["failures"] >= 1
    assert (deployments["the-pool"]["state"], deployments["the-pool"]["account"]) == ("ready", None)
    assert {one["family"]: one["free"] for one in told["families"]} == {"claude": 2, "gemini": 3}
    texts = [get(proxy, path).text for path in (*FOR_ADMINS, USAGE)]
    secrets = [*EMAILS, simulator.client_secret, *(simulator.account(email).refresh_token for email in EMAILS)]
    assert [one for one in secrets for text in texts if one in text] == []
    assert "example.com" not in get(proxy, USAGE, "sk-user").text


def test_why_and_the_last_decisions_name_the_account_that_served(proxy: Proxy, simulator: Simulator) -> None:
    simulator.drain(EMAILS[0], "claude", 600)
    for _ in range(2 * len(EMAILS)):  # round-robin in two workers: one of them meets the limit
        reply = ask(proxy)
    account, call = reply.headers["x-litellm-antigravity-account"], reply.headers["x-litellm-call-id"]
    until(lambda: any(one["what"] == "chosen" for one in get(proxy, f"{DECISIONS}?request_id={call}").json()))
    decisions = get(proxy, f"{DECISIONS}?request_id={call}").json()
    assert [one["account"] for one in decisions if one["what"] == "chosen"][-1] == account
    assert decisions[-1]["inputs"]
    said = get(proxy, f"{WHY}?model={MODEL}").json()
    assert said["outcome"] == "serve"
    assert [one["account"] for one in said["candidates"] if one["state"] == "limited"] == ["us***1@example.com"]
    assert len(json.dumps(get(proxy, DECISIONS).json())) > 100


def test_where_litellm_lets_every_key_pass_we_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with custom authentication, where LiteLLM looks at no roles."""
    from fastapi import FastAPI, Header
    from fastapi.testclient import TestClient

    app = FastAPI()

    def who(key: str = Header()) -> object:
        return SimpleNamespace(user_role=ROLES[key])

    monkeypatch.setattr(proxy_routes, "find", {"app": app, "user_api_key_auth": who}.get)
    for _ in range(2):  # a configuration that is loaded again adds nothing
        proxy_routes.add_routes(litellm_antigravity.handler)
    paths = [str(getattr(route, "path", "")) for route in app.routes]
    assert [path for path in paths if path.startswith("/antigravity")] == list(VIEWS)
    with TestClient(app) as client:
        for path in FOR_ADMINS:
            for key in ("sk-user", "sk-other"):
                refused = client.get(path, headers={"key": key})
                assert (refused.status_code, "Only proxy admins" in refused.text) == (403, True), path
            assert client.get(path, headers={"key": "sk-viewer"}).status_code != 403
