"""LiteLLM's proxy, forked from a process that has imported it already: its start costs a tenth of a second, not six.

This is how gunicorn starts LiteLLM's workers, and from there on it is the ``litellm`` command. Only for tests that are
not about the start itself; what LiteLLM reads from the environment while it is imported is set for all of them here.

One server does for all workers of pytest-xdist: whoever needs it first starts it, and it ends when the last of them is
gone.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import gc
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import NoReturn

from filelock import FileLock
from support import HANG_SECONDS

IMPORT_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONFAULTHANDLER": "1",
    # Else it also depends on the minute how many 500s bench a deployment.
    "DEFAULT_FAILURE_THRESHOLD_MINIMUM_REQUESTS": "1000",
}

EXIT_CODE = ".exit-code"
"""A file of that name beside the log has the exit code of a proxy that has ended by itself."""


FIRST_USED = (
    # What a proxy imports at its start and for its first requests; a missing one is skipped.
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.h11_impl",
    "uvicorn.protocols.websockets.auto",
    "uvicorn.lifespan.on",
    "litellm_antigravity.litellm.registration",
    "litellm_antigravity.litellm.hook",
    "litellm_antigravity.litellm.proxy_start",
    "litellm_antigravity.litellm.other_providers",
    "litellm_antigravity.state.disk",
    "litellm.llms.gemini.chat.transformation",
    "litellm.llms.litellm_proxy.chat.transformation",
    "litellm.proxy.common_utils.banner",
    "litellm.proxy.pass_through_endpoints.llm_passthrough_endpoints",
    "litellm.proxy.hooks.mcp_semantic_filter",
    "litellm.proxy.admin_mcp",
    "litellm.sandbox.sandbox_tools",
    "litellm.proxy.policy_engine.init_policies",
    "prometheus_client",
    "litellm_enterprise.proxy.auth.route_checks",
    "litellm.proxy.guardrails.guardrail_helpers",
    "litellm.proxy._experimental.mcp_server.server",
    "litellm.proxy.anthropic_endpoints.endpoints",
    "litellm.llms.anthropic.pass_through.messages.streaming_iterator",
    "litellm.types.litellm_core_utils.streaming_chunk_builder_utils",
    "litellm.proxy.response_polling.polling_handler",
    "nacl.secret",
    "anyio._backends._asyncio",
)

_ONE_AT_A_TIME = threading.Lock()


def fork_proxy(options: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> int:
    """Start a proxy as the ``litellm`` command does; return its process id.

    Args:
        options: of the command.
        environment: all of it.
        folder: where it runs.
        log: for all that it prints.
    """
    wanted = {"options": [*options], "environment": {**environment}, "folder": str(folder), "log": str(log)}
    with _ONE_AT_A_TIME:
        server = _fork_server()
        server.send(wanted)
        return int(server.recv())


@functools.cache
def _fork_server() -> Connection:
    """Return a connection to the server of this run of the tests; start it if nobody has."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    folder = Path(tempfile.gettempdir(), f"forks-{run[:16]}")  # short: a socket's path has a hundred characters at most
    folder.mkdir(0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid()
    with FileLock(folder / "lock"):
        return _connected(folder / "server") or _started(folder / "server")


def _connected(path: Path) -> Connection | None:
    with contextlib.suppress(OSError, EOFError):
        server = Client(str(path), "AF_UNIX")
        server.recv()  # else it is about to end
        return server
    return None


def _started(path: Path) -> Connection:
    path.unlink(missing_ok=True)
    environment = {**os.environ, **IMPORT_ENVIRONMENT}
    process = subprocess.Popen([sys.executable, __file__, str(path)], stdin=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + HANG_SECONDS
    while (server := _connected(path)) is None:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.returncode = 0  # nobody waits for it: others may need it when this process has ended
    return server


def _serve(path: str) -> None:
    """Fork what is asked for, until nobody is connected any more."""
    _import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them, and no zombies
    clients: list[Connection] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            for one in wait([listener, *clients]):
                if isinstance(one, Connection):
                    _answer(one, clients, listener)
                else:
                    clients.append(Connection(listener.accept()[0].detach()))
                    clients[-1].send("ready")
            if not clients:
                break
    shutil.rmtree(Path(path).parent)


def _answer(client: Connection, clients: list[Connection], listener: socket.socket) -> None:
    try:
        wanted = client.recv()
    except (EOFError, OSError):
        clients.remove(client)
        client.close()
        return
    pid = os.fork()
    if pid == 0:
        listener.close()
        for one in clients:
            one.close()
        _become_proxy(**wanted)
    client.send(pid)


def _import_all() -> None:
    import litellm.proxy.proxy_cli  # noqa: F401 - for those who are forked
    from litellm.proxy.proxy_server import app

    for name in FIRST_USED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        from litellm.llms import load_guardrail_translation_mappings

        load_guardrail_translation_mappings()
    # FastAPI works its routes out when they are first looked through.
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/none", "root_path": "", "headers": []})
    # A thread of LiteLLM's imports it while gunicorn forks: a worker that finds it half imported waits forever.
    codecs.lookup("ascii")
    # The garbage collections of those who are forked need not go through, and so copy, all of this.
    gc.collect()
    gc.freeze()


def _become_proxy(options: list[str], environment: dict[str, str], folder: str, log: str) -> NoReturn:
    from litellm import run_server

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["litellm", *options]
    code = 1
    try:
        run_server()
    except SystemExit as end:  # as Python does: a text is an error
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - nothing but the log is left
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        Path(f"{log}{EXIT_CODE}").write_text(str(code), "utf-8")
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
