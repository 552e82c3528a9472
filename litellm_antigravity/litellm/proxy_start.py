"""What a proxy says of us when it starts: one line of what it will do, or the sentence that helps when it cannot."""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from litellm_antigravity.accounts import Account
from litellm_antigravity.credentials.clients import clients_missing
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.litellm.errors import prefix_is_plugins
from litellm_antigravity.litellm.seams.requests import model_of, params_of
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.masking import shown
from litellm_antigravity.models import PROVIDER, plugins_name
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.places import spell_path

_SERVERS_LOGGER = logging.getLogger("uvicorn.error")
"""Where uvicorn, also in gunicorn's workers, writes what the proxy says at its start."""

_said: list[str] = []


def deployments_of_ours(model_list: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return the Antigravity deployments of a model list."""
    return [one for one in model_list if isinstance(one, Mapping) and model_of(one).startswith(f"{PROVIDER}/")]


def check_names(model_list: Sequence[Any], source: str) -> None:
    """Check that no deployment has a model that is written as OpenCode's plugin writes it.

    LiteLLM would leave out such a deployment, or ask every account in vain.

    Raises:
        SettingsError: when one has; the message says how it is written here.
    """
    for one in model_list:
        if not isinstance(one, Mapping) or not _is_to_be_found_out(params_of(one)):
            continue
        meant = plugins_name(model_of(one))
        if meant is not None:
            name = shown(str(one.get("model_name")), 80)
            msg = f"{source}: deployment {name!r} has the model {model_of(one)!r}; {prefix_is_plugins(meant)}"
            raise SettingsError(msg)


def _is_to_be_found_out(params: Mapping[str, Any]) -> bool:
    """Return whether the model's name alone says which provider has it."""
    return not params.get("custom_llm_provider") and not params.get("api_base")


def say_what_will_be(settings: Settings, accounts: Sequence[Account] | None) -> None:
    """Write one line at level INFO: accounts, strategy, offset, state folder; and a warning if accounts need a client.

    Not again while it stays the same.

    Args:
        settings: that the proxy has for us.
        accounts: the enabled ones; ``None`` when no deployment is ours, and so none are needed.
    """
    line = (
        f"litellm-antigravity: {_accounts(accounts)}, strategy {settings.account_selection_strategy}, "
        f"{_offset(settings)}, state in {spell_path(settings.state_dir)}"
    )
    missing = clients_missing(accounts or (), settings)
    said = f"{line} {missing}"
    if said in _said[-1:]:
        return
    _said.append(said)
    (LOGGER if _shows(LOGGER) else _SERVERS_LOGGER).info("%s", line)
    if missing is not None:
        LOGGER.warning("%s", missing)


def _shows(logger: logging.Logger) -> bool:
    return logger.isEnabledFor(logging.INFO) and logger.hasHandlers()


def _accounts(accounts: Sequence[Account] | None) -> str:
    if accounts is None:
        return "no Antigravity deployments"
    return "1 account" if len(accounts) == 1 else f"{len(accounts)} accounts"


def _offset(settings: Settings) -> str:
    if not settings.pid_offset_enabled:
        return "no offset"
    if settings.account_selection_strategy == "round-robin":
        return "offset without effect"
    return f"offset by {settings.offset_source}"


def has_failed(why: str) -> None:
    """Write ``why`` once more when the process ends: the server's traceback of 300 lines would bury it.

    LiteLLM tells people of a weak master key in the same way. Not in a proxy that serves already: a configuration that
    cannot be loaded again is no failed start.
    """
    if not _said:
        atexit.register(_write_last, why)


def has_not_failed() -> None:
    """Take back what `has_failed` was told."""
    atexit.unregister(_write_last)


def _write_last(why: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"\nThe proxy could not start. {why}\n")
    sys.stderr.flush()


__all__ = ["check_names", "deployments_of_ours", "has_failed", "has_not_failed", "say_what_will_be"]
