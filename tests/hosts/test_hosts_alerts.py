"""Alerts over hosts: each is told by one of them, and by another one if that dies."""

from __future__ import annotations

import time

import pytest
from joined_hosts import Hosts, hosts, own, shared_server
from redis_servers import needs_server, until
from support import FakeClock
from telling_hosts import TellingHost

from litellm_antigravity.alerts.channels import NotToldError
from litellm_antigravity.state.incidents import LEASE_SECONDS

__all__ = ["hosts", "own", "shared_server"]  # fixtures

pytestmark = [pytest.mark.once, needs_server]


def test_of_the_hosts_that_see_something_one_tells_it_and_one_that_it_is_over(hosts: Hosts) -> None:
    told = [TellingHost(store) for store in hosts.pair()]
    for one in told:
        one.clock = FakeClock(time.time())
        one.restart()
    one, other = told
    account_id = one.accounts[0].id

    def looked() -> list[str]:
        return sorted([*one.look(), *other.look()])

    one.bench(1, "banned")
    until(lambda: other.ledger.refresh().cooldown(account_id, "*") is not None)
    assert looked() == ["banned us***1@example.com *"]
    assert looked() == []
    other.ledger.end_cooldowns(account_id, time.time())
    until(lambda: one.ledger.refresh().cooldowns[account_id]["*"].remaining(time.time()) == 0)
    assert looked() == ["back us***1@example.com *"]
    assert looked() == []


def test_a_host_that_dies_before_it_has_told_something_leaves_it_to_another(hosts: Hosts) -> None:
    one, other = (TellingHost(store) for store in hosts.pair())
    for host in (one, other):
        host.clock = FakeClock(time.time())
        host.restart()
    one.channel.down = NotToldError("down")
    one.bench(1, "banned")
    until(lambda: other.ledger.refresh().cooldown(one.accounts[0].id, "*") is not None)
    assert [one.look(), other.look(), other.look(after=60.0)] == [[], [], []]
    assert other.look(after=LEASE_SECONDS) == ["banned us***1@example.com *"]
