"""OpenCode, Claude Code and Codex, as npm has them, pointed at a proxy on loopback, each with a home of its own.

The variable ``REAL_AGENTS_DIR`` names the folder that they were installed in (``npm install --prefix``).
Nothing of theirs leaves the machine: updates, telemetry, catalogues of models and sharing are switched off, and what is
left is sent to a closed port by ``HTTPS_PROXY``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

FOLDER_VARIABLE: Final = "REAL_AGENTS_DIR"
_CLOSED = "http://127.0.0.1:9"  # the port "discard", where nobody listens


@dataclass(frozen=True)
class Ran:
    """How a run of an agent ended: its exit code (``None`` when it had to be stopped) and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.out + self.err


@dataclass(frozen=True)
class Agent:
    """A client.

    Attributes:
        program: its name in ``node_modules/.bin``.
        prepare: writes its configuration into a home, and returns its variables.
        command: how it is asked something, without the question.
        path: of the proxy's endpoint that it uses.
        session: where it names its session.
        retries_bans: whether it tries a 403 again by itself.
    """

    program: str
    prepare: Callable[[Path, str, str, str], Mapping[str, str]]
    command: tuple[str, ...]
    path: str
    session: str
    retries_bans: bool = False

    @property
    def found(self) -> Path | None:
        """The program, if it is installed."""
        folder = os.environ.get(FOLDER_VARIABLE)
        program = Path(folder, "node_modules", ".bin", self.program) if folder else None
        return program if program is not None and program.exists() else None

    def ask(self, question: str, *, url: str, key: str, model: str, folder: Path, seconds: float = 60) -> Ran:
        """Have it do something in an empty folder, and wait until it has; stop it after ``seconds``.

        Args:
            question: what it is to do.
            url: of the proxy.
            key: of the proxy.
            model: name at the proxy.
            folder: for its home and its work; both are made, and kept between questions.
            seconds: until it is stopped.
        """
        if self.found is None:
            pytest.skip(f"{self.program} is not installed: npm install --prefix FOLDER, and {FOLDER_VARIABLE}=FOLDER")
        home, work = folder / "home", folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_STATE_HOME": str(home / "state"),
            "HTTP_PROXY": _CLOSED,
            "HTTPS_PROXY": _CLOSED,
            "NO_PROXY": "127.0.0.1,localhost",
            "NO_COLOR": "1",
            **self.prepare(home, url, key, model),
        }
        process = subprocess.Popen(
            [str(self.found), *self.command, question],
            env=environment,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that its children can be ended with it
        )
        try:
            out, err = process.communicate(timeout=seconds)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return Ran(code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _opencode(home: Path, url: str, key: str, model: str) -> Mapping[str, str]:
    provider: dict[str, Any] = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "LiteLLM",
        "options": {"baseURL": f"{url}/v1", "apiKey": key},
        "models": {model: {"name": model, "tool_call": True, "reasoning": True}},
    }
    document = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"litellm": provider},
        "model": f"litellm/{model}",
        "small_model": f"litellm/{model}",
        "enabled_providers": ["litellm"],
        "autoupdate": False,
        "share": "disabled",
        "permission": "allow",
    }
    config = home / "opencode.json"
    config.write_text(json.dumps(document), "utf-8")
    return {
        "OPENCODE_CONFIG": str(config),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }


def _claude(home: Path, url: str, key: str, model: str) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CONFIG_DIR": str(home / "claude"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "IS_SANDBOX": "1",  # else it refuses to work as root
    }


def _codex(home: Path, url: str, key: str, model: str) -> Mapping[str, str]:
    folder = home / "codex"
    folder.mkdir(exist_ok=True)
    lines = [
        f'model = "{model}"',
        'model_provider = "litellm"',
        "check_for_update_on_startup = false",
        "[analytics]",
        "enabled = false",
        "[model_providers.litellm]",
        'name = "LiteLLM"',
        f'base_url = "{url}/v1"',
        'env_key = "LITELLM_KEY"',
        'wire_api = "responses"',
    ]
    (folder / "config.toml").write_text("\n".join(lines) + "\n", "utf-8")
    return {"CODEX_HOME": str(folder), "LITELLM_KEY": key}


AGENTS: Final[Mapping[str, Agent]] = {
    "opencode": Agent("opencode", _opencode, ("run",), "/v1/chat/completions", "x-session-affinity"),
    "claude": Agent(
        "claude",
        _claude,
        ("--dangerously-skip-permissions", "--print"),
        "/v1/messages",
        "x-claude-code-session-id",
    ),
    "codex": Agent(
        "codex",
        _codex,
        ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
        "/v1/responses",
        "thread-id",
        retries_bans=True,
    ),
}
