"""Several hosts, each with a state of its own, joined through a real Redis: what they share, and how they get there."""

from __future__ import annotations

import base64
import logging
import math
import threading
import time
from collections import Counter
from typing import Any

import pytest
from joined_hosts import HOUR, RULES, Hosts, cooled, hosts, known, knows, own, shared_server, tell
from pydantic import SecretStr
from redis_servers import needs_server, until
from serving import fields_of
from support import HANG_SECONDS

from litellm_antigravity.accounts import Account, AccountsFile, StaticToken, static_accounts
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.lease import Lease, LeaseRequest
from litellm_antigravity.pool import SERVED, AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.backends import ledger_of
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.redis_backend import RedisBackend, RedisStore
from litellm_antigravity.state.redis_connect import connect, described, place_of, target_of
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.sealing import TokenSeal
from litellm_antigravity.state.shared_tokens import TokenSharingStore
from litellm_antigravity.wire.http import HttpClients

__all__ = ["hosts", "own", "shared_server"]  # fixtures

pytestmark = [pytest.mark.once, needs_server]


# What hosts share


def test_what_one_host_learns_the_other_ones_know(hosts: Hosts) -> None:
    one, two = hosts.pair()
    cooldown = tell(one, two, "a")
    heard = known(two, "a")
    assert heard is not None
    assert (heard.until, heard.reason, heard.fact) == (cooldown.until, "quota", True)
    two.hold_capacity("claude-x", time.time(), 20.0)
    until(lambda: "claude-x" in one.refresh().capacity)


def test_a_host_that_comes_later_learns_what_the_others_know(hosts: Hosts) -> None:
    one = hosts.new("one")
    one.extend_cooldown(cooled("a"))
    until(lambda: b"cooldown/a/claude" in hosts.rows())
    until(knows(hosts.new("two"), "a"))


def test_what_a_host_knew_before_there_was_a_redis_is_told(hosts: Hosts) -> None:
    alone = DiskStore(hosts.folder / "one")
    alone.extend_cooldown(cooled("a"))
    alone.close()
    _, two = hosts.pair()
    until(knows(two, "a"))


def test_requests_of_all_hosts_draw_on_one_bucket(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "z")
    now = time.time()
    for store, times in ((one, 5), (two, 7)):
        for _ in range(times):
            store.begin_request("a", now, RULES, require_token=True)

    def left(store: JoinedStore) -> float:
        vitals = store.refresh().vitals.get("a")
        return math.inf if vitals is None else vitals.tokens_now(now, RULES)

    # It fills meanwhile.
    until(
        lambda: max(abs(left(store) - (RULES.bucket.initial_tokens - 12)) for store in (one, two)) < 0.5
    )  # it fills meanwhile


def test_a_cooldown_that_was_ended_is_over_on_every_host(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "a")
    two.end_cooldown("a", "claude", time.time())
    until(lambda: (heard := known(one, "a")) is not None and heard.remaining(time.time()) == 0)


def test_slots_and_numbers_are_given_out_once_among_all_hosts(hosts: Hosts) -> None:
    one, two = hosts.pair()
    assert [one.claim_slot("p"), two.claim_slot("q"), one.claim_slot("r"), two.claim_slot("q")] == [0, 1, 2, 1]
    assert [one.next_cursor_start(), two.next_cursor_start(), one.next_cursor_start()] == [0, 1, 2]


def test_a_ledger_that_was_closed_renews_nothing_until_it_is_used_again(hosts: Hosts) -> None:
    ledger = RedisStore(hosts.server.place(hosts.namespace))
    backend = ledger.replica.backend
    assert isinstance(backend, RedisBackend)
    for _ in range(2):
        assert ledger.claim_slot("p") == 0
        assert backend.leases.renew()
        ledger.close()
        assert not backend.leases.renew()


def test_one_request_of_all_hosts_probes_a_long_cooldown(hosts: Hosts) -> None:
    one, two = hosts.pair()
    now = time.time()
    long = one.extend_cooldown(cooled("a", 10 * HOUR, now=now - 2 * HOUR))
    until(knows(two, "a"))
    assert [one.claim_probes([long], now), two.claim_probes([long], now), one.claim_probes([long], now)] == [
        True,
        False,
        False,
    ]
    two.finish_probe("a", "claude", now)
    assert not one.claim_probes([long], now + HOUR / 2)


def test_pools_with_different_namespaces_know_nothing_of_each_other(hosts: Hosts) -> None:
    one = hosts.new("one")
    other = Hosts(hosts.server, hosts.folder / "other", hosts.namespace + "-other")
    try:
        two, three = other.pair()
        one.extend_cooldown(cooled("a"))
        tell(two, three, "b")
        until(lambda: b"cooldown/a/claude" in hosts.rows())
        assert known(two, "a") is None
        assert known(one, "b") is None
        assert (one.claim_slot("p"), two.claim_slot("q")) == (0, 0)
    finally:
        for store in other.made:
            store.close()


def test_one_process_of_a_host_carries_and_the_next_one_takes_over(hosts: Hosts) -> None:
    first, second, other = hosts.new("one"), hosts.new("one"), hosts.new("two")
    tell(second, other, "a")  # the first one carries it, if it was faster
    first.close()
    tell(second, other, "b")
    assert known(first, "b") is not None


def test_a_choice_asks_redis_nothing(own: Hosts) -> None:
    """The code before had no Redis; one whose view lived there would ask at each choice."""
    one = own.new("one")
    one.begin_request("a", time.time(), RULES, require_token=False)
    until(lambda: b"vitals/a" in own.rows())
    own.server.client().execute_command("CLIENT", "PAUSE", "2000", "ALL")
    began = time.monotonic()
    for _ in range(50):
        one.refresh()
        one.begin_request("a", time.time(), RULES, require_token=False)
    assert time.monotonic() - began < 2.0  # the server answers nobody meanwhile


def test_conversations_keep_their_accounts_though_their_turns_are_spread_over_the_hosts(hosts: Hosts) -> None:
    """A host that does not know of a conversation gives it an account of its own."""
    names = [f"user{number}@example.com" for number in range(6)]
    accounts = static_accounts(*(Account.create(name, StaticToken(SecretStr("x"))) for name in names))
    stores = [hosts.new(str(number)) for number in range(3)]
    tell(stores[0], stores[1], "z")
    pools = [AccountPool(Settings(), accounts=accounts, store=store) for store in stores]
    served: dict[int, set[str]] = {number: set() for number in range(20)}
    for turn in range(6):
        for number, accounts_of_it in served.items():
            pool = pools[(turn + number) % 3]  # a balancer that takes turns
            lease = pool.try_acquire(LeaseRequest("claude-sonnet-4-6", conversation=f"conversation-{number}"))
            assert isinstance(lease, Lease)
            accounts_of_it.add(lease.account.id)
            pool.report(lease, SERVED)
            if not turn:  # a client's next turn takes longer than that
                known = [store.refresh for store in stores]
                until(lambda: all(f"conversation-{number}" in refresh().bindings for refresh in known))  # noqa: B023
    assert {len(each) for each in served.values()} == {1}
    assert max(Counter(min(each) for each in served.values()).values()) <= 5  # of 20 on six accounts


def test_a_process_places_its_first_conversation_where_no_other_one_of_any_host_begins(hosts: Hosts) -> None:
    """Hosts that start at once know nothing of each other yet, and each would begin with the first account."""
    names = [f"user{number}@example.com" for number in range(6)]
    accounts = static_accounts(*(Account.create(name, StaticToken(SecretStr("x"))) for name in names))
    one, two = hosts.pair()
    assert [one.next_cursor_start() for _ in range(3)] == [0, 1, 2]
    for number, store in enumerate([two, one], start=3):
        pool = AccountPool(Settings(account_selection_strategy="sticky"), accounts=accounts, store=store)
        lease = pool.try_acquire(LeaseRequest("claude-sonnet-4-6", conversation=f"conversation-{number}"))
        assert isinstance(lease, Lease)
        assert lease.account.email == names[number]


# Tokens


class TokenHost:
    """A host that shares tokens."""

    def __init__(self, hosts: Hosts, name: str, fields: dict[str, Any], key: str) -> None:
        self.settings = Settings(**{**fields, "share_tokens": "redis", "share_tokens_key": key})
        seal = TokenSeal(SecretStr(key), hosts.namespace)
        place = hosts.server.place(hosts.namespace, socket_timeout=1.0)
        self.store = TokenSharingStore(DiskStore(hosts.folder / name), place, SystemClock(), seal=seal, patience=10.0)
        hosts.made.append(self.store)
        self.store.next_cursor_start()  # so that there is a line already
        self.accounts = AccountsFile(self.settings.accounts_file)
        self._tokens = SharedTokens(self.settings, self.accounts, self.store, HttpClients(), SystemClock())

    def token(self, **more: Any) -> str:
        return self._tokens.token(self.accounts.current().accounts[0], **more).get_secret_value()


def test_one_refresh_serves_all_hosts_and_nobody_can_read_the_token_in_redis(hosts: Hosts) -> None:
    """The code before refreshed once on every host."""
    with Simulator(1) as simulator:
        fields = fields_of(simulator, hosts.folder)
        sharing = [TokenHost(hosts, str(number), fields, "a key of all") for number in range(3)]
        tokens: list[str] = []
        threads = [threading.Thread(target=lambda ask=host.token: tokens.append(ask())) for host in sharing]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_SECONDS)
        assert len(set(tokens)) == 1
        assert len(tokens) == 3
        assert simulator.token_calls() == 1
        kept = b"".join(hosts.rows().values())
        assert tokens[0].encode() not in kept
        assert base64.b64encode(tokens[0].encode()) not in kept
        renewed = sharing[1].token(rejected=SecretStr(tokens[0]))
        assert {host.token(rejected=SecretStr(tokens[0])) for host in sharing} == {renewed}
        assert simulator.token_calls() == 2
        stranger = TokenHost(hosts, "stranger", fields, "another key")
        assert stranger.token() not in (tokens[0], renewed)  # it cannot read theirs


def test_an_older_token_never_takes_a_newer_ones_place_and_a_token_stays_its_accounts(hosts: Hosts) -> None:
    seal = TokenSeal(SecretStr("k"), "n")
    place = hosts.server.place(hosts.namespace)
    one, two = (
        TokenSharingStore(DiskStore(hosts.folder / name), place, SystemClock(), seal=seal, patience=10.0)
        for name in ("one", "two")
    )
    hosts.made += [one, two]
    assert [one.next_cursor_start(), two.next_cursor_start()] == [0, 1]
    ends = time.time() + HOUR
    one.write_token("a", "first", ends, "c")
    client, rows = hosts.server.client(), f"{{{hosts.namespace}}}:rows"
    older = client.hget(rows, "sealed/a")
    assert two.write_token("a", "second", ends, "c").generation == 2
    newest = one.read_token("a")
    assert newest is not None
    assert (newest.token, newest.generation) == ("second", 2)
    client.hset(rows, "sealed/a", older)  # somebody who can write to Redis
    client.hset(rows, "sealed/b", older)
    for store in (one, two):
        kept = store.read_token("a")
        assert kept is not None
        assert kept.token == "second"
        assert store.read_token("b") is None
    assert "second" not in repr(newest)


def test_tokens_are_not_shared_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_SALT_KEY", raising=False)
    settings = Settings(redis="redis://127.0.0.1:1", share_tokens="redis")
    with pytest.raises(SettingsError, match="LITELLM_SALT_KEY"):
        ledger_of(settings, SystemClock(), RULES)
    monkeypatch.setenv("LITELLM_SALT_KEY", "sk-salt")
    assert isinstance(ledger_of(settings, SystemClock(), RULES), TokenSharingStore)


# How to get there


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://user:secret-word@example.com:6380/2", "example.com:6380"),
        ({"host": "h", "port": 7, "password": "secret-word"}, "h:7"),
        ({"startup_nodes": [{"host": "h", "port": 7}], "password": "secret-word"}, "the cluster of h:7"),
        ({"sentinel_nodes": [["h", 7]], "service_name": "mine"}, "the sentinels' mine"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ({}, "REDIS_* of the environment"),
    ],
)
def test_a_server_is_described_without_secrets(given: Any, expected: str) -> None:
    settings = Settings(redis=given)
    assert settings.redis is not None
    assert "secret-word" not in repr(settings)
    assert described(target_of(settings.redis.get_secret_value())) == expected
    place = place_of(settings)
    assert place is not None
    assert "secret-word" not in place.description
    assert "secret-word" not in repr(place)


@pytest.mark.parametrize("wrong", ["http://h", "h:6379", ["h"], 5, "redis://"])
def test_what_is_no_server_is_refused_without_being_shown(wrong: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(redis=wrong)
    assert "redis://" in str(caught.value)
    assert str(wrong) not in str(caught.value).replace("redis://, ", "")


def test_a_password_is_neither_in_a_problem_nor_in_a_log(own: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(redis=f"redis://user:secret-word@127.0.0.1:{own.server.port}", state_dir=own.folder / "mine")
    place = place_of(settings)
    assert place is not None
    with caplog.at_level(logging.DEBUG):
        store = JoinedStore(DiskStore(settings.state_dir), place, SystemClock())
        own.made.append(store)
        store.refresh()
        until(lambda: store.status().problem is not None)  # there is no such user
    assert "secret-word" not in caplog.text
    assert "secret-word" not in str(store.status())


def test_a_url_is_all_it_takes(own: Hosts) -> None:
    client = connect({"url": own.server.url})
    assert client.ping()
    client.close()
    place = RedisPlace(lambda: connect({"host": "127.0.0.1", "port": str(own.server.port)}), "n", "here")
    assert place.connect().ping()
