"""A proxy's configuration for the accounts there are: text, so that it can have comments."""

from __future__ import annotations

import json
from collections.abc import Sequence

from litellm_antigravity.accounts import Account
from litellm_antigravity.models import PROVIDER
from litellm_antigravity.settings import Settings

DEFAULT_MODELS = ("claude-sonnet-4-6", "gemini-3-flash")

_OURS = """\
litellm_settings:
  custom_provider_map:
    - {provider: antigravity, custom_handler: litellm_antigravity.handler}
  callbacks: [litellm_antigravity.hook]
"""

_KEY = """\
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""


def pool_yaml(accounts: Sequence[Account], models: Sequence[str], settings: Settings) -> str:
    """Return a configuration in which one deployment of each model stands for all accounts.

    Args:
        accounts: that are there now; others may come and go.
        models: upstream's names.
        settings: that hold here; what they say of the strategy is kept.
    """
    head = f"# All {len(accounts)} accounts" if len(accounts) > 1 else "# One account"
    deployments = "".join(_deployment(model) for model in models)
    return (
        f"{head} behind each model: this package chooses one for each request. No account is named here.\n"
        f"# litellm --config FILE (with a key of your own in LITELLM_MASTER_KEY)\n"
        f"model_list:\n{deployments}\n{_OURS}\n{_strategy(settings, 'sticky')}\n{_KEY}"
    )


def pinned_yaml(accounts: Sequence[Account], models: Sequence[str], settings: Settings) -> str:
    """Return a configuration with one deployment of each model for each account.

    Args:
        accounts: to be named.
        models: upstream's names.
        settings: that hold here; what they say of the strategy is kept.
    """
    deployments = "".join(_deployment(model, account) for model in models for account in accounts)
    router = (
        "router_settings:\n"
        f"  num_retries: {max(1, len(accounts) - 1)} # at least one less than there are accounts\n"
        "  disable_cooldowns: true # this package keeps them; LiteLLM's metrics count them all the same\n"
    )
    return (
        "# One deployment for each account: our strategy chooses, LiteLLM's own retry goes to the next one.\n"
        "# litellm --config FILE (with a key of your own in LITELLM_MASTER_KEY)\n"
        f"model_list:\n{deployments}\n{_OURS}\n{router}\n{_strategy(settings, 'round-robin')}\n{_KEY}"
    )


def _deployment(model: str, account: Account | None = None) -> str:
    name, target = json.dumps(model), json.dumps(f"{PROVIDER}/{model}")  # JSON is YAML, whatever is in it
    info = "" if account is None else f"    model_info: {{account: {json.dumps(account.email or account.id)}}}\n"
    return f"  - model_name: {name}\n    litellm_params: {{model: {target}}}\n{info}"


def _strategy(settings: Settings, otherwise: str) -> str:
    """Return the block of our settings: what was chosen here, or what suits the shape."""
    chosen = "account_selection_strategy" in settings.model_fields_set
    strategy = settings.account_selection_strategy if chosen else otherwise
    lines = ["antigravity_settings:", f"  account_selection_strategy: {strategy}"]
    if strategy == "sticky":
        lines += ["  pid_offset_enabled: true", "  offset_source: slot # workers never collide"]
    return "\n".join(lines) + "\n"
