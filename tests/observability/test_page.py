"""The page: what can be said of its document, and of the numbers that it shows, without a browser."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from support import NOW, FakeClock

from litellm_antigravity import Settings
from litellm_antigravity.accounts import Account, AccountsFile, StaticToken
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.litellm.proxy_changes import Change, UnclearError, changed
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.last_hour import Strip
from litellm_antigravity.observability.page import headers, page
from litellm_antigravity.observability.status import Moment, accounts_of, families_of
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once


def test_the_document_asks_nobody_else_and_its_policy_lets_nothing_else_run() -> None:
    text, policy = page(), headers()["Content-Security-Policy"]
    addresses = set(re.findall(r"""https?://[^\s"'`<)]+""", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which nobody asks for
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [content] = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\son\w+=|\sstyle=", text)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_have_the_contrast_that_wcag_asks_for(dark: bool) -> None:
    light, night = re.findall(r":root \{(.*?)\}", page(), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", night if dark else light))
    texts = [(one, ground) for one in ("text", "quiet", "accent", "wait", "bad") for ground in ("ground", "panel")]
    texts += [("on-accent", "accent"), ("text", "tint"), ("text", "bad-tint")]
    assert {pair for pair in texts if contrast(colours[pair[0]], colours[pair[1]]) < 4.5} == set()  # 1.4.3, AA
    marks = [("strong-line", "panel"), ("accent", "wait-tint"), ("bad", "wait-tint"), ("wait", "panel")]
    assert {pair for pair in marks if contrast(colours[pair[0]], colours[pair[1]]) < 3} == set()  # 1.4.11, AA


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2.2 defines it."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.fixture
def pool(tmp_path: Path) -> AccountPool:
    with Simulator(2) as simulator:
        path = simulator.write_accounts_file(tmp_path / "accounts.json")
    settings = Settings(accounts_file=path, state_dir=tmp_path / "state", oauth_client_id="a", oauth_client_secret="b")
    return AccountPool(settings, store=MemoryStore(), clock=FakeClock())


def known(pool: AccountPool) -> KnownAccounts:
    return KnownAccounts.of(AccountsFile(pool.settings.accounts_file).load().accounts, [])


def moment(pool: AccountPool, strips: dict[str, Strip] | None = None) -> Moment:
    return Moment(pool.clock.time(), pool.store.refresh(), pool.rules, known(pool), {}, strips)


def do(pool: AccountPool, action: str, family: str | None = None, *, force: bool = False) -> str:
    return changed(pool, known(pool), Change(action, known(pool).own[0].id, family, force))


def states(pool: AccountPool) -> list[str]:
    return [one["state"] for one in accounts_of(moment(pool))[0]["families"].values()]


def test_a_family_that_is_disabled_is_told_as_disabled(pool: AccountPool) -> None:
    """Before, the status and the metrics told an account that is disabled for a family as ready for it."""
    assert do(pool, "disable", "claude") == "us***1@example.com is disabled for claude."
    assert do(pool, "disable", "claude") == "us***1@example.com was disabled for claude already."
    assert states(pool) == ["disabled", "ready"]
    assert [one["free"] for one in families_of(moment(pool))] == [1, 2]
    do(pool, "disable")
    assert states(pool) == ["disabled", "disabled"]
    assert do(pool, "enable").startswith("us***1@example.com is enabled. An OpenCode that runs")
    assert states(pool) == ["ready", "ready"]


def test_what_upstream_said_is_lifted_by_force_alone_and_by_using_again(pool: AccountPool) -> None:
    first, now = known(pool).own[0].id, pool.clock.time()

    def bench() -> None:
        pool.store.extend_cooldown(Cooldown(first, "claude", now + 600, "quota", now, fact=True))
        pool.store.extend_cooldown(Cooldown(first, "gemini", now + 600, "transport", now))

    bench()
    left = "us***1@example.com: 1 cooldown lifted. 1 cooldown left, since upstream said so: force lifts them."
    assert do(pool, "reset") == left
    assert states(pool) == ["cooling_down", "ready"]
    assert accounts_of(moment(pool))[0]["families"]["claude"]["quota_left"] == 0
    assert do(pool, "reset", force=True) == "us***1@example.com: 1 cooldown lifted."
    bench()
    assert do(pool, "retry") == "us***1@example.com is used again (it was out: quota, transport)."
    assert do(pool, "retry") == "us***1@example.com was not out."
    assert states(pool) == ["ready", "ready"]


def test_an_account_of_another_provider_is_not_in_the_accounts_file(pool: AccountPool) -> None:
    key = Account("id-key", None, "key", StaticToken(SecretStr("key")))
    everybody = KnownAccounts.of((), [key])
    with pytest.raises(UnclearError, match="only accounts of the accounts file"):
        changed(pool, everybody, Change("disable", "id-key"))
    assert changed(pool, everybody, Change("retry", "id-key")) == "key was not out."


def test_the_last_hour_is_that_of_the_state_where_nobody_told_of_an_end(pool: AccountPool) -> None:
    """As when the command line lifts a cooldown."""
    first, now = known(pool).own[0].id, pool.clock.time()
    strip = Strip.empty(NOW)
    strip.mark("claude", now - 1800, math.inf)
    pool.store.extend_cooldown(Cooldown(first, "claude", now + 600, "quota", now - 1800, fact=True))
    pool.store.extend_cooldown(Cooldown(first, "*", math.inf, "banned", now - 120, fact=True))
    pool.store.end_cooldown(first, "claude", now - 600)
    [told, other] = [one["last_hour"] for one in accounts_of(moment(pool, {first: strip}))]
    assert sum(told["benched"]["claude"]) == 21
    assert (sum(told["benched"]["*"]), sum(told["served"])) == (3, 0)
    assert other["benched"] == {}
