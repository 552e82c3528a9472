"""Every error path, walked in a process of its own at DEBUG, with canaries; and all that it left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support import free_port

MODEL = "antigravity/claude-sonnet-4-6"
MESSAGES = [{"role": "user", "content": "Hello"}]

EMAILS = [f"quailfeather.{word}@example.com" for word in ("first", "second", "third")]
REFRESH_TOKENS = {
    EMAILS[0]: "1//0gQuAiLrEfReShKxWvBnMzLpQ-first_RtYuIo",  # as Google's look
    EMAILS[1]: "plainZmXnCbVqWeRtYuIoPaSdFgHjKl-second",  # as nothing that a pattern would know
    EMAILS[2]: "another8sJd7fKq2LmPzXc4Vb6Nn-third~token",
}
PROXY_PASSWORD = "proxyPaSsWoRdQwErTy123"
WRONG_SECRET = "GOCSPX" + "-wrongSeCrEtAsDfGh456"
STATIC_TOKEN = "ya29" + ".staticToKeNzXcVbNm789LkJhGf"
PRINTED_TOKEN = "printedToKeNpOiUyTrEwQ321MnBvCx"
COMMAND_ARGUMENT = "--password=argumentSeCrEtHgFdSa654"
USER_FILE_TOKEN = "1//userFileToKeNlKjHgFdSaPoIuYt"
USER_FILE_SECRET = "userFileSeCrEtMnBvCxZlKjHg987"
PLANTED = "plantedCaNaRyQaZwSxEdCrFv"

FAULTS: dict[str, set[str]] = {  # what every account refuses with, and what the caller gets
    "quota": {"RateLimitError"},
    "rate": {"RateLimitError"},
    "refused-request": {"RateLimitError"},
    "capacity": {"ServiceUnavailableError"},
    "server-error": {"InternalServerError"},
    "unauthorized": {"AuthenticationError", "RateLimitError"},
    "verification": {"PermissionDeniedError", "AuthenticationError"},
    "banned": {"PermissionDeniedError"},
    "banned-old-text": {"PermissionDeniedError"},
    "not-available": {"NotFoundError"},
    "bad-request": {"BadRequestError"},
    "html": {"InternalServerError"},
    "html-error": {"InternalServerError"},
    "empty-candidates": {"InternalServerError"},
    "version-unsupported": {"InternalServerError", "PermissionDeniedError", "BadRequestError"},
    "hang": {"Timeout"},
    "drop": {"InternalServerError"},
    "truncated-stream": {"InternalServerError", "MidStreamFallbackError"},
    "mid-stream-error": {"InternalServerError", "MidStreamFallbackError"},
}
TOKEN_FAULTS = ("quota", "server-error", "unauthorized", "not-available", "bad-request", "html", "html-error", "drop")


@dataclass
class Harvest:
    """What a run leaves that somebody could read.

    Attributes:
        secrets: never to be seen, each with its name.
        access: access tokens, each with its name; they may stand in token rows, and nowhere else.
        outcomes: by scenario, the exception's name or ``served``.
        texts: by scenario, exceptions and responses in every form.
        pickles: exceptions, as another process would get them.
        command_line: by command, what it printed.
    """

    secrets: dict[str, str] = field(default_factory=dict)
    access: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    pickles: list[bytes] = field(default_factory=list)
    command_line: dict[str, str] = field(default_factory=dict)


# In the child process


class Run:
    """Walks every error path in this process, which is one of its own, and notes what can be seen of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.harvest = Harvest()
        self.number = 0
        self.simulator: Any = None

    def note(self, name: str, outcome: object) -> None:
        """Note what a scenario gave: a response, or the exception with all that hangs on it."""
        texts = self.harvest.texts.setdefault(name, [])
        if not isinstance(outcome, BaseException):
            self.harvest.outcomes[name] = "served"
            texts += [repr(outcome), str(outcome)]
            return
        self.harvest.outcomes[name] = type(outcome).__name__
        texts.append("".join(traceback.format_exception(outcome)))
        chain: list[BaseException] = [outcome]
        for error in chain:
            texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
            texts += [repr(vars(value)) for value in vars(error).values() if hasattr(value, "__dict__")]
            with contextlib.suppress(Exception):  # not every exception of LiteLLM can be pickled
                self.harvest.pickles.append(pickle.dumps(error))
            chain += [one for one in (error.__cause__, error.__context__) if one is not None and one not in chain]

    def trying(self, name: str, what: Callable[[], object]) -> None:
        """Do something and note what came of it."""
        try:
            outcome = what()
        except Exception as error:  # noqa: BLE001 - it is what this is about
            self.note(name, error)
        else:
            self.note(name, outcome)
        self.note_secrets()

    def note_secrets(self) -> None:
        """Note what the simulator has issued; at once, for it forgets what it expires."""
        if self.simulator is not None:
            harvest, number = self.harvest, self.number
            harvest.secrets[self.simulator.client_secret] = f"client secret {number}"
            harvest.secrets |= {one.refresh_token: f"refresh token {number}" for one in self.simulator.accounts}
            # Nothing public tells them, which is as it should be.
            harvest.access |= dict.fromkeys(self.simulator._upstream.logins._tokens, f"access token {number}")

    def request(self, name: str, *, doors: str = "complete stream acomplete astream", **params: Any) -> None:
        """Make the same request through several doors."""
        for door in doors.split():
            self.trying(f"{name} ({door})", lambda door=door: DOORS[door](**params))  # type: ignore[misc]  # mypy has no type for a lambda's default

    def fields(self, simulator: Any, **more: Any) -> dict[str, Any]:
        """Return settings with accounts and a state of their own."""
        self.number += 1
        folder = self.folder / "states" / str(self.number)
        accounts_file = folder.parent.parent / "accounts" / f"{self.number}.json"
        simulator.write_accounts_file(accounts_file, projects=more.pop("projects", True))
        return {
            "accounts_file": accounts_file,
            "state_dir": folder,
            "endpoint": simulator.url,
            "token_url": simulator.token_url,
            "oauth_client_id": simulator.client_id,
            "oauth_client_secret": simulator.client_secret,
            "account_selection_strategy": "sticky",
            "debug": True,
            **more,
        }

    @contextlib.contextmanager
    def simulated(self, **more: Any) -> Iterator[Any]:
        """A simulator whose secrets are noted, and the provider pointed at it."""
        import litellm_antigravity
        from litellm_antigravity.simulator import SimulatedAccount, Simulator

        accounts = [
            SimulatedAccount(email, refresh_token=token, project=f"project-{number}")
            for number, (email, token) in enumerate(REFRESH_TOKENS.items())
        ]
        with Simulator(accounts) as simulator:
            simulator.reply_with("A reply.")  # the default one names the account, as its content
            settings = litellm_antigravity.Settings(**self.fields(simulator, **more))
            litellm_antigravity.register(settings)
            self.simulator = simulator
            try:
                yield simulator
            finally:
                pool = litellm_antigravity.handler.dispatcher.pool
                objects: list[object] = [settings, simulator, pool, pool.accounts]
                with contextlib.suppress(litellm_antigravity.AntigravityError):
                    objects += [pool.accounts.current(), pool.acquire("gemini-3-flash")]
                self.harvest.texts.setdefault("objects", []).extend(map(repr, objects))
                self.note_secrets()
                self.simulator = None


def _complete(**params: Any) -> object:
    import litellm

    return litellm.completion(model=MODEL, messages=MESSAGES, **params)


def _stream(**params: Any) -> object:
    import litellm

    return list(litellm.completion(model=MODEL, messages=MESSAGES, stream=True, **params))


def _acomplete(**params: Any) -> object:
    import litellm

    async def ask() -> object:
        return await litellm.acompletion(model=MODEL, messages=MESSAGES, **params)

    return asyncio.run(ask())


def _astream(**params: Any) -> object:
    import litellm

    async def ask() -> object:
        return [c async for c in await litellm.acompletion(model=MODEL, messages=MESSAGES, stream=True, **params)]

    return asyncio.run(ask())


DOORS: Mapping[str, Callable[..., object]] = {
    "complete": _complete,
    "stream": _stream,
    "acomplete": _acomplete,
    "astream": _astream,
}


def walk_every_error_path(folder: str) -> Harvest:
    """Run all scenarios with all output of this process, written by whomever, going to a file."""
    root = Path(folder)
    sink = os.open(root / "output", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(sink, descriptor)
    import litellm

    litellm._turn_on_debug()
    litellm.set_verbose = True
    logging.basicConfig(level=logging.DEBUG, force=True)
    for name in ("litellm_antigravity", "httpx", "httpcore", "asyncio", "aiohttp", "LiteLLM"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    run = Run(root)
    for scenario in (plant, refusals, revocations, token_endpoint, tokens_refused, clients, network, other_credentials):
        scenario(run)
    for scenario in (broken_files, broken_settings, failing_state, command_line):
        scenario(run)
    sys.stdout.flush()
    sys.stderr.flush()
    return run.harvest


def plant(_: Run) -> None:
    """Say a word on every channel that is searched, to show that it would be found."""
    logging.getLogger("litellm_antigravity").debug("planted 1: %s", PLANTED)
    logging.getLogger("httpcore.connection").debug("planted 2: %s", PLANTED)
    logging.getLogger("LiteLLM").debug("planted 3: %s", PLANTED)
    print("planted 4:", PLANTED, flush=True)  # noqa: T201 - that is what it is to be
    os.write(2, f"planted 5: {PLANTED}\n".encode())


def refusals(run: Run) -> None:
    """Every kind of refusal there is, by all accounts."""
    for kind in FAULTS:
        streams_only = kind in ("truncated-stream", "mid-stream-error")
        for doors in ("stream", "astream") if streams_only else ("complete", "astream"):
            with run.simulated(max_rate_limit_wait_seconds=0) as simulator:
                simulator.refuse(kind)
                # Below one second, so that nothing pauses; a request that hangs is to end sooner.
                limit = {"hang": {"timeout": 0.3}, "capacity": {"timeout": 0.7}}.get(kind, {})
                run.request(f"refused: {kind}", doors=doors, **limit)
    with run.simulated() as simulator:
        # Upstream, or a proxy before it, that repeats what it was sent.
        simulator.refuse("bad-request", message=f"Not for {EMAILS[0]}, nor for Bearer {REFRESH_TOKENS[EMAILS[0]]}")
        run.request("refused: repeating")
    with run.simulated(max_rate_limit_wait_seconds=0) as simulator:
        for email in EMAILS:
            simulator.drain(email, "claude")
        run.request("all limited")


def revocations(run: Run) -> None:
    """Grants that ended, of one account and of all; and refresh tokens that rotate."""
    with run.simulated() as simulator:
        simulator.revoke(EMAILS[0])
        run.request("one revoked")
        for email in EMAILS[1:]:
            simulator.revoke(email)
        simulator.expire_tokens()
        run.request("all revoked")
    with run.simulated() as simulator:
        simulator.rotate_refresh_tokens = True
        run.request("rotated", doors="complete")
        simulator.expire_tokens()
        run.request("rotated again", doors="acomplete")
    with run.simulated() as simulator:
        simulator.rotate_refresh_tokens = True
        accounts_file = run.folder / "accounts" / f"{run.number}.json"
        (accounts_file.parent / f"{accounts_file.name}.lock").write_text("a file where the lock's folder would go")
        run.request("rotated, not saved", doors="complete")


def token_endpoint(run: Run) -> None:
    """A token endpoint, or the one for projects, that fails."""
    for kind in TOKEN_FAULTS:
        for target in ("token", "project"):
            with run.simulated(projects=False, max_rate_limit_wait_seconds=0) as simulator:
                simulator.refuse(kind, target=target)
                run.request(f"{target} endpoint: {kind}", doors="complete astream")
    for target in ("token", "project"):
        with run.simulated(projects=False) as simulator:
            simulator.refuse("hang", target=target)
            run.request(f"{target} endpoint: hang", doors="complete", timeout=0.3)


def tokens_refused(run: Run) -> None:
    """Tokens that have expired upstream."""
    with run.simulated() as simulator:
        run.request("served", doors="complete")
        simulator.expire_tokens()
        run.request("expired", doors="acomplete")


def clients(run: Run) -> None:
    """No OAuth client, and a wrong one."""
    for name, more in (
        ("no client", {"oauth_client_id": None, "oauth_client_secret": None}),
        ("no client secret", {"oauth_client_secret": None}),
        ("wrong client secret", {"oauth_client_secret": WRONG_SECRET}),
        ("wrong client id", {"oauth_client_id": "nobody"}),
    ):
        with run.simulated(**more):
            run.request(name, doors="complete astream")


def network(run: Run) -> None:
    """Nobody there, and proxies that cannot be used."""
    closed = f"http://127.0.0.1:{free_port()}"
    for name, more in (("endpoint unreachable", {"endpoint": closed}), ("token unreachable", {"token_url": closed})):
        with run.simulated(**more):
            run.request(name)
    for scheme in ("http", "socks5", "nonsense"):
        # Set after the simulator's own start, for this package's clients to read.
        with run.simulated() as _:
            os.environ["HTTP_PROXY"] = f"{scheme}://user:{PROXY_PASSWORD}@{closed.removeprefix('http://')}"
            try:
                run.request(f"{scheme} proxy", doors="complete astream")
            finally:
                del os.environ["HTTP_PROXY"]


def other_credentials(run: Run) -> None:
    """Token commands, static tokens and authorized_user files that do not work."""
    prints = "import sys; sys.stdout.write(sys.argv[1]); sys.stderr.write(sys.argv[2]); sys.exit(int(sys.argv[3]))"
    command = [sys.executable, "-c", prints, PRINTED_TOKEN, COMMAND_ARGUMENT]
    user_file = {"type": "authorized_user", "client_id": "somebody", "client_secret": USER_FILE_SECRET}
    files = {
        "wrong": json.dumps({**user_file, "refresh_token": USER_FILE_TOKEN}),
        "broken": json.dumps({**user_file, "refresh_token": USER_FILE_TOKEN})[:-1],
        "lacking": json.dumps({**user_file, "token": USER_FILE_TOKEN}),
        "list": json.dumps([USER_FILE_TOKEN, USER_FILE_SECRET]),
    }
    entries: dict[str, dict[str, Any]] = {
        "failing command": {"tokenCommand": [*command, "3"]},
        "command whose token is refused": {"tokenCommand": [*command, "0"]},
        "command that prints nonsense": {"tokenCommand": [*command[:3], f"{PRINTED_TOKEN} and more", "x", "0"]},
        "no such command": {"tokenCommand": ["/no/such/program", COMMAND_ARGUMENT]},
        "static token refused": {"accessToken": STATIC_TOKEN},
    }
    for name, text in files.items():
        path = run.folder / "accounts" / f"user-{name}.json"
        path.write_text(text)
        entries[f"{name} authorized_user file"] = {"authorizedUserFile": str(path)}
    for name, entry in entries.items():
        with run.simulated():
            path = run.folder / "accounts" / f"{run.number}.json"
            path.write_text(json.dumps({"version": 4, "accounts": [{"email": EMAILS[0], "projectId": "p", **entry}]}))
            run.request(name, doors="complete astream")


def broken_files(run: Run) -> None:
    """Accounts files that are broken in whole or in part, right beside a token."""
    token = REFRESH_TOKENS[EMAILS[1]]
    good = {"email": EMAILS[0], "refreshToken": REFRESH_TOKENS[EMAILS[0]], "projectId": "project-0"}
    documents = {
        "not JSON": f'{{"version": 4, "accounts": [{{"email": "{EMAILS[1]}", "refreshToken": "{token}" oops',
        "token for a document": json.dumps(token),
        "token for a version": json.dumps({"version": token, "accounts": [good]}),
        "token for a list": json.dumps({"version": 4, "accounts": token}),
        "NUL": f'{{"version": 4, "accounts": "{token}\0"}}',
        "only broken entries": json.dumps({"version": 4, "accounts": [token, {"email": EMAILS[1]}]}),
    }
    broken: dict[str, Any] = {
        "token with blanks": {"email": EMAILS[1], "refreshToken": f"{token} {token}"},
        "list of tokens": {"email": EMAILS[1], "refreshToken": [token]},
        "two credentials": {"email": EMAILS[1], "refreshToken": token, "accessToken": STATIC_TOKEN},
        "command in one string": {"email": EMAILS[1], "tokenCommand": f"get {COMMAND_ARGUMENT}"},
        "token for an e-mail": {"email": [token], "refreshToken": token},
        "token for a switch": {"email": EMAILS[1], "refreshToken": token, "enabled": token},
        "token for a project": {"email": EMAILS[1], "refreshToken": token, "projectId": f"{token}\n"},
        "twice": {**good, "refreshToken": token},
        "no account": token,
    }
    documents |= {name: json.dumps({"version": 4, "accounts": [good, entry]}) for name, entry in broken.items()}
    for name, text in documents.items():
        with run.simulated():
            (run.folder / "accounts" / f"{run.number}.json").write_text(text)
            run.request(f"accounts file: {name}", doors="complete astream")


def broken_settings(run: Run) -> None:
    """Secrets in the wrong place, from every source."""
    from litellm_antigravity import Settings

    values: dict[str, dict[str, Any]] = {
        "list for a secret": {"oauth_client_secret": [WRONG_SECRET]},
        "object for a secret": {"oauth_client_secret": {"value": WRONG_SECRET}},
        "password in a URL": {"endpoint": f"https://user:{PROXY_PASSWORD}@example.com"},
        "key in a URL": {"token_url": f"https://example.com/token?key={PROXY_PASSWORD}"},
    }
    for name, value in values.items():
        run.trying(f"settings: {name}", lambda value=value: Settings(**value))  # type: ignore[misc]  # as above
        variables = {f"LITELLM_ANTIGRAVITY_{k.upper()}": v for k, v in value.items() if isinstance(v, str)}
        os.environ.update(variables)
        if variables:
            run.trying(f"settings: {name}, environment", Settings)
        for variable in variables:
            del os.environ[variable]
        file = Path(os.environ["OPENCODE_CONFIG_DIR"]) / "antigravity.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
        run.trying(f"settings: {name}, file", Settings)
        file.write_text(f'{{"oauth_client_secret": "{WRONG_SECRET}" oops')
        run.trying("settings: broken file", Settings)
        file.unlink()


def failing_state(run: Run) -> None:
    """A state store that cannot be opened, and one that breaks while it is used."""
    occupied = run.folder / "occupied"
    occupied.write_text("a file where the folder would go")
    with run.simulated(state_dir=occupied / "state") as simulator:
        run.request("no state folder")
        simulator.revoke(EMAILS[0])
        simulator.expire_tokens()
        run.request("no state folder, revoked", doors="complete")
    with run.simulated() as simulator:
        run.request("state in order", doors="complete")
        (run.folder / "states" / str(run.number) / "cache.db").write_bytes(b"no database" * 1000)
        simulator.expire_tokens()
        run.request("state broken", doors="complete astream")


def command_line(run: Run) -> None:
    """The commands that look at accounts and state, in order and broken."""
    from click.testing import CliRunner

    from litellm_antigravity.cli import cli

    def invoke(name: str, *args: str, env: Mapping[str, str]) -> None:
        result = CliRunner().invoke(cli, list(args), env=env, prog_name="litellm-antigravity")
        run.harvest.command_line[name] = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            run.note(f"command line: {name}", result.exception)

    with run.simulated() as simulator:
        simulator.revoke(EMAILS[0])
        simulator.refuse("verification", email=EMAILS[1])
        simulator.drain(EMAILS[2], "claude")
        run.request("before status", doors="complete")
        accounts_file = run.folder / "accounts" / f"{run.number}.json"
        env = simulator.environment(accounts_file, run.folder / "states" / str(run.number))
        env["LITELLM_ANTIGRAVITY_DEBUG"] = "1"
        for args in (["auth", "list"], ["status"], ["status", "--json"]):
            invoke(" ".join(args), *args, env=env)
        accounts_file.write_text(accounts_file.read_text()[:-3] + "oops")
        for args in (["auth", "list"], ["status"]):
            invoke(" ".join([*args, "(broken file)"]), *args, env=env)
        env["LITELLM_ANTIGRAVITY_ENDPOINT"] = f"https://user:{PROXY_PASSWORD}@example.com"
        invoke("status (broken setting)", "status", env=env)
