"""LiteLLM's proxy, forked from a process that has imported it already: a start costs one second instead of six.

This is how gunicorn starts LiteLLM's workers, and from there on it is the ``litellm`` command. Only for tests that are
not about the start itself; what LiteLLM reads from the environment while it is imported is set for all of them here.
"""

from __future__ import annotations

import atexit
import codecs
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

IMPORT_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Else it also depends on the minute how many 500s bench a deployment.
    "DEFAULT_FAILURE_THRESHOLD_MINIMUM_REQUESTS": "1000",
}

EXIT_CODE = ".exit-code"
"""A file of that name beside the log has the exit code of a proxy that has ended by itself."""

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
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(wanted) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline())


@functools.cache
def _fork_server() -> subprocess.Popen[str]:
    # It ends when its standard input does, that is with us at the latest.
    environment = {**os.environ, **IMPORT_ENVIRONMENT}
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    atexit.register(server.kill)
    return server


def _serve(requests: IO[str], answers: IO[str]) -> None:
    import litellm.proxy.proxy_cli
    import litellm.proxy.proxy_server  # noqa: F401 - for those who are forked

    # A thread of LiteLLM's imports it while gunicorn forks: a worker that finds it half imported waits forever.
    codecs.lookup("ascii")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them, and no zombies
    for line in requests:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become_proxy(**wanted)
        print(pid, file=answers, flush=True)


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
    _serve(sys.stdin, sys.stdout)
