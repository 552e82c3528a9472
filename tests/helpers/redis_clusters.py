"""Real clusters, and servers with sentinels, on free loopback ports."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from redis_servers import PROGRAM, RedisServer, until
from typing_extensions import Self

from litellm_antigravity.state.redis_connect import connect
from litellm_antigravity.state.redis_link import RedisPlace

NODES = 3
SLOTS = 16384
MOVE_SECONDS = 0.1  # between two moves of a slot
REDIRECTIONS = 400  # that a client follows while it moves; by itself redis-py gives up after sixteen


class Cluster:
    """Three masters.

    Args:
        folder: for their files.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.nodes: list[RedisServer] = []
        for number in range(NODES):
            file = folder / f"nodes-{number}.conf"
            server = RedisServer(
                folder, cluster_enabled="yes", cluster_config_file=str(file), cluster_node_timeout="2000"
            )
            self.nodes.append(self._stack.enter_context(server))
        self._edges = [number * SLOTS // NODES for number in range(NODES + 1)]
        self._moved: dict[int, int] = {}
        for node, first, end in zip(self.nodes, self._edges, self._edges[1:], strict=False):
            node.client().execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
            self.nodes[0].client().execute_command("CLUSTER MEET", "127.0.0.1", node.port)
        until(lambda: all(self._is_whole(node) for node in self.nodes))

    def _is_whole(self, node: RedisServer) -> bool:
        return bool(node.client().execute_command("CLUSTER INFO")["cluster_state"] == "ok")

    @property
    def target(self) -> dict[str, Any]:
        """What the setting says."""
        return {"startup_nodes": [{"host": "127.0.0.1", "port": node.port} for node in self.nodes]}

    def place(self, namespace: str, **options: Any) -> RedisPlace:
        """Return where a pool is."""
        return RedisPlace(functools.partial(connect, {**self.target, **options}), namespace, "the cluster")

    def move(self, key: str) -> None:
        """Move the slot of a key to another node, as `redis-cli --cluster reshard` does."""
        slot = self.nodes[0].client().execute_command("CLUSTER KEYSLOT", key)
        before = next(number for number in range(NODES) if slot < self._edges[number + 1])
        owner = self._moved.get(slot, before)
        source, target = self.nodes[owner], self.nodes[(owner + 1) % NODES]
        ids = [node.client().execute_command("CLUSTER MYID").decode() for node in (source, target)]
        target.client().execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        source.client().execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        while keys := source.client().execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
            source.client().execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):
            node.client().execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])
        self._moved[slot] = (owner + 1) % NODES

    @contextlib.contextmanager
    def moving(self, key: str) -> Iterator[None]:
        """Have the slot of a key move on and on, which takes its time on a busy machine: no client is to give up."""
        from redis.cluster import RedisCluster

        done = threading.Event()
        with ThreadPoolExecutor(1) as mover, mock.patch.object(RedisCluster, "RedisClusterRequestTTL", REDIRECTIONS):
            moves = mover.submit(self._move_on, key, done)
            try:
                yield
            finally:
                done.set()
            moves.result()

    def _move_on(self, key: str, done: threading.Event) -> None:
        self.move(key)
        while not done.wait(MOVE_SECONDS):
            self.move(key)

    def close(self) -> None:
        """End it."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watched:
    """A server with a replica and three sentinels that make that the master when the first one is gone.

    Args:
        folder: for their files.
    """

    SERVICE = "mine"

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.master = self._stack.enter_context(RedisServer(folder))
        self.replica = self._stack.enter_context(RedisServer(folder, replicaof=f"127.0.0.1 {self.master.port}"))
        until(lambda: self.replica.client().info("replication")["master_link_status"] == "up")
        self.sentinels: list[RedisServer] = []
        for number in range(3):
            file = folder / f"sentinel-{number}.conf"
            file.write_text(
                f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.master.port} 2\n"
                f"sentinel down-after-milliseconds {self.SERVICE} 1000\n"
                f"sentinel failover-timeout {self.SERVICE} 3000\n"
            )
            self.sentinels.append(self._stack.enter_context(Sentinel(folder, file)))
        until(lambda: all(self._knows_all(one) for one in self.sentinels))

    def _knows_all(self, sentinel: RedisServer) -> bool:
        state = sentinel.client().execute_command("SENTINEL MASTER", self.SERVICE)
        return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == 2)

    @property
    def target(self) -> dict[str, Any]:
        """What the setting says."""
        nodes = [["127.0.0.1", one.port] for one in self.sentinels]
        return {"sentinel_nodes": nodes, "service_name": self.SERVICE}

    def place(self, namespace: str) -> RedisPlace:
        """Return where a pool is."""
        return RedisPlace(functools.partial(connect, self.target), namespace, "the sentinels'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Sentinel(RedisServer):
    """A sentinel.

    Args:
        folder: for its log.
        file: its configuration, which it writes to.
    """

    def __init__(self, folder: Path, file: Path) -> None:
        self._file = file
        super().__init__(folder)
        self.options = {}

    def start(self) -> None:
        """Start it."""
        command = [str(PROGRAM), str(self._file), "--port", str(self.port), "--sentinel"]
        with (self._folder / f"sentinel-{self.port}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers)
