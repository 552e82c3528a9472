"""A rotated refresh token outlives the process also where the accounts file cannot be written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from rotating import new_token, start
from serving import fields_of
from support import PYTHON_PATH

from litellm_antigravity.accounts import Account, RefreshToken
from litellm_antigravity.credentials.rotation import RotatedTokens
from litellm_antigravity.errors import GrantRevokedError
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore

pytestmark = pytest.mark.once
pytest.importorskip("cryptography")

USER1 = "user1@example.com"


@pytest.fixture
def simulator(antigravity_simulator: Simulator) -> Simulator:
    """A token endpoint whose refresh tokens are good once."""
    antigravity_simulator.rotate_refresh_tokens, antigravity_simulator.keep_old_refresh_tokens = True, False
    return antigravity_simulator


@pytest.fixture
def fields(simulator: Simulator, tmp_path: Path) -> dict[str, Any]:
    return fields_of(simulator, tmp_path)


def refuse_writes(fields: dict[str, Any]) -> None:
    """Keep the accounts file from being written, for root as well: something that is no lock is in its lock's place."""
    Path(f"{fields['accounts_file']}.lock").write_text("")


def test_a_token_that_the_accounts_file_could_not_take_serves_the_next_process(
    simulator: Simulator, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Before, the new token was dropped with a warning, and the next process found its sign-in revoked."""
    refuse_writes(fields)
    first = simulator.account(USER1).refresh_token
    tokens = [new_token(fields) for _ in range(3)]
    assert len(set(tokens)) == 3
    assert simulator.account(USER1).refresh_token != first
    assert "is kept in `state_dir` alone" in caplog.text
    assert simulator.account(USER1).refresh_token not in caplog.text


def test_an_accounts_file_that_came_back_as_it_was_does_not_sign_anybody_out(fields: dict[str, Any]) -> None:
    """Before, a container that started again with the file of its image was signed out for good."""
    file = Path(fields["accounts_file"])
    of_the_image = file.read_bytes()
    for _ in range(3):
        assert new_token(fields)
        file.write_bytes(of_the_image)


def test_the_state_alone_gives_nobody_an_account(simulator: Simulator, fields: dict[str, Any]) -> None:
    refuse_writes(fields)
    tokens = []
    for _ in range(3):
        new_token(fields)
        tokens.append(simulator.account(USER1).refresh_token)
    content = b"".join(file.read_bytes() for file in Path(fields["state_dir"]).rglob("*") if file.is_file())
    assert b"rotated/" in content
    assert not any(token.encode() in content for token in tokens)


def test_a_new_sign_in_wins_over_a_token_that_was_kept(simulator: Simulator, fields: dict[str, Any]) -> None:
    refuse_writes(fields)
    new_token(fields)
    document = json.loads(Path(fields["accounts_file"]).read_text())
    document["accounts"][0]["refreshToken"] = simulator.sign_in(USER1)
    Path(fields["accounts_file"]).write_text(json.dumps(document))
    assert new_token(fields)


def test_a_kept_token_that_was_revoked_leaves_the_accounts_file_s_own(
    simulator: Simulator, fields: dict[str, Any]
) -> None:
    refuse_writes(fields)
    simulator.keep_old_refresh_tokens = True
    new_token(fields)
    tokens, accounts = start(fields)
    account = accounts.current().accounts[0]
    assert isinstance(account.credential, RefreshToken)
    RotatedTokens(tokens._store).keep(account, account.credential, SecretStr("1//revoked"))
    assert new_token(fields)


def test_without_cryptography_the_process_itself_remembers_and_forgets_one_account_alone(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    rotated = RotatedTokens(DiskStore(Path(fields["state_dir"])))
    accounts = [Account.create(f"user{one}@example.com", RefreshToken(SecretStr(f"1//old-{one}"))) for one in "ab"]
    for account in accounts:
        assert isinstance(account.credential, RefreshToken)
        rotated.keep(account, account.credential, SecretStr(f"{account.credential.token.get_secret_value()}-new"))
    rotated.forget(accounts[0])
    assert rotated.newest(accounts[0]) is accounts[0]
    assert rotated.newest(accounts[1]).credential == RefreshToken(SecretStr("1//old-b-new"))


def test_a_revoked_grant_is_still_told_when_a_token_was_kept(simulator: Simulator, fields: dict[str, Any]) -> None:
    refuse_writes(fields)
    new_token(fields)
    simulator.revoke(USER1)
    with pytest.raises(GrantRevokedError):
        new_token(fields)


IN_A_CONTAINER = """
mount --bind "$1" "$1"
exec "$2" -c '
import json, sys
from rotating import new_token
for _ in range(2):
    new_token(json.loads(sys.argv[1]))
' "$3"
"""


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and subprocess.run([unshare, "-m", "true"], check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not may_mount(), reason="only root, where it may have mounts of its own, can bind a file")
def test_a_file_that_is_bind_mounted_into_a_container_keeps_its_accounts(fields: dict[str, Any]) -> None:
    """Before: EBUSY, and after the next start every account was revoked."""
    file = str(fields["accounts_file"])
    plain = json.dumps({name: os.fspath(value) if isinstance(value, Path) else value for name, value in fields.items()})
    arguments = ["unshare", "-m", "sh", "-ec", IN_A_CONTAINER, "sh", file, sys.executable, plain]
    path = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=100, env=path)
    assert done.returncode == 0, done.stderr
    assert "Device or resource busy" in done.stderr
    assert new_token(fields)
