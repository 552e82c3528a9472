"""What tests of the provider need: settings that point at a simulator, and a look into responses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litellm_antigravity import Settings
from litellm_antigravity.simulator import Simulator

MODEL = "antigravity/claude-sonnet-4-6"
MESSAGES = [{"role": "user", "content": "Hello"}]
ACCOUNT_HEADER = "x-litellm-antigravity-account"


def fields_of(simulator: Simulator, folder: Path, **more: Any) -> dict[str, Any]:
    """Return settings, to be sent to another process: the simulator's accounts, and the state in ``folder``."""
    accounts_file = folder / "antigravity-accounts.json"
    if not accounts_file.exists():
        simulator.write_accounts_file(accounts_file)
    fields = {
        "accounts_file": str(accounts_file),
        "state_dir": str(folder / "state"),
        "endpoint": simulator.url,
        "token_url": simulator.token_url,
        "oauth_client_id": simulator.client_id,
        "oauth_client_secret": simulator.client_secret,
    }
    return {**fields, **more}


def settings_of(simulator: Simulator, folder: Path, **more: Any) -> Settings:
    """Return settings for this process."""
    return Settings(**fields_of(simulator, folder, **more))


def text_of(reply: Any) -> str:
    """Return the text of a response, or of the list of a stream's chunks."""
    if isinstance(reply, list):
        return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
    return str(reply.choices[0].message.content)


def account_of(reply: Any) -> str:
    """Return the masked account that a response, or the list of a stream's chunks, names."""
    one = reply[0] if isinstance(reply, list) else reply
    return str(one._hidden_params["additional_headers"][ACCOUNT_HEADER])


def some_requests(fields: dict[str, Any], number: int) -> None:
    """In a process of its own: ask for whole and streamed replies; nobody reads every fourth one to its end."""
    import contextlib

    import litellm

    import litellm_antigravity

    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    for each in range(number):
        with contextlib.suppress(litellm.exceptions.RateLimitError):
            reply = litellm.completion(model=MODEL, messages=MESSAGES, stream=each % 2 == 0)
            if each % 4 == 0:
                list(reply)
            elif each % 2 == 0:
                next(iter(reply))
