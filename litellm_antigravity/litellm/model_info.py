"""What LiteLLM is told of our models: limits, features, and what a token costs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, get_args

import litellm

from litellm_antigravity.models import BUILT_IN_MODELS, PROVIDER, Feature, canonical_model, facts_of
from litellm_antigravity.settings.costs import FREE, ModelCosts

_MOST_LEARNT: Final = 500  # names are the callers'; an honest host has dozens

_ANTHROPICS_OWN: Final = ("assistant_prefill", "computer_use", "per_turn_control", "tool_search")
"""What LiteLLM infers of a Claude model from its name, though Claude has it at Anthropic's own API only."""

_lock = threading.Lock()
_written: dict[str, dict[str, Any]] = {}
_costs: dict[str, ModelCosts] = {}


def register_models(costs: Mapping[str, ModelCosts] | None = None) -> None:
    """Tell LiteLLM of the built-in models, and of those that ``costs`` names.

    What the user has told LiteLLM of one of them stays, unless the table says otherwise.

    Call it once the provider is known to LiteLLM, which otherwise prints that it does not know it.

    Args:
        costs: the price of a token, by model; the other models cost nothing, since a subscription is paid for already.
            ``None`` leaves the costs as they are.
    """
    with _lock:
        if costs is not None:
            _costs.clear()
            _costs.update(costs)
        names = {*BUILT_IN_MODELS, *_costs, *(key.removeprefix(f"{PROVIDER}/") for key in _written)}
        _register(names)


def learn(model: str) -> None:
    """Tell LiteLLM of a model that upstream has just served, under the spelling it was asked for.

    Without it, a model that is not built in would have no cost at all rather than none.
    """
    key = f"{PROVIDER}/{model}"
    if key in _written or len(_written) >= _MOST_LEARNT:
        return
    with _lock:
        if key not in _written:
            _register({model})


def costs_nothing(model: str, litellm_params: Mapping[str, Any]) -> bool:
    """Return whether it is certain that a reply costs nothing, whatever it consumed.

    Args:
        model: as it was asked for.
        litellm_params: of LiteLLM's call; a deployment may have prices of its own.
    """
    entry = litellm.model_cost.get(f"{PROVIDER}/{model}")
    if entry is None or getattr(litellm, "cost_margin_config", None):
        return False
    about = [litellm_params.get("metadata"), litellm_params.get("litellm_metadata"), litellm_params]
    infos = [one.get("model_info") for one in about if isinstance(one, Mapping)]
    return not any(_has_price(one) for one in (entry, litellm_params, *infos) if isinstance(one, Mapping))


def _has_price(fields: Mapping[str, Any]) -> bool:
    return any(
        value and ("cost" in name or "pricing" in name or name == "base_model") for name, value in fields.items()
    )


def _register(names: set[str]) -> None:
    changed: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        key = f"{PROVIDER}/{name}"
        entry, before, known = _entry(name), _written.get(key, {}), litellm.model_cost.get(key) or {}
        _written[key] = entry
        stale = (before.keys() - entry.keys()) & known.keys()  # prices of a table that is no longer used
        if canonical_model(name) not in _costs:
            entry = entry | {field: known[field] for field in entry.keys() & known if _is_theirs(field, known, before)}
        if stale or any(known.get(field) != value for field, value in entry.items()):
            # Said to be none, since LiteLLM puts what it is told over what it remembers.
            changed[key] = entry | dict.fromkeys(stale)
    if changed:
        litellm.register_model(changed)
    for key, entry in changed.items():
        for field in entry.keys() - _written[key].keys():
            litellm.model_cost[key].pop(field, None)


def _is_theirs(field: str, known: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    value = known[field]
    return value is not None and (field not in before or before[field] != value)


def _entry(name: str) -> dict[str, Any]:
    """Return a model's entry in LiteLLM's table."""
    facts = facts_of(name)
    return {
        "litellm_provider": PROVIDER,
        "mode": "chat",
        "max_tokens": facts.max_output_tokens,  # LiteLLM's name for the older meaning
        "max_input_tokens": facts.max_input_tokens,
        "max_output_tokens": facts.max_output_tokens,
        # What it cannot do is said too: LiteLLM would infer it from the name.
        **{f"supports_{feature}": feature in facts.features for feature in get_args(Feature)},
        **{f"supports_{feature}": False for feature in _ANTHROPICS_OWN},
        **_prices(_costs.get(canonical_model(name), FREE)),
    }


def _prices(costs: ModelCosts) -> dict[str, float]:
    """Return the prices, with those filled in that LiteLLM would take for zero, and warn of."""
    given = costs.model_dump(exclude_none=True)
    return {
        **given,
        "cache_read_input_token_cost": given.get("cache_read_input_token_cost", costs.input_cost_per_token),
        "cache_creation_input_token_cost": given.get("cache_creation_input_token_cost", costs.input_cost_per_token),
    }


__all__ = ["costs_nothing", "learn", "register_models"]
