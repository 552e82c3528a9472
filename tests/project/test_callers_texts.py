"""What comes from callers, model lists and files is cleaned where it is shown, like what comes from upstream."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest
from serving import ACCOUNT_HEADER, MESSAGES, MODEL, account_of, settings_of
from support import FakeClock

import litellm_antigravity
from litellm_antigravity.litellm.routing.member import Member
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.masking import header_value
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.simulator import SimulatedAccount, Simulator
from litellm_antigravity.state.memory import MemoryStore

NASTY = "claude-x\n[accounts] all is well\x1b[2J\u202e\r\nSet-Cookie: a=b"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as started:
        yield started


def use(simulator: Simulator, folder: Path, **more: Any) -> None:
    more = {"max_rate_limit_wait_seconds": 0, "debug": True, **more}
    litellm_antigravity.register(settings_of(simulator, folder, **more))


def complete(**params: Any) -> Any:
    return litellm.completion(**{"model": MODEL, "messages": MESSAGES, **params})


def astream(**params: Any) -> Any:
    async def ask() -> Any:
        reply = await litellm.acompletion(**{"model": MODEL, "messages": MESSAGES, "stream": True, **params})
        return [chunk async for chunk in reply]

    return asyncio.run(ask())


both_doors = pytest.mark.parametrize("door", [complete, astream])


def raised_by(door: Callable[..., Any], **params: Any) -> list[str]:
    """Return the texts of a failure, and of what caused it."""
    try:
        door(**params)
    except Exception as error:  # noqa: BLE001 - it is what this is about
        chain: list[BaseException] = [error]
        if error.__cause__ is not None:
            chain.append(error.__cause__)
        return [text for one in chain for text in (str(one), *map(str, one.args), str(getattr(one, "model", "")))]
    raise AssertionError


@both_doors
@pytest.mark.parametrize("kind", ["quota", "not-available", "capacity", "bad-request", "banned"])
def test_a_model_s_name_cannot_write_lines_of_its_own(
    kind: Any, door: Any, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before: its line breaks and escapes stood in exceptions and in the decision log."""
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    use(simulator, tmp_path)
    simulator.refuse(kind)
    for _ in range(2):  # the second one is told by what is remembered of the first
        texts = raised_by(door, model=f"antigravity/{NASTY}", timeout=5)
        assert all(text.isprintable() for text in texts), texts
    assert all(one.getMessage().isprintable() for one in caplog.records if one.name == "litellm_antigravity")


def test_the_line_about_a_probe_is_one_line(
    simulator: Simulator, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Before: "Probing ... for <whatever the caller wrote>"."""
    caplog.set_level(logging.INFO, "litellm_antigravity")
    pool = AccountPool(
        settings_of(simulator, tmp_path, max_rate_limit_wait_seconds=0), store=MemoryStore(), clock=clock
    )
    from litellm_antigravity.refusals import Refusal, RefusalKind

    for _ in range(2):
        lease = pool.acquire(NASTY)
        pool.report(lease, Refusal(RefusalKind.QUOTA, 429, "no", retry_after=7200.0))
    clock.advance(3700)
    pool.acquire(NASTY)
    [line] = [one.getMessage() for one in caplog.records if one.getMessage().startswith("Probing")]
    assert line.isprintable()
    assert "claude-x" in line


@pytest.mark.parametrize(
    "params",
    [
        {"messages": [{"role": NASTY, "content": "Hello"}]},
        {"messages": [*MESSAGES, {"role": "tool", "tool_call_id": NASTY, "content": "5"}]},
        {"extra_headers": {NASTY: "x"}},
        {"extra_headers": {"x-mine": NASTY}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"http://[{NASTY}"}}]}]},
        {"model": f"antigravity/{NASTY}", "n": 7},
        {"user": NASTY, "metadata": {"session_id": NASTY}, "extra_headers": {"x mine": "x"}},
    ],
    ids=["role", "id of a call", "name of a header", "header", "address", "model", "others"],
)
@both_doors
def test_no_text_of_a_request_gets_raw_into_its_own_error(
    params: dict[str, Any], door: Any, simulator: Simulator, tmp_path: Path
) -> None:
    use(simulator, tmp_path)
    simulator.refuse("bad-request", message=f"bad: {NASTY}")
    assert all(text.isprintable() for text in raised_by(door, **params))


def test_an_address_in_a_request_is_named_without_what_may_be_a_key(simulator: Simulator, tmp_path: Path) -> None:
    """Before: whole, as long as it was, with its signature."""
    use(simulator, tmp_path)
    url = f"http://127.0.0.1:9/picture.png?sig=AbCdEfGhIjKl{'x' * 5000}"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    text = raised_by(complete, messages=[{"role": "user", "content": content}])[0]
    assert "127.0.0.1:9/picture.png" in text
    assert "AbCdEf" not in text
    assert len(text) < 1500


# Names of accounts


@both_doors
@pytest.mark.parametrize("email", ["\u7528\u6237\u540d\u5b57@example.com", "us\u00e9r.n\u00e4me@ex\u00e4mple.com"])
def test_an_account_whose_address_no_header_can_hold_serves_all_the_same(email: str, door: Any, tmp_path: Path) -> None:
    with Simulator([SimulatedAccount(email, project="p")]) as simulator:
        use(simulator, tmp_path)
        account = account_of(door())
    assert account.isascii()
    assert account.endswith(".com")


@pytest.mark.parametrize("name", [NASTY, f"{NASTY}@example.com", "\u7528\u6237", "x" * 5000])
def test_an_account_s_name_in_a_model_list_ends_no_line_and_no_header(name: str) -> None:
    """Before: raw, in the header `x-litellm-antigravity-account` and in every message."""
    deployment = {
        "litellm_params": {"model": "gemini/gemini-2.5-flash", "api_key": "key-of-somebody"},
        "model_info": {"account": name, "id": "1"},
    }
    member = Member.of(deployment)
    assert member is not None
    label = member.foreign_account.label
    assert label.isprintable()
    assert len(label) <= 330
    response = httpx.Response(200, headers={ACCOUNT_HEADER: header_value(label)})
    assert response.headers[ACCOUNT_HEADER].isascii()
    assert "\n" not in response.headers[ACCOUNT_HEADER]


@pytest.mark.parametrize("text", ["a\r\nb", "\x00", "\u2028", "\U0001f600", "\ud800", " x "])
def test_a_header_s_value_is_visible_ascii(text: str) -> None:
    value = header_value(text)
    assert all(" " <= one <= "~" for one in value)
    assert value == value.strip()


# Logs


def test_whatever_is_logged_by_us_is_one_line_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    from litellm_antigravity.redaction import SECRETS

    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    SECRETS.remember("opaque-secret-of-a-log-line")
    LOGGER.warning("a file named %s", Path("/x/opaque-secret-of-a-log-line\n\x1b[31mred"))
    LOGGER.warning("as it is")
    assert [one.getMessage() for one in caplog.records] == ["a file named /x/[hidden]  [31mred", "as it is"]


def test_what_litellm_s_logger_gets_of_us_is_cleaned_too(caplog: pytest.LogCaptureFixture) -> None:
    from litellm_antigravity.logs import decision

    LOGGER.setLevel(logging.WARNING)
    caplog.set_level(logging.DEBUG, "LiteLLM")
    decision("chosen for %s", NASTY)
    [record] = [one for one in caplog.records if one.getMessage().startswith("chosen")]
    assert record.getMessage().isprintable()


def test_a_cooldown_s_reason_from_the_accounts_file_writes_no_line(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "litellm_antigravity")
    path = tmp_path / "antigravity-accounts.json"
    simulator.write_accounts_file(path)
    document = json.loads(path.read_text())
    for one in document["accounts"]:
        one |= {"cooldownReason": NASTY, "coolingDownUntil": 4e12}
    path.write_text(json.dumps(document))
    use(simulator, tmp_path)
    assert all(text.isprintable() for text in raised_by(complete))
