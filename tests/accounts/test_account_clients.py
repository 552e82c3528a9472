"""The OAuth client of each account, and who is chosen when some have none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import litellm
import pytest
from pydantic import SecretStr
from serving import MESSAGES, MODEL, fields_of, text_of
from support import FakeClock

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.accounts import Account, AccountsFile, OAuthClient, RefreshToken, read_client_secrets
from litellm_antigravity.credentials.clients import client_for, clients_missing, needs_client
from litellm_antigravity.errors import AccountsFileError, AllAccountsLimitedError, CredentialError
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

SECRET = "GOCSPX" + "-canary-secret"  # in two pieces, so that nobody takes it for a real one
CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"email": f"user{number}@gmail.com", "refreshToken": f"1//token-{number}", "projectId": "p", **more}


def put(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"version": 4, "accounts": list(entries)}))
    path.chmod(0o600)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "antigravity-accounts.json"


def pool_of(path: Path, **fields: Any) -> AccountPool:
    clock = FakeClock()
    settings = Settings(accounts_file=path, **{"account_selection_strategy": "round-robin", **fields})
    return AccountPool(settings, accounts=AccountsFile(path, clock=clock), store=MemoryStore(), clock=clock)


# Whose client it is


@pytest.mark.parametrize("kind", ["installed", "web"])
def test_a_client_is_read_from_googles_own_json(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text(json.dumps({kind: {"client_id": "mine", "client_secret": SECRET, "auth_uri": "https://x"}}))
    client = read_client_secrets(file)
    assert (client.client_id, client.source) == ("mine", str(file))
    assert client.client_secret == SecretStr(SECRET)
    assert SECRET not in f"{client!r} {client}"


@pytest.mark.parametrize("content", ["", "[]", '{"installed": []}', '{"installed": {"client_id": 5}}', "x" * 70_000])
def test_another_file_is_no_client_and_is_not_quoted(content: str, tmp_path: Path) -> None:
    file = tmp_path / "client.json"
    file.write_text(content)
    with pytest.raises(AccountsFileError) as caught:
        read_client_secrets(file)
    assert str(file) in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_an_entrys_client_goes_before_the_settings_one(path: Path) -> None:
    own = {"clientId": "own", "clientSecret": SECRET}
    put(path, entry(1, oauthClient=own), entry(2))
    first, second = AccountsFile(path).load().accounts
    settings = Settings(oauth_client_id="common", oauth_client_secret=SecretStr("s"))
    assert client_for(first, settings) == OAuthClient("own", SecretStr(SECRET), "accounts file")
    assert client_for(second, settings) == OAuthClient("common", SecretStr("s"), "settings")
    assert client_for(second, Settings()) is None
    assert not needs_client(first, Settings())
    assert needs_client(second, Settings())


def test_a_refresh_token_is_refreshed_with_its_own_client(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    """Before, only the settings' client was known: the request failed with a 401."""
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, oauth_client_id=None, oauth_client_secret=None)
    google = {"installed": {"client_id": simulator.client_id, "client_secret": simulator.client_secret}}
    (tmp_path / "client.json").write_text(json.dumps(google))
    emails = [one.email for one in simulator.accounts]
    simulator.write_accounts_file(
        fields["accounts_file"],
        entries={
            emails[0]: {"oauthClient": {"clientId": simulator.client_id, "clientSecret": simulator.client_secret}},
            emails[1]: {"oauthClient": {"file": "client.json"}},
        },
    )
    litellm_antigravity.register(Settings(**fields, account_selection_strategy="round-robin"))
    served = {text_of(litellm.completion(model=MODEL, messages=MESSAGES)) for _ in range(4)}
    assert {email for email in emails if any(email in text for text in served)} == {*emails[:2]}
    assert {one.email for one in simulator.log if one.kind == "served"} == {*emails[:2]}


def test_a_wrong_client_of_ones_own_is_named_and_another_account_serves(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path)
    emails = [one.email for one in simulator.accounts]
    wrong = {"oauthClient": {"clientId": "nobody", "clientSecret": SECRET}}
    simulator.write_accounts_file(fields["accounts_file"], entries={emails[0]: wrong})
    litellm_antigravity.register(Settings(**fields, account_selection_strategy="sticky"))
    assert emails[1] in text_of(litellm.completion(model=MODEL, messages=MESSAGES))
    simulator.write_accounts_file(fields["accounts_file"], entries=dict.fromkeys(emails, wrong))
    Path(fields["state_dir"]).rename(tmp_path / "old-state")
    litellm_antigravity.register(Settings(**{**fields, "state_dir": str(tmp_path / "new-state")}))
    with pytest.raises(litellm.InternalServerError) as caught:
        litellm.completion(model=MODEL, messages=MESSAGES)
    assert "`oauthClient` of its entry" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_wrong_client_of_the_settings_is_wrong_for_those_alone_that_have_none_of_their_own(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, oauth_client_secret=SECRET)
    email = simulator.accounts[1].email
    own = {"clientId": simulator.client_id, "clientSecret": simulator.client_secret}
    simulator.write_accounts_file(fields["accounts_file"], entries={email: {"oauthClient": own}})
    litellm_antigravity.register(Settings(**fields, account_selection_strategy="sticky"))
    assert email in text_of(litellm.completion(model=MODEL, messages=MESSAGES))


def test_a_client_file_that_changes_is_read_again(path: Path, tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "client.json"
    source = AccountsFile(put(path, entry(1, oauthClient={"file": "client.json"})), clock=clock)
    account = source.current().accounts[0]
    assert account.oauth_client is None
    assert "client.json" in (account.client_problem or "")
    file.write_text(json.dumps({"installed": {"client_id": "first"}}))
    clock.advance(2)
    assert client_of(source) == "first"
    file.write_text(json.dumps({"installed": {"client_id": "second-one"}}))
    clock.advance(2)
    assert client_of(source) == "second-one"


def client_of(source: AccountsFile) -> str:
    client = source.current().accounts[0].oauth_client
    assert client is not None
    return client.client_id


# Who is chosen


def test_an_account_that_needs_a_client_is_not_chosen(path: Path) -> None:
    """Before, it was chosen as if it were ready, and the request failed."""
    put(path, entry(1), entry(2, oauthClient={"clientId": "own"}), entry(3))
    pool = pool_of(path)
    assert {pool.acquire(CLAUDE).account.label for _ in range(6)} == {"us***2@gmail.com"}
    reasons = {state.account.label: [one.reason for one in state.cooldowns] for state in pool.states()}
    assert reasons["us***1@gmail.com"] == reasons["us***3@gmail.com"] == ["needs an OAuth client"]
    assert reasons["us***2@gmail.com"] == []


def test_an_account_without_a_bare_refresh_token_needs_no_client(path: Path) -> None:
    put(path, {"email": "a@gmail.com", "accessToken": "ya29.x"}, {"email": "b@gmail.com", "tokenCommand": ["token"]})
    pool = pool_of(path)
    assert len({pool.acquire(CLAUDE).account.id for _ in range(4)}) == 2


def test_when_all_need_a_client_the_error_is_one_sentence_that_says_so(path: Path) -> None:
    pool = pool_of(put(path, *(entry(number) for number in range(1, 5))))
    with pytest.raises(CredentialError, match=r"^4 accounts need an OAuth client; none is set: set `oauth_client_id`"):
        pool.acquire(CLAUDE)


def test_a_limit_of_those_that_have_a_client_is_told_beside_those_that_need_one(path: Path) -> None:
    pool = pool_of(put(path, entry(1), entry(2, oauthClient={"clientId": "own"}, disabledFamilies=["claude"])))
    with pytest.raises(AllAccountsLimitedError) as caught:
        pool.acquire(CLAUDE)
    assert caught.value.accounts == (
        "us***1@gmail.com: needs an OAuth client, until you act",
        "us***2@gmail.com: disabled for claude, until you act",
    )
    assert pool.acquire(GEMINI).account.label == "us***2@gmail.com"


def test_an_entry_whose_client_cannot_be_had_does_not_take_the_settings_one(path: Path) -> None:
    """Its token was issued to another client: the token endpoint would say that its sign-in is no longer valid."""
    put(path, entry(1, oauthClient={"file": "none.json"}), entry(2))
    pool = pool_of(path, oauth_client_id="common")
    assert {pool.acquire(CLAUDE).account.label for _ in range(4)} == {"us***2@gmail.com"}


@pytest.mark.parametrize(
    ("count", "said"), [(0, None), (1, "1 account needs an OAuth client; none"), (4, "4 accounts need an OAuth client")]
)
def test_the_sentence_counts_the_accounts_that_need_a_client(count: int, said: str | None) -> None:
    accounts = [Account.create(f"u{n}@x.y", RefreshToken(SecretStr(f"1//{n}"))) for n in range(count)]
    sentence = clients_missing(accounts, Settings())
    assert (sentence is None) if said is None else (sentence or "").startswith(said)
    assert clients_missing(accounts, Settings(oauth_client_id="common")) is None


# Families


@pytest.mark.parametrize(("family", "off", "on"), [("claude", CLAUDE, GEMINI), ("gemini", GEMINI, CLAUDE)])
@pytest.mark.parametrize("strategy", ["sticky", "round-robin", "hybrid"])
def test_a_family_that_is_disabled_for_an_account_is_served_by_the_others(
    strategy: str, family: str, off: str, on: str, path: Path
) -> None:
    """Before, `disabledFamilies` did not exist."""
    put(path, entry(1, disabledFamilies=[family]), entry(2))
    pool = pool_of(path, oauth_client_id="common", account_selection_strategy=strategy)
    assert {pool.acquire(off).account.label for _ in range(4)} == {"us***2@gmail.com"}
    served = {pool.acquire(on).account.label for _ in range(8)}
    assert "us***1@gmail.com" in served


def test_an_account_with_every_family_disabled_is_disabled(path: Path) -> None:
    put(path, entry(1, disabledFamilies=["claude", "gemini"]), entry(2))
    assert [account.enabled for account in AccountsFile(path).load().accounts] == [False, True]


@pytest.mark.parametrize("value", ["claude", ["opus"], {"claude": True}, [["claude"]]])
def test_a_switch_that_nobody_understands_disables_the_account_and_is_told(value: Any, path: Path) -> None:
    snapshot = AccountsFile(put(path, entry(1, disabledFamilies=value), entry(2))).load()
    assert [account.enabled for account in snapshot.accounts] == [False, True]
    assert "disabledFamilies" in snapshot.warnings[0]


def test_a_label_is_shown_as_the_user_chose_it(path: Path) -> None:
    snapshot = AccountsFile(put(path, entry(1, label="work"), entry(2, label="work"), entry(3, label=7))).load()
    assert [account.label for account in snapshot.accounts] == ["work", "work (#2)", "us***3@gmail.com"]
