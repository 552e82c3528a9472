"""Fixtures that every test module may use."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no download when litellm is imported

# Whatever the shell says: each worker rewrites the assertions of 500 modules, which takes 8 s if nobody keeps them.
sys.dont_write_bytecode = False

import hypothesis  # noqa: E402 - it is rewritten, too
from support import FakeClock  # noqa: E402

from litellm_antigravity.redaction import SECRETS  # noqa: E402

# The same examples in every run, in whatever order the tests come. To search further: HYPOTHESIS_PROFILE=default, or
# long (minutes per test).
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("long", max_examples=3000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


# A shell has Ctrl-C ignored in what it starts in the background, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let what the command line shows be kept as it is now; see `screens`."""
    parser.addoption(
        "--update-screens", action="store_true", help="keep what the commands show now in tests/cli/screens/"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start proxies: they take longest, and at the end nobody is to wait for one of them.

    Those that mostly wait for time limits are dealt out among the others: while one worker waits, the rest have the
    processors. Tests that leave the accounts limited which they share with others of their file come behind those.
    """
    files = list(dict.fromkeys(item.path for item in items))
    first = [file for file in files if file.parent.name == "proxy"]
    rest = [file for file in files if file.parent.name not in {"proxy", "wire"}]
    waiting = [file for file in files if file.parent.name == "wire"]
    places = {file: float(number) for number, file in enumerate([*first, *rest])}
    places |= {file: len(first) + len(rest) * number / len(waiting) - 0.5 for number, file in enumerate(waiting)}
    items.sort(key=lambda item: (places[item.path], "limited" in getattr(item, "fixturenames", ())))


def pytest_collection_finish() -> None:
    """Let no garbage collection go through LiteLLM and thousands of tests: they stay until the end."""
    gc.collect()
    gc.freeze()


class _Loggers(dict[str, Any]):
    """All loggers: pytest 9.2 goes through them around each step of a test, while threads of the code make new ones."""

    def values(self) -> Any:
        return self.copy().values()


logging.root.manager.loggerDict = _Loggers(logging.root.manager.loggerDict)

LOGS = {"": logging.WARNING, "litellm_antigravity": logging.NOTSET, "LiteLLM": logging.WARNING}
CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)


@pytest.fixture(scope="session", autouse=True)
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have all clients read one root certificate: reading all of them takes each client 30 ms, and nobody needs any."""
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    [*_, last] = CERTIFICATE.findall(Path(certifi.where()).read_bytes())
    file.write_bytes(last)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        patch.setattr("certifi.where", lambda: str(file))  # for those of httpx that are to ignore the environment
        yield


def _use_home(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("LITELLM_ANTIGRAVITY_", "OPENCODE_")):
            patch.delenv(name)
    patch.delenv("COLUMNS", raising=False)  # of whoever runs the tests; tables are as wide as in a pipe
    patch.setenv("HOME", str(home))
    patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    patch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
    patch.setenv("OPENCODE_CONFIG_DIR", str(home / ".config" / "opencode"))


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the developer's own settings, accounts and state out of what outlives a test: the fork server."""
    with pytest.MonkeyPatch.context() as patch:
        _use_home(patch, tmp_path_factory.mktemp("nobodys-home"))
        yield


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return folders that nobody has had; `mktemp` takes ten times as long, and each test needs one."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_home(_nobodys_home: None, _homes: Iterator[Path]) -> Iterator[None]:
    """Give each test a home folder of its own, with nothing in it."""
    home = next(_homes)
    home.mkdir(0o700)
    with pytest.MonkeyPatch.context() as patch:
        _use_home(patch, home)
        yield


@pytest.fixture(autouse=True)
def _own_secrets() -> None:
    """Let each test begin without other tests' secrets, some of which are ordinary words."""
    SECRETS.clear()


@pytest.fixture(autouse=True)
def _nobody_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test see the warnings that are given once per process."""
    monkeypatch.setattr("litellm_antigravity.logs._told", set())


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin without other tests' listeners."""
    monkeypatch.setattr("litellm_antigravity.events._listeners", ())


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Let each test begin with logs as a new process has them, whatever an earlier one asked to see."""
    for name, level in LOGS.items():
        logging.getLogger(name).setLevel(level)
    ours = logging.getLogger("litellm_antigravity")
    before = list(ours.handlers)
    yield
    ours.handlers[:] = before


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
