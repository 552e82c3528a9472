"""Alerts: each event once, over all processes and hosts; none lost while the receiver is down; no secret in one."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import litellm
import pytest
from leaks import Searcher
from litellm.integrations.SlackAlerting.slack_alerting import SlackAlerting
from processes import together
from proxy import until
from pydantic import SecretStr
from receiving import Receiver
from serving import MESSAGES, MODEL, fields_of
from support import NOW
from telling_hosts import Kept, TellingHost

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.alerts.channels import NotToldError, Webhook
from litellm_antigravity.alerts.message import Alert
from litellm_antigravity.alerts.telling import GIVEN_UP_SECONDS, Teller
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.litellm.alerting import ALERTING, LiteLLMsAlerting
from litellm_antigravity.litellm.deployments import known_to
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.simulator import Simulator

pytestmark = pytest.mark.once

FIRST, SECOND, THIRD = (f"us***{number}@example.com" for number in (1, 2, 3))


# What is told


@pytest.mark.parametrize("event", ["banned", "verification", "revoked"])
def test_what_takes_somebody_to_act_is_told_once_and_so_is_its_end(event: str) -> None:
    host = TellingHost()
    host.bench(1, event)
    assert host.look() == [f"{event} {FIRST} *"]
    assert host.channel.told[0].fields["until"] is None
    assert host.look(after=5000.0) == []
    host.ledger.end_cooldowns(host.accounts[0].id, host.clock.time())
    assert host.look(after=1.0) == [f"back {FIRST} *"]
    assert host.look(after=5000.0) == []
    host.bench(1, event)
    assert host.look() == [f"{event} {FIRST} *"]


def test_a_spent_quota_is_told_with_its_end_and_the_account_is_back_by_itself() -> None:
    host = TellingHost()
    host.bench(1, "quota", "claude", 7200.0)
    assert host.look() == [f"quota_spent {FIRST} claude"]
    body = host.channel.told[0].body
    assert body["until"] == NOW + 7200.0
    assert "until 2023-11-15 00:13 UTC (2h0m0s left)" in body["text"]
    assert host.look(after=7100.0) == []
    assert host.look(after=101.0) == [f"back {FIRST} claude"]


def test_a_pool_is_spent_when_its_last_account_is_until_the_first_is_back() -> None:
    host = TellingHost()
    host.bench(1, "quota", "claude", 7200.0)
    host.bench(3, "banned")
    assert sorted(host.look()) == [f"banned {THIRD} *", f"quota_spent {FIRST} claude"]
    host.bench(2, "quota", "claude", 600.0)
    assert sorted(host.look()) == ["pool_spent all claude", f"quota_spent {SECOND} claude"]
    spent = next(one for one in host.channel.told if one.event == "pool_spent")
    assert spent.fields["until"] == NOW + 600.0
    assert host.look(after=590.0) == []  # in the last minute, too
    assert sorted(host.look(after=11.0)) == ["back all claude", f"back {SECOND} claude"]


def test_limits_of_seconds_and_troubles_of_upstream_are_nobodys_news() -> None:
    host = TellingHost()
    for number in (1, 2, 3):
        host.bench(number, "rate", "claude", 30.0)
        host.bench(number, "transport", "gemini", 900.0)
    assert host.look() == []


def test_only_the_events_of_the_settings_are_told() -> None:
    host = TellingHost(events=("banned",))
    host.bench(1, "quota", "claude", 600.0)
    host.bench(2, "banned")
    assert host.look() == [f"banned {SECOND} *"]
    host.ledger.end_cooldowns(host.accounts[1].id, host.clock.time())
    assert host.look(after=700.0) == []
    host.bench(2, "banned")
    assert host.look(after=10.0) == [f"banned {SECOND} *"]


def test_an_account_that_is_banned_meanwhile_is_not_said_to_be_back() -> None:
    host = TellingHost()
    host.bench(1, "quota", "claude", 600.0)
    host.bench(1, "banned")
    assert sorted(host.look()) == [f"banned {FIRST} *", f"quota_spent {FIRST} claude"]
    assert host.look(after=601.0) == []
    host.ledger.end_cooldowns(host.accounts[0].id, host.clock.time())
    assert host.look(after=1.0) == [f"back {FIRST} *"]


def test_a_disabled_or_removed_account_is_no_news() -> None:
    host = TellingHost()
    host.bench(1, "banned")
    host.accounts[0] = replace(host.accounts[0], enabled=False)
    assert host.look() == []
    host.accounts[0] = replace(host.accounts[0], enabled=True)
    assert host.look() == [f"banned {FIRST} *"]
    del host.accounts[0]
    assert host.look(after=10.0) == []


# A receiver that is down


def test_nothing_is_lost_while_the_receiver_is_down_and_it_is_not_asked_all_the_time() -> None:
    host = TellingHost()
    host.channel.down = NotToldError("down")
    host.bench(1, "quota", "claude", 90.0)
    host.bench(2, "banned")
    for _ in range(120):
        assert host.look(after=1.0) == []
    assert host.channel.tries <= 8
    host.channel.down = None
    heard = [one for _ in range(60) for one in host.look(after=1.0)]
    assert sorted(heard) == [f"back {FIRST} claude", f"banned {SECOND} *", f"quota_spent {FIRST} claude"]
    assert heard.index(f"quota_spent {FIRST} claude") < heard.index(f"back {FIRST} claude")


def test_whoever_takes_over_tells_what_was_not_taken_and_nothing_twice() -> None:
    host = TellingHost()
    host.bench(1, "banned")
    host.look()
    host.channel.down = NotToldError("down")
    host.bench(2, "revoked")
    host.look()
    host.channel.down = None
    host.restart()
    assert host.look() == [f"revoked {SECOND} *"]


def test_an_alert_that_nobody_takes_is_given_up_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    host = TellingHost()
    host.channel.down = NotToldError("HTTP 404")
    host.bench(1, "banned")
    host.bench(2, "revoked")
    for _ in range(int(GIVEN_UP_SECONDS / 30) + 20):
        host.look(after=30.0)
    tries = host.channel.tries
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == [
        "Alerts are given up: nobody has taken them for 60 minutes (HTTP 404)."
    ]
    host.look(after=500.0)
    assert host.channel.tries == tries


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    host = TellingHost()
    host.channel.down = NotToldError("HTTP 429", 30.0)
    host.bench(1, "banned")
    host.look()
    host.channel.down = None
    assert host.look(after=29.0) == []
    assert host.look(after=2.0) == [f"banned {FIRST} *"]


def test_of_two_channels_the_one_that_has_taken_an_alert_gets_it_once() -> None:
    host = TellingHost()
    second = Kept()
    host.telling = replace(host.telling, channels=[host.channel, second])
    host.teller = Teller(host.telling)
    second.down = NotToldError("down")
    host.bench(1, "banned")
    host.look()
    second.down = None
    host.look(after=5.0)
    assert (host.channel.events, second.events) == (["banned"], ["banned"])


# Over HTTP


def test_a_webhook_follows_no_redirect_and_says_its_address_to_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    alert = Alert("banned", "text", {})
    with Receiver() as receiver, Receiver() as elsewhere:
        webhook = Webhook(SecretStr(receiver.url))
        webhook.tell(alert)
        receiver.status, receiver.headers = 307, {"location": elsewhere.url.partition("services")[0]}
        with pytest.raises(NotToldError, match="HTTP 307"):
            webhook.tell(alert)
        receiver.status, receiver.headers = 429, {"retry-after": "30"}
        with pytest.raises(NotToldError) as caught:
            webhook.tell(alert)
        assert caught.value.retry_after == 30.0
        assert (receiver.tries, elsewhere.tries) == (3, 0)
    with pytest.raises(NotToldError, match="ConnectError"):
        webhook.tell(alert)
    assert "canary" not in caplog.text
    assert "canary" not in repr(webhook)


@pytest.mark.parametrize(
    "url", ["http://example.com/hook", "https://user:word@example.com/", "ftp://example.com", "file:///etc/passwd", "x"]
)
def test_a_webhook_is_https_or_on_loopback_and_a_wrong_one_is_not_repeated(url: str) -> None:
    with pytest.raises(litellm_antigravity.errors.SettingsError) as caught:
        Settings(alert_webhook_url=url)
    assert "alert_webhook_url" in str(caught.value)
    assert url not in str(caught.value)
    assert "hook" not in repr(Settings(alert_webhook_url="https://example.com/hook?token=a-token")).replace(
        "webhook", ""
    )


def test_litellms_own_alerting_gets_it_where_a_proxy_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server(ModuleType):
        proxy_logging_obj: Any

    async def run(receiver: Receiver) -> None:
        alerting = SlackAlerting(alerting=["slack"], default_webhook_url=receiver.url)
        server = Server("litellm.proxy.proxy_server")
        server.proxy_logging_obj = SimpleNamespace(slack_alerting_instance=alerting)
        monkeypatch.setitem(sys.modules, server.__name__, server)
        channel = LiteLLMsAlerting()
        with pytest.raises(NotToldError, match="not there yet"):
            channel.tell(Alert("banned", "Account a is out.", {"account": "a"}))
        channel.note_loop()
        assert channel.is_open()
        for alert in (Alert("banned", "Account a is out.", {"account": "a"}), Alert("pool_spent", "None is left.", {})):
            await asyncio.to_thread(channel.tell, alert)
        await alerting.flush_queue()
        alerting.alerting = ["email"]
        assert not channel.is_open()

    with Receiver() as receiver:
        asyncio.run(run(receiver))
        told = sorted(json.loads(text)["text"] for text in receiver.texts)
    assert [one.split("\n")[0] for one in told] == [
        "Alert type: `cooldown_deployment`",
        "Alert type: `outage_alerts`",
    ]
    assert "Level: `High`" in told[0]
    assert told[0].endswith("Message: Account a is out.")


# All processes


REFUSALS = [
    Refusal(kind=RefusalKind.REVOKED, status=400, message="a-canary-of-upstream's-words"),
    Refusal(
        kind=RefusalKind.VERIFICATION, status=403, message="Verify.", url="https://example.com/a-canary-of-an-address"
    ),
    Refusal(kind=RefusalKind.QUOTA, status=429, message="Spent.", retry_after=7200.0),
]
CANARIES = {"client-secret-canary": "secret", "refresh-token-canary-1": "token", "a-canary-of-an-address": "address"}


def _agent(fields: dict[str, Any]) -> None:
    """Meet what the accounts meet, as one of many, and stay until it is told: the thread may be any process's."""
    settings = Settings(**fields)
    pool = AccountPool(settings)
    handler: Any = SimpleNamespace(dispatcher=SimpleNamespace(pool=pool))
    ALERTING.use(settings, handler, in_proxy=False)
    for account, refusal in zip(pool.accounts.current().accounts, REFUSALS, strict=False):
        lease = pool.take(MODEL, account.id)
        assert lease is not None
        pool.report(lease, refusal)
    until(lambda: sum(one.done for one in pool.store.incidents().values()) == len(REFUSALS))


def test_sixteen_processes_tell_each_event_once_and_no_secret(tmp_path: Path) -> None:
    entries = [
        {"email": f"a.person.number{number}@example.com", "refreshToken": f"1//refresh-token-canary-{number}"}
        for number in range(1, 5)
    ]
    (tmp_path / "accounts.json").write_text(json.dumps({"version": 4, "accounts": entries, "activeIndex": 0}))
    (tmp_path / "accounts.json").chmod(0o600)
    with Receiver() as receiver:
        fields = {
            "accounts_file": str(tmp_path / "accounts.json"),
            "state_dir": str(tmp_path / "state"),
            "oauth_client_id": "client",
            "oauth_client_secret": "client-secret-canary",
            "alert_webhook_url": receiver.url,
        }
        together(_agent, [(fields,)] * 16)
        masked = [f"a.***{number}@example.com" for number in range(1, 4)]
        assert sorted(receiver.told) == [
            ("quota_spent", masked[2], "claude"),
            ("revoked", masked[0], "*"),
            ("verification", masked[1], "*"),
        ]
        secrets = {**CANARIES, receiver.url.rpartition("/")[2]: "webhook", "a.person.number1": "e-mail"}
        assert Searcher(secrets).leaks(receiver.texts) == []
        assert "words" not in "".join(receiver.texts)


def test_what_a_process_s_requests_meet_is_told_and_what_ends_with_the_process_too(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    with Receiver() as receiver:
        antigravity_simulator.drain("user1@example.com", "claude", 7200)
        fields = fields_of(antigravity_simulator, tmp_path, alert_webhook_url=receiver.url)
        litellm_antigravity.register(Settings(**fields, account_selection_strategy="sticky"))
        litellm.completion(model=MODEL, messages=MESSAGES)
        ALERTING.stop()  # as when the process ends
        assert receiver.told == [("quota_spent", FIRST, "claude")]


def test_who_has_served_nothing_of_another_provider_tells_of_its_accounts_too(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    """Before, they were known in processes that had served them, and another one may be the one that tells."""
    key = {"model": "gemini/gemini-2.5-flash", "api_key": "k"}
    with Receiver() as receiver:
        fields = fields_of(antigravity_simulator, tmp_path, alert_webhook_url=receiver.url)
        litellm_antigravity.register(Settings(**fields))
        listed = {"model_name": "keys", "litellm_params": key, "model_info": {"account": "studio"}}
        litellm_antigravity.install(litellm.Router(model_list=[listed]))
        pool = litellm_antigravity.handler.dispatcher.pool
        (studio,) = (one for one in known_to(pool).all if one.label == "studio")
        now = pool.clock.time()
        pool.store.extend_cooldown(Cooldown(studio.id, "*", float("inf"), "revoked", now, fact=True))
        litellm.completion(model=MODEL, messages=MESSAGES)
        ALERTING.stop()
        assert receiver.told == [("revoked", "studio", "*")]
