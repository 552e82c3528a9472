"""No token, client secret or e-mail address in any output: every error path at DEBUG, with canaries, and a search."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from error_paths import (
    COMMAND_ARGUMENT,
    EMAILS,
    FAULTS,
    PLANTED,
    PRINTED_TOKEN,
    PROXY_PASSWORD,
    REFRESH_TOKENS,
    STATIC_TOKEN,
    USER_FILE_SECRET,
    USER_FILE_TOKEN,
    WRONG_SECRET,
    Harvest,
    walk_every_error_path,
)
from leaks import Searcher
from processes import together

# In the test process


@dataclass
class Evidence:
    """What the run left, and how to search it."""

    folder: Path
    harvest: Harvest
    output: str
    everything: Searcher
    """Secrets, access tokens and e-mail addresses."""
    tokens: Searcher
    """Secrets and access tokens: for the command line, which shows e-mail addresses."""
    unwritten: Searcher
    """What no state file holds: secrets and e-mail addresses."""


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("run")
    [harvest] = together(walk_every_error_path, [(str(folder),)])
    secrets = {
        **harvest.secrets,
        PROXY_PASSWORD: "proxy password",
        WRONG_SECRET: "wrong client secret",
        STATIC_TOKEN: "static token",
        COMMAND_ARGUMENT: "command's argument",
        USER_FILE_TOKEN: "refresh token in a user file",
        USER_FILE_SECRET: "client secret in a user file",
    }
    access = {**harvest.access, PRINTED_TOKEN: "command's token"}
    emails = {email.partition("@")[0]: f"e-mail of {email}" for email in EMAILS}
    return Evidence(
        folder,
        harvest,
        (folder / "output").read_text("utf-8", "replace"),
        everything=Searcher({**secrets, **access, **emails}),
        tokens=Searcher({**secrets, **access}),
        unwritten=Searcher({**secrets, **emails}),
    )


def none(leaks: list[str]) -> bool:
    """Return whether there are no leaks; fail with the first few if there are."""
    assert not leaks, f"{len(leaks)} leak(s):\n" + "\n".join(leaks[:10])
    return True


# That the search would find something


@pytest.mark.parametrize(
    "hide",
    [
        str,
        lambda secret: secret[3:15],
        lambda secret: quote(secret, safe=""),
        lambda secret: secret.encode().hex(),
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(b"Authorization: " + secret.encode() + b"\r\n").decode(),
        lambda secret: base64.urlsafe_b64encode(b"ab" + secret.encode()).decode(),
        lambda secret: base64.b64encode(b"a" + secret.encode() + b"!").decode(),
        lambda secret: json.dumps({"token": secret}),
        lambda secret: repr(pickle.dumps(ValueError(secret))),
    ],
)
@pytest.mark.parametrize("secret", [REFRESH_TOKENS[EMAILS[0]], WRONG_SECRET])
def test_the_search_finds_a_secret_however_it_is_written(hide: Callable[[str], str], secret: str) -> None:
    searcher = Searcher({secret: "the canary"})
    [found] = searcher.leaks([f"nothing here\nsome {hide(secret)} text\nnothing there"])
    assert found.startswith("the canary in: ")


def test_the_search_finds_nothing_where_nothing_is() -> None:
    searcher = Searcher({REFRESH_TOKENS[EMAILS[0]]: "the canary", EMAILS[0].partition("@")[0]: "another"})
    assert searcher.leaks(["1//0gQuAiLr is too short, and qu***t@example.com is masked"]) == []


def test_what_is_said_on_any_channel_is_captured(evidence: Evidence) -> None:
    found = Searcher({PLANTED: "planted"}).leaks([evidence.output])
    for number in range(1, 6):
        assert any(f"planted {number}: " in line for line in found)


def test_everybody_logged_at_debug(evidence: Evidence) -> None:
    for sign in (
        "[accounts] ",  # ours
        "HTTP Request: POST http://127.0.0.1",  # httpx
        "send_request_headers.started",  # httpcore
        "LiteLLM:DEBUG",
        "Request to litellm:",
    ):
        assert sign in evidence.output, sign
    for email in EMAILS:
        local, _, domain = email.partition("@")
        assert f"{local[:2]}***{local[-1]}@{domain}" in evidence.output


def test_every_error_path_was_walked(evidence: Evidence) -> None:
    outcomes = evidence.harvest.outcomes
    for kind, expected in FAULTS.items():
        reached = {outcome for name, outcome in outcomes.items() if name.startswith(f"refused: {kind} (")}
        assert reached, kind
        assert reached <= expected, kind
    served = {name.rpartition(" (")[0] for name, outcome in outcomes.items() if outcome == "served"}
    assert served == {
        "one revoked",
        "rotated",
        "rotated again",
        "rotated, not saved",
        "served",
        "expired",
        "no state folder",
        "no state folder, revoked",
        "state in order",
        "state broken",
        *(f"accounts file: {name}" for name in ENTRIES_PASSED_OVER),
    }
    assert set(REFRESH_TOKENS.values()) <= set(evidence.harvest.secrets)
    assert len(evidence.harvest.access) > 100
    assert len(outcomes) > 100


ENTRIES_PASSED_OVER = (
    "token with blanks",
    "list of tokens",
    "two credentials",
    "command in one string",
    "token for an e-mail",
    "token for a switch",
    "token for a project",
    "no account",
)


# That there is nothing to find


def test_no_secret_is_printed_or_logged(evidence: Evidence) -> None:
    assert none(evidence.everything.leaks([evidence.output]))


def test_no_secret_is_in_an_exception_a_response_or_a_repr(evidence: Evidence) -> None:
    texts = [f"{name}: {line}" for name, many in evidence.harvest.texts.items() for t in many for line in t.split("\n")]
    assert len(texts) > 1000
    assert none(evidence.everything.leaks(texts))


def test_no_secret_is_in_a_pickled_exception(evidence: Evidence) -> None:
    assert len(evidence.harvest.pickles) > 50
    assert none(evidence.everything.leaks([one.decode("latin-1") for one in evidence.harvest.pickles]))


def test_the_command_line_shows_addresses_but_no_token(evidence: Evidence) -> None:
    shown = evidence.harvest.command_line
    assert set(shown) == {
        "auth list",
        "status",
        "status --json",
        "auth list (broken file)",
        "status (broken file)",
        "status (broken setting)",
    }
    assert EMAILS[0] in shown["auth list"]
    assert EMAILS[0] in shown["status --json"]
    assert "Error" in shown["status (broken file)"]
    assert none(evidence.tokens.leaks(shown.values()))


def rows_of(database: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return [(str(key), str(value)) for key, value in connection.execute("SELECT key, value FROM Cache")]


def test_of_all_rows_only_token_rows_hold_a_token_and_that_is_an_access_token(evidence: Evidence) -> None:
    issued = {*evidence.harvest.access, PRINTED_TOKEN}
    texts, tokens, broken = [], 0, 0
    for database in (evidence.folder / "states").rglob("cache.db"):
        try:
            rows = rows_of(database)
        except sqlite3.DatabaseError:
            broken += 1  # by `failing_state`
            continue
        for key, value in rows:
            if key.startswith("token/"):
                fields = json.loads(value)
                assert fields.pop("token") in issued
                tokens += 1
                value = json.dumps(fields)  # noqa: PLW2901 - what is left to be searched
            texts.append(f"{key}: {value}")
    assert broken <= 1
    assert tokens > 50
    assert len(texts) > 300
    assert none(evidence.everything.leaks(texts))


def test_no_state_file_holds_a_refresh_token_a_client_secret_or_an_address(evidence: Evidence) -> None:
    files = [path for path in (evidence.folder / "states").rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        text = path.read_bytes().decode("latin-1")
        assert none(evidence.unwritten.leaks([path.name, text])), path
        if not path.name.startswith("cache.db"):  # a database may keep a token row that was deleted
            assert none(evidence.everything.leaks([text])), path
