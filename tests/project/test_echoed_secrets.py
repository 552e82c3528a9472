"""An upstream, and a token endpoint, that repeat the secrets they were sent: nothing of ours keeps or shows them.

The code of before hid what looks like Google's tokens; these look like nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import pickle
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote

import litellm
import pytest
from click.testing import CliRunner
from leaks import Searcher
from serving import MESSAGES, MODEL

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.cli import cli

REFRESH = "opaqueRefreshZmXnCbVqWe/RtYuIoPaSdFgHjKl"
ACCESS = "opaqueAccess9sJd7fKq2LmPzXc4Vb6Nn~Third"
CLIENT_SECRET = "opaqueClientSecretQwErTy123"
ONE_TIME = "plt=AKgnsbOneTimeTokenOfThePage"
VALIDATION_URL = f"https://accounts.google.com/signin/continue?{ONE_TIME}&scc=1"
SECRETS = {REFRESH: "refresh token", ACCESS: "access token", CLIENT_SECRET: "client secret"}

Reply: TypeAlias = "tuple[int, str, bytes]"


class Parrot:
    """An upstream and a token endpoint in one, on loopback.

    Attributes:
        token: what the token endpoint answers, given the form.
        model: what the model answers, given the bearer token.
    """

    def __init__(self) -> None:
        self.token: Callable[[dict[str, str]], Reply] = lambda _: as_json(200, {"access_token": ACCESS})
        self.model: Callable[[str], Reply] = lambda _: as_json(500, {})
        parrot = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.path == "/token":
                    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                    status, kind, content = parrot.token(form)
                else:
                    status, kind, content = parrot.model(self.headers["authorization"].removeprefix("Bearer "))
                if status == 0:
                    self.wfile.write(content)  # what is no HTTP
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def as_json(status: int, document: object) -> Reply:
    return status, "application/json", json.dumps(document).encode()


@pytest.fixture
def parrot(tmp_path: Path) -> Iterator[Parrot]:
    started = Parrot()
    accounts_file = tmp_path / "antigravity-accounts.json"
    accounts_file.touch(0o600)
    entry = {"email": "user1@example.com", "refreshToken": REFRESH, "projectId": "project-1"}
    accounts_file.write_text(json.dumps({"version": 4, "accounts": [entry]}))
    litellm_antigravity.register(Settings(**fields(started, tmp_path)))
    yield started
    started.close()


def fields(parrot: Parrot, folder: Path) -> dict[str, Any]:
    return {
        "accounts_file": str(folder / "antigravity-accounts.json"),
        "state_dir": str(folder / "state"),
        "endpoint": parrot.url,
        "token_url": f"{parrot.url}/token",
        "oauth_client_id": "somebody",
        "oauth_client_secret": CLIENT_SECRET,
        "max_rate_limit_wait_seconds": 0,
        "debug": True,
    }


def complete(**params: Any) -> object:
    return litellm.completion(model=MODEL, messages=MESSAGES, **params)


def astream(**params: Any) -> object:
    async def ask() -> object:
        return [c async for c in await litellm.acompletion(model=MODEL, messages=MESSAGES, stream=True, **params)]

    return asyncio.run(ask())


both_doors = pytest.mark.parametrize("door", [complete, astream])


def failure(door: Callable[..., object], **params: Any) -> Exception:
    try:
        door(**params)
    except Exception as error:  # noqa: BLE001 - it is what this is about
        return error
    raise AssertionError


def outputs(error: Exception, folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return all that somebody could read: exceptions in every form, what was logged, and the shared state."""
    texts = ["".join(traceback.format_exception(error)), caplog.text, *(repr(one.args) for one in caplog.records)]
    chain: list[BaseException] = [error]
    for one in chain:
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), getattr(one, "message", "")]
        with contextlib.suppress(Exception):  # not every exception of LiteLLM can be pickled
            texts.append(pickle.dumps(one).decode("latin-1"))
        chain += [other for other in (one.__cause__, one.__context__) if other is not None and other not in chain]
    with contextlib.closing(sqlite3.connect(folder / "state" / "cache.db")) as connection:
        rows = connection.execute("SELECT key, value FROM Cache").fetchall()
    texts += [f"{key}: {value}" for key, value in rows if not str(key).startswith("token/")]
    return texts


def command(parrot: Parrot, folder: Path, *args: str) -> str:
    env = {f"LITELLM_ANTIGRAVITY_{name.upper()}": str(value) for name, value in fields(parrot, folder).items()}
    return CliRunner().invoke(cli, list(args), env=env, prog_name="litellm-antigravity").output


def no_leaks(texts: list[str]) -> bool:
    found = Searcher(SECRETS).leaks(texts)
    assert not found, "\n".join(found[:5])
    return True


# The token endpoint


TOKEN_ERRORS: dict[str, Callable[[dict[str, str]], Reply]] = {
    "as the code": lambda form: as_json(400, {"error": form["refresh_token"]}),
    "escaped, as the code": lambda form: as_json(400, {"error": quote(form["refresh_token"], safe="")}),
    "as the description": lambda form: as_json(400, {"error": "odd", "error_description": form["refresh_token"]}),
    "as Google's status": lambda form: as_json(403, {"error": {"status": form["client_secret"], "code": 403}}),
    "in a page": lambda form: (502, "text/html", f"<title>{form['refresh_token']}</title>".encode()),
    "as a content type": lambda form: (502, form["refresh_token"].replace("/", "+"), b"no"),
}


@both_doors
@pytest.mark.parametrize("name", TOKEN_ERRORS)
def test_a_token_endpoint_that_repeats_a_secret_has_it_neither_shown_nor_kept(
    name: str, door: Any, parrot: Parrot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before: as the code it stood in the exception, in `models` and in a note of the shared state."""
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    parrot.token = TOKEN_ERRORS[name]
    texts = outputs(failure(door), tmp_path, caplog)
    assert any("token endpoint" in text for text in texts)
    assert no_leaks([*texts, command(parrot, tmp_path, "models", "--json")])


# The model


def error(status: int, message: str, **more: object) -> Reply:
    return as_json(status, {"error": {"code": status, "message": message, "status": "ODD", **more}})


MODEL_ERRORS: dict[str, Callable[[str], Reply]] = {
    "a bad request": lambda token: error(400, f"Not with {token}."),
    "a refused token": lambda token: error(401, f"{token} is not valid"),
    "a quota": lambda token: error(429, f"Quota of {quote(token)} reached, reset after 1h", details=[]),
    "no such model": lambda token: error(404, f"no model for {base64.b64encode(token.encode()).decode()}"),
    "a ban": lambda token: error(403, f"{token} is out", details=[{"reason": "TOS_VIOLATION"}]),
    "a reason": lambda token: error(403, "no", details=[{"reason": token, "metadata": {"model": token}}]),
    "a page": lambda token: (503, "text/html", f"<html><title>Sent: Bearer {token}</title></html>".encode()),
    "text": lambda token: (500, "text/plain", f"{'x ' * 99}{token}".encode()),
    "a long message": lambda token: error(400, f"{'word ' * 198}{token}"),
    "a message of blanks": lambda token: error(400, f"{' ' * 31_980}{token}"),
    "no HTTP": lambda token: (0, "", f"WHAT {token}\r\n\r\n".encode()),
    "a page to open": lambda token: error(
        403,
        "Verify your account",
        details=[
            {"reason": "VALIDATION_REQUIRED", "metadata": {"validation_url": f"https://x.example.com/?t={token}"}}
        ],
    ),
}


@both_doors
@pytest.mark.parametrize("name", MODEL_ERRORS)
def test_an_upstream_that_repeats_the_token_has_it_neither_shown_nor_kept(
    name: str, door: Any, parrot: Parrot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before: it stood in exceptions, in their pickles, in the decision log and in cooldown rows."""
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    parrot.model = MODEL_ERRORS[name]
    texts = outputs(failure(door), tmp_path, caplog)
    assert no_leaks([*texts, command(parrot, tmp_path, "status", "--json")])


@both_doors
def test_the_last_token_is_hidden_when_upstream_repeats_it_after_it_was_replaced(
    door: Any, parrot: Parrot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    issued = iter([ACCESS, "another-token-altogether-0123456789"])
    parrot.token = lambda _: as_json(200, {"access_token": next(issued)})
    parrot.model = lambda token: error(401 if token == ACCESS else 400, f"{ACCESS}, then {token}")
    texts = outputs(failure(door), tmp_path, caplog)
    assert any("[hidden], then [hidden]" in text for text in texts)
    assert no_leaks(texts)
    assert Searcher({"another-token-altogether-0123456789": "the second token"}).leaks(texts) == []


# The page that the accounts' owner has to open


@both_doors
@pytest.mark.parametrize(
    ("reason", "field"), [("VALIDATION_REQUIRED", "validation_url"), ("TOS_VIOLATION", "appeal_url")]
)
@pytest.mark.parametrize("message", ["Verify your account.", f"Open {VALIDATION_URL} and sign in."])
def test_the_page_to_open_is_shown_to_the_operator_only(
    message: str,
    reason: str,
    field: str,
    door: Any,
    parrot: Parrot,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever has it acts for the account. Before: it stood in the caller's error, and in the `repr` of refusals."""
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    details = [{"reason": reason, "metadata": {field: VALIDATION_URL}}]
    parrot.model = lambda _: error(403, message, details=details)
    raised = failure(door)
    said = raised.__context__  # it is raised in place of ours
    refusal = getattr(said, "refusal", None)
    shown = [str(raised), repr(raised), repr(vars(raised)), repr(said), repr(refusal), caplog.text]
    shown += [repr(vars(said)), "".join(traceback.format_exception(raised))]
    cooldowns = litellm_antigravity.handler.dispatcher.pool.store.refresh().cooldowns
    shown.append(repr(cooldowns))
    assert "user1" not in repr(cooldowns)
    assert not [text for text in shown if "OneTime" in text]
    assert VALIDATION_URL in command(parrot, tmp_path, "status").replace("\n", "")
    assert VALIDATION_URL in command(parrot, tmp_path, "status", "--json")
