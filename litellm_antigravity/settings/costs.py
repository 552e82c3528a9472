"""The setting ``model_costs``: what a token is to cost, for users who want to see a subscription's worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.models import canonical_model
from litellm_antigravity.settings.files import read_object
from litellm_antigravity.settings.names import nearest
from litellm_antigravity.settings.places import spell_path
from litellm_antigravity.settings.types import NonNegative


class ModelCosts(BaseModel):
    """What one token of a model costs, in US dollars; the names are those of LiteLLM's model table.

    Without a price of its own, a reasoning token costs what an output token does, a cached one and one written to the
    cache what an input token does, and one above 200,000 what one below does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    input_cost_per_token: NonNegative = 0.0
    output_cost_per_token: NonNegative = 0.0
    output_cost_per_reasoning_token: NonNegative | None = None
    cache_read_input_token_cost: NonNegative | None = None
    cache_creation_input_token_cost: NonNegative | None = None
    input_cost_per_token_above_200k_tokens: NonNegative | None = None
    output_cost_per_token_above_200k_tokens: NonNegative | None = None
    cache_read_input_token_cost_above_200k_tokens: NonNegative | None = None


FREE = ModelCosts()
"""What a model costs that the table does not have: nothing, since the subscription is paid for already."""


def model_costs(setting: Path | Mapping[str, Any] | None) -> dict[str, ModelCosts]:
    """Return the costs by model, in upstream's names.

    Args:
        setting: the table, or the JSON file that it is in.

    Raises:
        SettingsError: when there is no such file, or when the table is not one. The message says where and what.
    """
    if setting is None:
        return {}
    if isinstance(setting, Mapping):
        return _checked(setting, "model_costs")
    where = f"model_costs file {spell_path(setting)}"
    table = read_object(setting)
    if table is None:
        msg = f"The {where} is not there. Write it, or leave the setting out: then requests cost nothing."
        raise SettingsError(msg)
    return _checked(table, where)


def _checked(table: Mapping[str, Any], where: str) -> dict[str, ModelCosts]:
    costs: dict[str, ModelCosts] = {}
    problems: list[str] = []
    for model, prices in table.items():
        name = ascii(str(model)[:80])
        if not isinstance(prices, Mapping):
            problems.append(f"{where}: the entry of {name} must be an object of prices.")
            continue
        try:
            costs[canonical_model(str(model))] = ModelCosts.model_validate(dict(prices))
        except ValidationError as error:
            problems += [_describe(one["loc"], one["type"], f"{where}: {name}") for one in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    return costs


def _describe(loc: tuple[int | str, ...], kind: str, where: str) -> str:
    field = str(loc[0])
    shown = ascii(field[:80])
    if kind != "extra_forbidden":
        return f"{where}: {shown} must be a number >= 0, in dollars for one token."
    meant = nearest(field, ModelCosts.model_fields)
    hint = f"did you mean '{meant}'?" if meant else f"the prices are {', '.join(ModelCosts.model_fields)}."
    return f"{where}: there is no price {shown}; {hint}"
