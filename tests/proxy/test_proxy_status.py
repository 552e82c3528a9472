"""What the proxy serves of ours over HTTP: metrics, status, why, and a caller's own view, each to who may see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from browser import Browser, no_browser
from prometheus_client.parser import text_string_to_metric_families as prometheus
from proxy import STARTED, Proxy, needs_proxy, pool_environment, until
from serving import MESSAGES
from support import HANG_SECONDS

import litellm_antigravity
from litellm_antigravity.litellm import proxy_routes
from litellm_antigravity.litellm.proxy_routes import CHANGE, DECISIONS, METRICS, PAGE, STATUS, USAGE, VIEWS, WHY
from litellm_antigravity.simulator import Simulator

pytestmark = [*needs_proxy, pytest.mark.once]

MODEL = "claude-sonnet-4-6"
KEYS_MODEL = "gemini-2.5-flash"
WORKERS = 4
FIRST, SECOND, THIRD = EMAILS = [f"user{number}@example.com" for number in range(1, 4)]
ROLES = {"sk-admin": "proxy_admin", "sk-viewer": "proxy_admin_viewer", "sk-user": "internal_user", "sk-other": None}
FOR_ADMINS = [METRICS, STATUS, f"{WHY}?model={MODEL}", DECISIONS]
NO_CHANGES: list[Any] = [
    None,
    [],
    {"action": "remove", "account": "a"},
    {"action": ["retry"], "account": "a"},
    {"action": {"retry": True}, "account": "a"},
    {"action": "retry"},
    {"action": "disable", "account": "nobody"},
    {"action": "enable", "account": "a", "family": "x"},
    {"action": "reset", "account": "a", "family": "claude"},
    {"action": "retry", "account": "a", "force": True},
]
FIRST_ROW: list[Any] = ["getByRole", "row", {"name": "us***1@example.com health"}]
OUTLINE = """(() => {
    const style = getComputedStyle(document.activeElement);
    if (document.activeElement === document.body) return "nothing";
    return parseInt(style.outlineWidth) >= 2 ? style.outlineStyle : "thin";
})()"""
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
    """A proxy of several workers, with a pool and a pinned group, whose keys have roles."""
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
    for model in (MODEL, "gemini-3-flash"):
        params = {"model": f"antigravity/{model}"}
        models.append({"model_name": "several", "litellm_params": params, "model_info": {"id": f"several-{model}"}})
    models.append({"model_name": "theirs", "litellm_params": {"model": "openai/gpt-4o", "api_key": "none"}})
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
        workers=WORKERS,
        options=["--run_gunicorn"],
        imported=True,
    ) as started:
        until(lambda: started.log.count(STARTED) >= WORKERS)
        yield started


def get(proxy: Proxy, path: str, key: str | None = "sk-admin") -> httpx.Response:
    """Get something, on a connection of its own: any worker may answer."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx.get(proxy.url + path, headers=headers, timeout=HANG_SECONDS, trust_env=False)


def ask(proxy: Proxy, model: str = "pool", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": MESSAGES, **more}
    headers = {"Authorization": "Bearer sk-user"}
    return httpx.post(
        f"{proxy.url}/v1/chat/completions", json=body, headers=headers, timeout=HANG_SECONDS, trust_env=False
    )


def number_of(proxy: Proxy, name: str) -> float:
    text = get(proxy, METRICS).text
    return sum(one.value for family in prometheus(text) for one in family.samples if one.name == name)


def test_a_worker_tells_of_deployments_that_it_has_not_served(proxy: Proxy) -> None:
    """Before, those of other providers were told of by the workers alone that had served them."""
    told = get(proxy, STATUS).json()
    pinned = [f"{what}-{number}" for number in (1, 2, 3) for what in ("pinned", "key")]
    names = ["the-pool", *pinned, f"several-{MODEL}", "several-gemini-3-flash"]
    assert [one["deployment"] for one in told["deployments"]] == names
    assert [one["in_file"] for one in told["accounts"]] == [True] * 3 + [False] * 3


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
    told = get(proxy, STATUS).json()
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
    for _ in range(4 * len(EMAILS)):  # round-robin in each worker: one of them meets the limit
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


@pytest.mark.parametrize(
    ("name", "family"), [("pool", "claude"), ("pinned", "claude"), ("keys", "gemini"), (MODEL, "claude")]
)
def test_why_explains_a_group_by_the_model_behind_it(proxy: Proxy, name: str, family: str) -> None:
    said = get(proxy, f"{WHY}?model={name}").json()
    assert (said["family"], said["model"]) == (family, KEYS_MODEL if name == "keys" else MODEL)
    assert len(said["candidates"]) == len(EMAILS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("several", f"stands for several models, each with its limits; name one: {MODEL}, gemini-3-flash"),
        ("theirs", "has no account of ours: LiteLLM alone chooses among its deployments"),
    ],
)
def test_why_says_of_which_group_it_cannot_tell(proxy: Proxy, name: str, said: str) -> None:
    reply = get(proxy, f"{WHY}?model={name}")
    assert reply.status_code == 400
    assert f"{name} {said}" in reply.text


# The page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if (missing := no_browser()) is not None:
        pytest.skip(missing)
    with Browser() as started:
        yield started


def sign_in(browser: Browser, proxy: Proxy, key: str) -> None:
    """Open the page in a new browser window, and sign in with the keyboard alone."""
    browser.do(["open", {"reducedMotion": "reduce"}])
    browser.do(["goto", proxy.url + PAGE])
    browser.do(["getByLabel", "Key"], ["waitFor"])
    browser.do(["keyboard"], ["type", key])  # the field has the focus
    browser.do(["keyboard"], ["press", "Enter"])


def row(browser: Browser, text: str, *calls: list[Any]) -> Any:
    """Wait until the first account's row shows a text; then do something in the row."""
    browser.do(FIRST_ROW, ["getByText", text], ["first"], ["waitFor"])
    return browser.do(FIRST_ROW, *calls) if calls else None


def gone(browser: Browser, text: str) -> None:
    """Wait until the first account's row shows a text no more."""
    browser.do(FIRST_ROW, ["getByText", text], ["first"], ["waitFor", {"state": "hidden"}])


def test_an_account_is_drained_and_back_while_the_page_is_open(
    browser: Browser, proxy: Proxy, simulator: Simulator
) -> None:
    simulator.heal()
    change = {"action": "retry", "account": get(proxy, STATUS).json()["accounts"][0]["id"]}
    done = httpx.post(
        proxy.url + CHANGE,
        json=change,
        headers={"Authorization": "Bearer sk-admin"},
        timeout=HANG_SECONDS,
        trust_env=False,
    )
    assert done.json()["said"].startswith("us***1@example.com ")  # whatever a test before has left
    sign_in(browser, proxy, "sk-admin")
    row(browser, "Ready")
    simulator.drain(FIRST, "claude", 900)
    until(lambda: ask(proxy, "pinned").status_code == 200 and is_benched(proxy))
    row(browser, "Back in 14:", ["getByText", "quota used up"], ["waitFor"])
    before = row(browser, "Back in", ["getByText", "Back in"], ["innerText"])
    until(lambda: row(browser, "Back in", ["getByText", "Back in"], ["innerText"]) != before)  # it runs
    strip = row(browser, "Back in", ["getByRole", "img", {"name": "Last hour:"}], ["getAttribute", "aria-label"])
    assert "refused" in strip
    assert "min benched" in strip
    browser.do(["getByRole", "list"], ["getByText", "benched", {"exact": True}], ["first"], ["waitFor"])

    simulator.heal()
    press(browser, "Reset", "Enter", "Tab", "Enter")  # without force
    browser.do(["getByText", "1 cooldown left, since upstream said so"], ["waitFor"])
    row(browser, "Back in")
    press(browser, "Reset", "Enter", "Shift+Tab", "Space", "Tab", "Tab", "Enter")
    browser.do(["getByText", "1 cooldown lifted."], ["waitFor"])
    gone(browser, "Back in")
    until(lambda: FIRST in asked(simulator)[-6:] or ask(proxy).status_code != 200)

    press(browser, "Disable", "Enter", "Escape")  # not after all
    assert browser.do(["getByRole", "dialog"], ["count"]) == 0
    assert browser.do(["evaluate", "document.activeElement.textContent"]) == "Disable"
    assert get(proxy, STATUS).json()["accounts"][0]["enabled"] is True
    press(browser, "Disable", "Enter", "Tab", "Enter")
    row(browser, "Disabled")
    press(browser, "Enable", "Enter", "Tab", "Enter")
    row(browser, "Ready")
    assert get(proxy, STATUS).json()["accounts"][0]["enabled"] is True

    text = browser.do(["content"])
    secrets = [*EMAILS, simulator.client_secret, *(simulator.account(email).refresh_token for email in EMAILS)]
    assert [one for one in [*secrets, "sk-admin"] if one in text] == []
    assert browser.do(["problems"]) == []
    assert {url.split("?")[0] for _, url in browser.do(["requests"])} == {
        proxy.url + path for path in (PAGE, STATUS, DECISIONS, CHANGE)
    }


def press(browser: Browser, button: str, *keys: str) -> None:
    """Go to a button of the first account's, and press keys."""
    found: list[Any] = ["getByRole", "button", {"name": f"{button} us***1@example.com", "exact": True}]
    browser.do(found, ["waitFor"])
    browser.do(found, ["focus"])
    for key in keys:
        browser.do(["keyboard"], ["press", key])


def test_everything_that_can_be_pressed_has_a_name_and_is_seen_to_have_the_focus(
    browser: Browser, proxy: Proxy
) -> None:
    sign_in(browser, proxy, "sk-admin")
    row(browser, "us***1@example.com")
    unnamed = """[...document.querySelectorAll("button, input, select, summary")].filter((one) =>
        !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).length"""
    assert browser.do(["evaluate", unnamed]) == 0
    seen = set()
    for _ in range(12):
        browser.do(["keyboard"], ["press", "Tab"])
        seen.add(browser.do(["evaluate", OUTLINE]))
    assert seen - {"nothing"} == {"solid"}  # behind the last one is the browser itself
    assert browser.do(["evaluate", 'getComputedStyle(document.querySelector("button")).transitionDuration']) == "0s"


def test_the_page_shows_a_key_what_it_may_see(browser: Browser, proxy: Proxy) -> None:
    sign_in(browser, proxy, "sk-user")
    browser.do(["getByText", "This is what every key may see"], ["waitFor"])
    assert browser.do(["getByRole", "table"], ["count"]) == 0
    assert "example.com" not in browser.do(["content"])
    sign_in(browser, proxy, "sk-nobody")
    browser.do(["getByText", "That key is not accepted."], ["waitFor"])
    said = base64.urlsafe_b64encode(json.dumps({"key": "sk-admin"}).encode()).decode().rstrip("=")
    cookie = {"name": "token", "value": f"e30.{said}.signature", "url": proxy.url}  # as LiteLLM's admin UI has it
    browser.do(["context"], ["addCookies", [cookie]])
    browser.do(["reload"])
    row(browser, "us***1@example.com")
    assert browser.do(["getByRole", "button", {"name": "Sign out"}], ["count"]) == 0


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
    assert [path for path in paths if path.startswith("/antigravity")] == [*VIEWS, CHANGE, PAGE]
    with TestClient(app) as client:
        for path in FOR_ADMINS:
            for key in ("sk-user", "sk-other"):
                refused = client.get(path, headers={"key": key})
                assert (refused.status_code, "Only proxy admins" in refused.text) == (403, True), path
            assert client.get(path, headers={"key": "sk-viewer"}).status_code != 403
        for key in ("sk-user", "sk-other", "sk-viewer"):
            refused = client.post(CHANGE, json={}, headers={"key": key})
            assert (refused.status_code, "Only proxy admins" in refused.text) == (403, True), key
        admin = {"key": "sk-admin"}
        # What a page of somebody else's can send, should the authentication take cookies:
        form = client.post(CHANGE, content='{"action": "disable", "account": "a"}', headers=admin)
        assert (form.status_code, "application/json" in form.text) == (400, True)
        assert client.post(CHANGE, json={}, headers={**admin, "Sec-Fetch-Site": "cross-site"}).status_code == 403
        # And what is none of the changes there are:
        for body in NO_CHANGES:
            assert client.post(CHANGE, json=body, headers=admin).status_code == 400, body
