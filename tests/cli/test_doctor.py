"""``doctor`` finds what keeps requests from being served, and says what helps."""

from __future__ import annotations

import email.utils
import http.server
import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import ROOT, Child, free_port

from litellm_antigravity.cli import cli, doctor_run
from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.lock_probe import problem_with_locks

pytestmark = pytest.mark.once  # what it says of LiteLLM: test_doctor_litellm

CANARY = "hush-hush-0123456789"


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *args], prog_name="litellm-antigravity")


def found(*args: str) -> dict[str, list[dict[str, Any]]]:
    """Return the findings by check."""
    report = json.loads(run("--json", *args).stdout)
    checks: dict[str, list[dict[str, Any]]] = {}
    for one in report["checks"]:
        checks.setdefault(one["check"], []).append(one)
    return checks


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave LiteLLM out of the whole, which takes seconds to import; the tests about it ask for its part alone."""
    monkeypatch.setattr(doctor_run, "check_litellm", lambda: [Finding("LiteLLM", "ok", "Left out.")])


@pytest.fixture
def healthy(antigravity_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Settings that work, with the simulator as Google."""
    accounts_file = antigravity_simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
    for name, value in antigravity_simulator.environment(accounts_file, tmp_path / "state").items():
        monkeypatch.setenv(name, value)
    return antigravity_simulator


def states(checks: dict[str, list[dict[str, Any]]], check: str) -> list[str]:
    return [one["state"] for one in checks[check]]


# Nothing wrong


def test_where_nothing_is_wrong_it_says_so_and_ends_with_0(healthy: Simulator, tmp_path: Path) -> None:
    result = run("--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["ok"] is True
    assert {one["check"] for one in report["checks"]} == {
        *("settings", "accounts file", "OAuth client", "endpoint", "token endpoint", "clock"),
        *("state folder", "file system", "locks", "workers", "LiteLLM"),
    }
    assert len(report["settings"]) > 20
    assert {"name", "value", "source"} == set(report["settings"][0])
    assert [one.email for one in healthy.log] == [None, None]  # it asks both endpoints, as nobody
    assert not (tmp_path / "state").exists()  # and makes nothing


def test_a_newcomer_in_an_empty_home_is_told_what_to_do_first() -> None:
    result = run("--offline")
    assert result.exit_code == 1
    flat = " ".join(result.stdout.split())
    assert "There is no accounts file at" in flat
    assert "auth login" in flat
    assert "will be made by the first request" in flat
    assert "skipped network" in flat
    assert "1 failed" in flat


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.usefixtures("healthy")
def test_lines_are_no_wider_than_the_terminal_and_words_stay_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STRATEGY", "sticky")
    lines = run("--offline").stdout.splitlines()
    assert all(len(line) <= columns or len(line.split()) == 1 for line in lines)  # a path may be longer
    assert any("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY" in line for line in lines)


@pytest.mark.usefixtures("healthy")
def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET", CANARY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{CANARY}@127.0.0.1:{free_port()}")
    for args in ([], ["--json"], ["--offline"]):
        assert CANARY not in run(*args).output


# Settings


@pytest.mark.usefixtures("healthy")
def test_a_wrong_variable_name_fails_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: a warning that suggested LITELLM_ANTIGRAVITY_STATE_DIR."""
    for variable in ("LITELLM_ANTIGRAVITY_STRATEGY", "ANTIGRAVITY_OFFSET_SOURCE", "LITELLM_ANTIGRAVITY_XYZZY"):
        monkeypatch.setenv(variable, "sticky")
    monkeypatch.setenv("OPENCODE_ANTIGRAVITY_QUIET", "1")  # the plugin's own
    result = run("--json", "--offline")
    assert result.exit_code == 1
    said = {
        one["says"].split()[3]: one["remedy"]
        for one in json.loads(result.stdout)["checks"]
        if "sets nothing" in one["says"]
    }
    assert said == {
        "LITELLM_ANTIGRAVITY_STRATEGY": "Did you mean LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY?",
        "ANTIGRAVITY_OFFSET_SOURCE": "Did you mean LITELLM_ANTIGRAVITY_OFFSET_SOURCE?",
        "LITELLM_ANTIGRAVITY_XYZZY": "`litellm-antigravity config show` lists the settings.",
    }
    assert result.stderr == ""  # what is told as a finding is not warned of as well


@pytest.mark.usefixtures("healthy")
def test_a_misspelt_key_in_a_settings_file_is_found_and_keys_of_others_are_not() -> None:
    """Before: it was ignored without a word, since other tools share the file."""
    file = Path(os.environ["OPENCODE_CONFIG_DIR"]) / "antigravity.json"
    file.parent.mkdir(parents=True)
    written = {"pid_offset_enabeld": True, "quiet_mode": True, "signature_cache": {"enabled": True}, "log_dir": "/x"}
    file.write_text(json.dumps({**written, "health_score": {"min_useable": 3}}))
    failed = [one for one in found("--offline")["settings"] if one["state"] == "failed"]
    assert [(one["says"].split(": ")[1], one["remedy"]) for one in failed] == [
        ("'pid_offset_enabeld' sets nothing.", "Did you mean 'pid_offset_enabled'?"),
        ("'health_score.min_useable' sets nothing.", "Did you mean 'health_score.min_usable'?"),
    ]


@pytest.mark.parametrize(
    ("settings", "accounts", "words"),
    [
        ({"account_selection_strategy": "round-robin", "pid_offset_enabled": "true"}, 4, "nothing with round-robin"),
        ({"account_selection_strategy": "sticky", "pid_offset_enabled": "true"}, 1, "nothing with one account"),
        ({"pid_offset_enabled": "true"}, 4, "acts with hybrid only when"),
        ({"offset_source": "slot"}, 4, "nothing while pid_offset_enabled is false"),
        ({"sticky_wait_seconds": "3", "sticky_scope": "process"}, 4, "nothing with hybrid where"),
        ({"sticky_wait_seconds": "3", "account_selection_strategy": "round-robin"}, 4, "nothing with round-robin."),
        ({"sticky_scope": "auto", "account_selection_strategy": "round-robin"}, 4, "keeps no account"),
        ({"account_selection_strategy": "sticky", "health_score__min_usable": "3"}, 4, "only hybrid chooses by it"),
    ],
)
def test_settings_that_contradict_each_other_are_told(
    settings: dict[str, str], accounts: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"LITELLM_ANTIGRAVITY_{name.upper()}", value)
    with Simulator(accounts) as simulator:
        path = simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_ACCOUNTS_FILE", str(path))
    told = [one for one in found("--offline")["settings"] if words in one["says"]]
    assert [one["state"] for one in told] == ["warning"]
    assert told[0]["remedy"]


@pytest.mark.usefixtures("healthy")
def test_the_settings_of_a_proxy_are_looked_at_when_it_is_named(tmp_path: Path) -> None:
    config = tmp_path / "proxy.yaml"
    config.write_text("antigravity_settings: {account_selection_strategy: round-robin, pid_offset_enabled: true}\n")
    first, *others = found("--offline", "--config", str(config))["settings"]
    assert f"antigravity_settings in {config}" in first["says"]
    assert any("nothing with round-robin" in one["says"] for one in others)


def test_settings_that_cannot_be_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", "stickey")
    result = run("--json")
    assert result.exit_code == 1
    first = json.loads(result.stdout)["checks"][0]
    assert (first["state"], "Did you mean 'sticky'?" in first["says"]) == ("failed", True)


@pytest.mark.usefixtures("healthy")
def test_a_proxy_file_that_does_not_load_the_package_is_found(tmp_path: Path) -> None:
    config = tmp_path / "proxy.yaml"
    models = "model_list: [{model_name: a, litellm_params: {model: MODEL}}]\n"
    config.write_text(models.replace("MODEL", "antigravity/claude-sonnet-4-6"))
    said = [(one["state"], one["says"]) for one in found("--offline", "--config", str(config))["proxy file"]]
    assert said == [
        ("failed", "Nothing serves its antigravity/... models."),
        ("failed", "The hook is not loaded: accounts in model_info choose nothing."),
    ]
    config.write_text(models.replace("MODEL", "antigravity-claude-sonnet-4-6") + "litellm_settings: {callbacks: x.y}")
    first, second = found("--offline", "--config", str(config))["proxy file"]
    assert "Write a list" in first["remedy"]
    assert second["remedy"] == "Write antigravity/claude-sonnet-4-6."


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("example", sorted((ROOT / "config_examples").glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_for_proxies_are_as_they_should_be(example: Path) -> None:
    checks = found("--offline", "--config", str(example))
    assert states(checks, "proxy file") == ["ok"]
    assert all("does nothing" not in one["says"] for one in checks["settings"])


# Accounts and client


@pytest.mark.usefixtures("healthy")
def test_accounts_without_a_client_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID")
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET")
    [client] = found("--offline")["OAuth client"]
    assert client["state"] == "failed"
    assert "need an OAuth client" in client["says"]


@pytest.mark.usefixtures("healthy")
def test_a_broken_entry_of_the_accounts_file_is_told() -> None:
    path = Path(os.environ["LITELLM_ANTIGRAVITY_ACCOUNTS_FILE"])
    document = json.loads(path.read_text())
    document["accounts"][0].pop("refreshToken")
    path.write_text(json.dumps(document))
    assert states(found("--offline"), "accounts file") == ["ok", "warning"]


# Network and clock


class _Answers(http.server.BaseHTTPRequestHandler):
    off = 0.0

    def do_GET(self) -> None:
        self.send_response_only(404)
        self.send_header("Date", email.utils.formatdate(email.utils.mktime_tz(_now()) + self.off, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _now() -> Any:
    return email.utils.parsedate_tz(email.utils.formatdate(usegmt=True))


@pytest.fixture
def elsewhere(healthy: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Answers]]:
    """A token endpoint with a clock of its own; the rest is `healthy`."""
    assert healthy.url

    class Answers(_Answers):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_TOKEN_URL", f"http://127.0.0.1:{server.server_port}/token")
    yield Answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("off", "state", "words"),
    [
        (0, "ok", "agrees"),
        (-120, "warning", "ahead of"),
        (120, "warning", "behind"),
        (4000, "failed", "1h6m40s behind"),
    ],
)
def test_the_clock_is_compared_with_the_token_endpoints(
    off: float, state: str, words: str, elsewhere: type[_Answers]
) -> None:
    elsewhere.off = off + (0.0 if abs(off) < 4000 else 0.5)
    [clock] = found()["clock"]
    assert clock["state"] == state
    assert words.rsplit(maxsplit=1)[-1] in clock["says"]


@pytest.mark.usefixtures("healthy")
def test_an_endpoint_that_cannot_be_reached_fails_with_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    checks = found()
    assert states(checks, "endpoint") == ["failed"]
    assert "HTTPS_PROXY" in checks["endpoint"][0]["remedy"]
    assert states(checks, "token endpoint") == ["ok"]


# The state folder


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@pytest.mark.usefixtures("healthy")
def test_a_state_folder_that_is_odd_fails_with_what_helps(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.symlink_to(tmp_path)
    assert "is a symbolic link" in found("--offline")["state folder"][0]["says"]
    state.unlink()
    state.write_text("no folder")
    [odd] = found("--offline")["state folder"]
    assert odd["state"] == "failed"
    assert "is not a folder" in odd["says"]
    assert "state_dir" in odd["remedy"]
    state.unlink()
    state.mkdir(mode=0o755)
    state.chmod(0o755)
    assert found("--offline")["state folder"][0]["state"] == "warning"
    assert stat.S_IMODE(state.stat().st_mode) == 0o755  # it looks, and leaves it as it is


@pytest.mark.skipif(sys.platform != "linux", reason="the mount table of Linux")
@pytest.mark.usefixtures("healthy")
def test_a_network_file_system_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"36 35 98:0 / / rw - ext4 /dev/sda rw\n37 36 0:40 / {tmp_path} rw - nfs4 server:/home rw\n")
    monkeypatch.setattr("litellm_antigravity.state.file_systems._MOUNT_TABLE", table)
    [system] = found("--offline")["file system"]
    assert system["state"] == "failed"
    assert "nfs4" in system["says"]
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_DIR_ON_NETWORK", "true")
    assert found("--offline")["file system"][0]["state"] == "warning"


def test_a_lock_that_does_not_keep_processes_apart_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem_with_locks(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    # As on a file system that takes locks without keeping them: the other process locks another file.
    monkeypatch.setattr(
        "litellm_antigravity.state.lock_probe._command",
        lambda file, what: [sys.executable, "-m", "litellm_antigravity.state.lock_probe", f"{file}-2", what],
    )
    assert problem_with_locks(tmp_path) == "two processes can hold one lock at the same time"


WORKER = """
    import sys
    from litellm_antigravity import Settings
    from litellm_antigravity.pool import AccountPool
    from support import ready

    pool = AccountPool(Settings(account_selection_strategy=sys.argv[1]))
    pool.acquire("claude-sonnet-4-6")
    ready()
"""


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize("backend", ["diskcache", "sqlite"])
def test_the_processes_that_share_the_state_are_counted_and_compared(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_BACKEND", backend)
    with Child(WORKER, "sticky") as one, Child(WORKER, "sticky") as two:
        one.wait_ready()
        two.wait_ready()
        [workers] = found("--offline")["workers"]
        assert workers["state"] == "ok"
        assert workers["says"].startswith("2 process(es) share it: ")
        assert str(one.pid) in workers["says"]
        with Child(WORKER, "hybrid") as three:
            three.wait_ready()
            [workers] = found("--offline")["workers"]
            assert workers["state"] == "warning"
            assert "different strategies" in workers["remedy"]
    assert found("--offline")["workers"][0]["says"] == "No process is at work."
