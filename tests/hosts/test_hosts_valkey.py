"""Hosts that meet at a Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from joined_hosts import Hosts, closed, known, knows, tell
from redis_servers import VALKEY, RedisServer, until

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(VALKEY is None, reason="there is no valkey-server, and no wheel of it for this machine"),
]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with RedisServer(tmp_path, program=VALKEY) as server:
        yield from closed(Hosts(server, tmp_path, "valkey"))


def test_hosts_meet_at_a_valkey_as_at_a_redis(hosts: Hosts) -> None:
    one, two = hosts.pair()
    assert "valkey_version" in hosts.server.client().info("server")
    tell(one, two, "a1")
    tell(two, one, "a2")
    assert [one.claim_slot("p"), two.claim_slot("q")] == [0, 1]
    assert sorted([one.next_cursor_start(), two.next_cursor_start()]) == [0, 1]
    two.in_flight.know(["a1"])
    flight = one.in_flight.begin("a1")
    until(lambda: two.in_flight.counts().get("a1") == 1)
    assert flight is not None
    flight.end()
    until(lambda: two.in_flight.counts().get("a1", 0) == 0)


def test_a_valkey_that_is_started_anew_is_told_what_the_hosts_know(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "before")
    hosts.server.kill()
    hosts.server.start()
    until(lambda: b"cooldown/before/claude" in hosts.rows())
    tell(two, one, "after")
    third = hosts.new("three")
    until(knows(third, "before"))
    assert known(third, "after") is not None
