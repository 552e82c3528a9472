"""The simulator stands in for Google: what it replies, what it tells who watches it, how it runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_client import (
    CLAUDE,
    FIRST,
    GEMINI,
    GENERATE,
    HELLO,
    SECOND,
    STREAM,
    TOOL,
    Client,
    Json,
    client,
    events,
    simulator,
    text_of,
    wait_until,
)
from support import HANG_SECONDS, FakeClock

from litellm_antigravity.accounts.parsing import decode_document, parse_document
from litellm_antigravity.simulator import LoggedRequest, ModelReply, Served, Simulator, serve_forever

# The package's entry point brings this fixture when it is installed; the import makes it known when it is not.
from litellm_antigravity.simulator.pytest_plugin import antigravity_simulator  # noqa: F401 - a fixture

__all__ = ["client", "simulator"]  # fixtures

pytestmark = pytest.mark.once


# Replies


def test_a_reply_names_the_account_and_the_model_and_counts_tokens(client: Client) -> None:
    reply = client.ask(SECOND).json()
    inner = reply["response"]
    assert inner["candidates"][0]["content"] == {
        "role": "model",
        "parts": [{"text": f"Served by {SECOND} with {CLAUDE}."}],
    }
    assert inner["candidates"][0]["finishReason"] == "STOP"
    usage = inner["usageMetadata"]
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert usage["promptTokenCount"] > 0
    assert inner["modelVersion"] == CLAUDE
    assert reply["traceId"] != client.ask().json()["traceId"]


def test_a_stream_says_the_same_in_chunks_counts_in_each_and_ends_with_finish_reason(client: Client) -> None:
    whole = client.ask().json()
    chunks = client.stream()
    assert len(chunks) >= 3
    assert text_of(chunks) == text_of([whole])
    for chunk in chunks[:-1]:
        assert "finishReason" not in chunk["response"]["candidates"][0]
    counts = [chunk["response"]["usageMetadata"]["totalTokenCount"] for chunk in chunks]
    assert counts == sorted(set(counts))
    last = chunks[-1]["response"]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == whole["response"]["usageMetadata"]
    assert len({chunk["response"]["responseId"] for chunk in chunks}) == 1


def test_a_stream_is_sent_chunk_by_chunk(client: Client) -> None:
    client.simulator.set_latency(0, per_chunk=30)
    with client.http.stream("POST", STREAM, json=client.envelope(), headers=client.signed()) as answer:
        assert next(answer.iter_raw()).startswith(b"data: ")  # while the others are half a minute away


@given(text=st.text(min_size=1))
def test_any_text_survives_its_cutting_into_chunks(text: str) -> None:
    from litellm_antigravity.simulator.replies import reply_chunks, reply_to

    served = Served(FIRST, CLAUDE, {"contents": [HELLO]})
    chunks = reply_chunks(served, reply_to(served, text), "1")
    assert text_of([{"response": chunk} for chunk in chunks]) == text
    assert len(chunks) >= min(3, len(text))


def test_the_model_calls_a_tool_when_it_is_told_to(client: Client) -> None:
    asked = {"role": "user", "parts": [{"text": 'please call get_weather {"city": "Oslo"} now'}]}
    body = client.envelope(contents=[asked], tools=[TOOL])
    expected = [{"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}}]
    assert client.ask(body=body).json()["response"]["candidates"][0]["content"]["parts"] == expected
    (chunk,) = client.stream(body=body)
    assert chunk["response"]["candidates"][0]["content"]["parts"] == expected


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_what_the_model_calls_by_default_may_be_sent_back(client: Client, model: str) -> None:
    """Before, the call was not signed, and the next turn refused for it with "missing a thought_signature"."""
    asked = {"role": "user", "parts": [{"text": "please call get_weather now"}]}
    said = client.ask(body=client.envelope(model=model, contents=[asked], tools=[TOOL])).json()["response"]
    (call,) = said["candidates"][0]["content"]["parts"]
    assert ("thoughtSignature" in call) is (model == GEMINI)
    call["functionCall"]["id"] = "call-1"
    result = {"functionResponse": {"id": "call-1", "name": "get_weather", "response": {"content": "grey"}}}
    history = [asked, {"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    answer = client.ask(body=client.envelope(model=model, contents=history, tools=[TOOL]))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("text", ["call get_weather_forecast", "get_weather", "recall get_weather"])
def test_the_model_calls_no_tool_that_was_not_named(client: Client, text: str) -> None:
    body = client.envelope(contents=[{"role": "user", "parts": [{"text": text}]}], tools=[TOOL])
    assert "text" in client.ask(body=body).json()["response"]["candidates"][0]["content"]["parts"][0]


def test_replies_can_be_scripted_as_text_parts_or_function(client: Client) -> None:
    def shout(served: Served) -> str:
        return f"{served.email} {served.model} {served.request['contents'][0]['parts'][0]['text'].upper()}"

    client.simulator.reply_with("a fixed text")
    assert text_of(client.stream()) == "a fixed text"
    client.simulator.reply_with(shout)
    assert text_of([client.ask(model=GEMINI).json()]) == f"{FIRST} {GEMINI} HELLO"
    parts: list[Json] = [{"text": "why so", "thought": True}, {"text": "therefore", "thoughtSignature": "c2ln"}]
    client.simulator.reply_with(ModelReply(parts, "MAX_TOKENS", {"cachedContentTokenCount": 1}))
    whole = client.ask().json()["response"]
    assert whole["candidates"][0]["content"]["parts"] == parts
    assert whole["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert whole["usageMetadata"]["cachedContentTokenCount"] == 1
    assert whole["usageMetadata"]["thoughtsTokenCount"] > 0
    streamed = [chunk["response"]["candidates"][0]["content"]["parts"][0] for chunk in client.stream()]
    assert [part for part in streamed if "thoughtSignature" in part] == streamed[-1:]
    client.simulator.reply_with(None)
    assert text_of([client.ask().json()]).startswith("Served by")


def test_the_gemini_api_with_keys_is_served_without_the_envelope(client: Client) -> None:
    account = client.simulator.account(SECOND)
    body = {"contents": [HELLO], "system_instruction": {"parts": [{"text": "a"}]}}
    path = f"/v1beta/models/{GEMINI}"
    whole = client.http.post(f"{path}:generateContent", json=body, headers={"x-goog-api-key": account.api_key})
    assert text_of([{"response": whole.json()}]) == f"Served by {SECOND} with {GEMINI}."
    streamed = client.http.post(f"{path}:streamGenerateContent?alt=sse&key={account.api_key}", json=body)
    assert text_of([{"response": event} for event in events(streamed.text)]) == f"Served by {SECOND} with {GEMINI}."
    assert client.http.post(f"{path}:generateContent?key=wrong", json=body).status_code == 400
    client.simulator.drain(SECOND, "gemini")
    refused = client.http.post(f"{path}:generateContent", json=body, headers={"x-goog-api-key": account.api_key})
    assert refused.status_code == 429
    assert account.api_key not in repr(client.simulator.log)


# Watching


def test_the_log_tells_who_asked_what_and_how_it_was_answered(client: Client, clock: FakeClock) -> None:
    client.simulator.drain(FIRST, "claude")
    client.ask()
    client.stream(SECOND, GEMINI)
    token, refused, token_of_second, served = client.simulator.log
    assert (token.path, token.email, token.kind, token.model) == ("/token", FIRST, "token", None)
    assert (refused.path, refused.email, refused.status, refused.kind) == (GENERATE, FIRST, 429, "quota")
    assert (refused.model, refused.family, refused.stream, refused.at) == (CLAUDE, "claude", False, clock.time())
    assert token_of_second.email == SECOND
    assert (served.email, served.status, served.family, served.stream) == (SECOND, 200, "gemini", True)
    assert served.body["userAgent"] == "tests"
    assert served.headers["content-type"] == "application/json"
    assert client.simulator.requests("generateContent", status=200) == [served]
    assert client.simulator.requests("/token", email=FIRST) == [token]
    assert client.simulator.requests(kind="quota") == [refused]


def test_no_secret_is_in_the_log_or_in_a_repr(client: Client) -> None:
    client.ask()
    client.refresh(client_secret="wrong-canary")
    simulator = client.simulator
    shown = repr((simulator.log, simulator, simulator.accounts, [dict(entry.headers) for entry in simulator.log]))
    account = simulator.account(FIRST)
    secrets = (client.tokens[FIRST], simulator.client_secret, account.refresh_token, account.api_key, "wrong-canary")
    assert [secret for secret in secrets if secret in shown] == []


def test_requests_in_flight_are_counted_per_account(client: Client) -> None:
    client.signed(), client.signed(SECOND)
    client.simulator.clear_log()
    client.simulator.refuse("hang")

    def ask(email: str) -> None:
        with (
            contextlib.suppress(httpx.HTTPError),  # the simulator is closed with the requests still open
            httpx.Client(base_url=client.simulator.url, timeout=30, trust_env=False) as http,
        ):
            http.post(GENERATE, json=client.envelope(email), headers=client.signed(email))

    threads = [threading.Thread(target=ask, args=(email,)) for email in (FIRST, FIRST, SECOND, FIRST)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(client.simulator.log) == 4)
    assert sorted(entry.in_flight for entry in client.simulator.requests(email=FIRST)) == [1, 2, 3]
    assert [entry.in_flight for entry in client.simulator.requests(email=SECOND)] == [1]
    client.simulator.close()
    for thread in threads:
        thread.join(HANG_SECONDS)
        assert not thread.is_alive()


def test_the_log_keeps_the_newest() -> None:
    with Simulator(log_limit=3) as simulator:
        client = Client(simulator)
        for _ in range(5):
            client.refresh()
        client.ask()
        assert [entry.path for entry in simulator.log] == ["/token", "/token", GENERATE]
        assert simulator.token_calls() == 6


def test_every_request_is_reported_as_it_comes() -> None:
    seen: list[LoggedRequest] = []
    with Simulator(on_request=seen.append) as simulator:
        Client(simulator).ask()
        assert seen == simulator.log


# Running


def test_latency_is_for_what_is_served_and_refusals_come_at_once(client: Client) -> None:
    client.simulator.drain(SECOND, "claude")
    client.signed(SECOND)
    client.simulator.set_latency(60)
    assert client.ask(SECOND).status_code == 429
    client.signed()
    with pytest.raises(httpx.ReadTimeout):
        client.ask(timeout=0.05)
    client.simulator.set_latency(0, refused=60)
    assert client.ask().status_code == 200
    with pytest.raises(httpx.ReadTimeout):
        client.ask(SECOND, timeout=0.05)


def test_the_token_endpoint_has_a_latency_of_its_own(client: Client) -> None:
    client.simulator.set_token_latency(60)
    client.http.timeout = httpx.Timeout(0.05)
    with pytest.raises(httpx.ReadTimeout):
        client.refresh()
    assert client.simulator.token_calls() == 1


def test_closing_ends_the_thread_frees_the_port_and_cuts_off_what_hangs() -> None:
    simulator = Simulator().start()
    port = int(simulator.url.rpartition(":")[2])
    client = Client(simulator)
    client.signed()
    simulator.refuse("hang")
    failed: list[Exception] = []

    def ask() -> None:
        try:
            failed.append(RuntimeError(client.ask(timeout=30).status_code))
        except httpx.HTTPError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: bool(simulator.requests(kind="hang")))
    simulator.close()
    simulator.close()
    thread.join(HANG_SECONDS)
    assert len(failed) == 1
    assert [other.name for other in threading.enumerate() if other.name == "antigravity-simulator"] == []
    with Simulator(port=port) as again:
        assert again.url == f"http://127.0.0.1:{port}"


def test_a_taken_port_is_an_error_and_leaves_no_thread() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        simulator = Simulator(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="address"):
            simulator.start()
    assert [other.name for other in threading.enumerate() if other.name == "antigravity-simulator"] == []


def test_a_simulator_that_does_not_run_has_no_url() -> None:
    simulator = Simulator()
    assert "not running" in repr(simulator)
    with pytest.raises(RuntimeError, match="start it"):
        _ = simulator.url


def test_it_runs_once_at_a_time_and_can_be_started_again() -> None:
    simulator = Simulator()
    with simulator:
        client = Client(simulator)
        assert client.refresh().status_code == 200
        with pytest.raises(RuntimeError, match="running already"):
            simulator.start()
    with simulator:
        assert Client(simulator).refresh().status_code == 200


def test_another_process_reaches_it_by_the_environment_it_is_given(client: Client, tmp_path: Path) -> None:
    accounts_file = client.simulator.write_accounts_file(tmp_path / "accounts.json")
    environment = client.simulator.environment(accounts_file, tmp_path / "state")
    program = """
import json, os, urllib.parse, urllib.request
prefix = "LITELLM_ANTIGRAVITY_"
account = json.load(open(os.environ[prefix + "ACCOUNTS_FILE"]))["accounts"][1]
form = {"grant_type": "refresh_token", "refresh_token": account["refreshToken"],
        "client_id": os.environ[prefix + "OAUTH_CLIENT_ID"],
        "client_secret": os.environ[prefix + "OAUTH_CLIENT_SECRET"]}
data = urllib.parse.urlencode(form).encode()
token = json.load(urllib.request.urlopen(os.environ[prefix + "TOKEN_URL"], data))["access_token"]
body = {"project": account["projectId"], "model": "claude-sonnet-4-6", "userAgent": "child", "requestId": "1",
        "request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}}
request = urllib.request.Request(
    os.environ[prefix + "ENDPOINT"] + "/v1internal:generateContent", json.dumps(body).encode(),
    {"authorization": "Bearer " + token, "content-type": "application/json"})
print(json.load(urllib.request.urlopen(request))["response"]["candidates"][0]["content"]["parts"][0]["text"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"Served by {SECOND} with {CLAUDE}.", done.stderr
    assert client.simulator.log[-1].body["userAgent"] == "child"


def test_where_there_is_a_proxy_loopback_is_exempted_from_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    assert "NO_PROXY" not in client.simulator.environment(tmp_path, tmp_path)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert client.simulator.environment(tmp_path, tmp_path)["NO_PROXY"] == "127.0.0.1"
    monkeypatch.setenv("no_proxy", "intranet")
    assert client.simulator.environment(tmp_path, tmp_path)["no_proxy"] == "intranet,127.0.0.1"


# The accounts file


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_the_accounts_file_is_one_that_the_package_reads(simulator: Simulator, tmp_path: Path, version: int) -> None:
    path = simulator.write_accounts_file(tmp_path / "new" / "accounts.json", version)
    parsed = parse_document(decode_document(path.read_bytes(), path), path, time.time())
    assert parsed.version == version
    assert [(one.email, one.project) for one in parsed.accounts] == [
        (one.email, one.project) for one in simulator.accounts
    ]
    assert parsed.warnings == ()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["accounts.json"]


def test_entries_and_top_level_fields_of_the_accounts_file_can_be_chosen(simulator: Simulator, tmp_path: Path) -> None:
    path = simulator.write_accounts_file(
        tmp_path / "accounts.json",
        projects=False,
        entries={SECOND: {"enabled": False}},
        activeIndexByFamily={"claude": 2, "gemini": 1},
    )
    parsed = parse_document(decode_document(path.read_bytes(), path), path, time.time())
    assert parsed.base_index == {"claude": 2, "gemini": 1}
    assert [one.enabled for one in parsed.accounts] == [True, False, True, True]
    assert {one.project for one in parsed.accounts} == {None}
    with pytest.raises(ValueError, match="nobody@example"):
        simulator.write_accounts_file(path, entries={"nobody@example.com": {}})


# For the command line and for pytest


def test_serving_for_ever_announces_how_to_use_it_and_removes_what_it_made() -> None:
    told: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=lambda: serve_forever(accounts=2, quota=5, announce=told.append, stop=stop))
    thread.start()
    wait_until(lambda: bool(told))
    url = re.search(r"http://127\.0\.0\.1:\d+", told[0])
    assert url
    assert httpx.get(url[0], trust_env=False).status_code == 405
    accounts_file = re.search(r"ACCOUNTS_FILE='?([^'\n]+)", told[0])
    assert accounts_file
    assert len(json.loads(Path(accounts_file[1]).read_text("utf-8"))["accounts"]) == 2
    stop.set()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()
    assert not Path(accounts_file[1]).parent.exists()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT as a terminal does on Ctrl-C")
def test_ctrl_c_ends_serving_for_ever_without_a_traceback(tmp_path: Path) -> None:
    program = (
        "from litellm_antigravity.simulator import serve_forever\n"
        f"serve_forever(announce=lambda text: print('ready', flush=True), folder={str(tmp_path)!r})\n"
        "print('done')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=HANG_SECONDS)
    finally:
        child.kill()
    assert (child.returncode, out, errors) == (0, "done\n", "")


def test_the_fixture_gives_a_running_simulator_with_four_accounts(antigravity_simulator: Simulator) -> None:  # noqa: F811 - the fixture
    assert len(antigravity_simulator.accounts) == 4
    assert Client(antigravity_simulator).ask().status_code == 200


def test_loading_the_plugin_imports_no_server_and_no_litellm() -> None:
    program = (
        "import sys\n"
        "import litellm_antigravity.simulator.pytest_plugin\n"
        "print(sorted({'aiohttp', 'litellm', 'httpx', 'pydantic', 'diskcache'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
