"""``doctor``: the settings, their sources, and what contradicts what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from litellm_antigravity.cli.doctor_report import Finding
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.effective import EffectiveSetting
from litellm_antigravity.settings.names import nearest, setting_places
from litellm_antigravity.settings.sources import (
    ENV_PREFIX,
    OPENCODE_VARIABLES,
    env_name,
    idle_variables,
    misspelt_keys,
)

_CHECK = "settings"
_OTHERS_PREFIXES = ("ANTIGRAVITY_", "LITELLM_ANTIGRAVITY", "OPENCODE_ANTIGRAVITY_")
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def check_settings(settings: Settings, effective: Sequence[EffectiveSetting], accounts: int) -> Iterator[Finding]:
    """Yield what is set and by what, wrong names, and contradictions.

    Args:
        settings: that hold.
        effective: the same with their sources.
        accounts: how many are enabled; 0 when nobody knows.
    """
    yield Finding(_CHECK, "ok", _told(settings, effective), "`litellm-antigravity config show` shows all.")
    yield from _wrong_names()
    by_name = {one.name: one for one in effective}
    for says, remedy in _contradictions(settings, by_name, accounts):
        yield Finding(_CHECK, "warning", says, remedy)


def _told(settings: Settings, effective: Sequence[EffectiveSetting]) -> str:
    """Return the strategy, and which settings each source has set."""
    offset = f"offset by {settings.offset_source}" if settings.pid_offset_enabled else "no offset"
    by_source: dict[str, list[str]] = {}
    for one in effective:
        if one.is_set:
            source = "environment variables" if one.source.startswith("environment variable") else one.source
            by_source.setdefault(source, []).append(one.name)
    given = [f"Set by {source}: {', '.join(names)}." for source, names in by_source.items()]
    told = given or ["All are defaults."]
    return f"Strategy {settings.account_selection_strategy}, {offset}. {' '.join(told)}"


def _wrong_names() -> Iterator[Finding]:
    """Yield names that set nothing, though somebody meant them to."""
    for variable, meant in (*idle_variables(Settings), *_other_variables()):
        remedy = f"Did you mean {meant}?" if meant else "`litellm-antigravity config show` lists the settings."
        yield Finding(_CHECK, "failed", f"The environment variable {variable} sets nothing.", remedy)
    for file, key, meant in misspelt_keys(Settings):
        yield Finding(_CHECK, "failed", f"{file}: {key!r} sets nothing.", f"Did you mean {meant!r}?")


def _other_variables() -> Iterator[tuple[str, str]]:
    """Yield variables of other prefixes whose rest is a setting of ours, and the name that sets it.

    The plugin's own variables are left alone, but for those that would mean something here.
    """
    known = {env_name(place).removeprefix(ENV_PREFIX): env_name(place) for place in setting_places(Settings)}
    for variable in sorted(name.upper() for name, value in os.environ.items() if value):
        prefix = next((one for one in _OTHERS_PREFIXES if variable.startswith(one)), None)
        if prefix is None or variable.startswith(ENV_PREFIX) or variable in OPENCODE_VARIABLES.values():
            continue
        meant = nearest(variable.removeprefix(prefix).strip("_"), known, cutoff=0.9)
        if meant is not None:
            yield variable, known[meant]


def _contradictions(
    settings: Settings, effective: Mapping[str, EffectiveSetting], accounts: int
) -> Iterator[tuple[str, str]]:
    """Yield what is set and does nothing, or not what its name says, each with what helps."""
    strategy, offset = settings.account_selection_strategy, settings.pid_offset_enabled
    if offset and strategy == "round-robin":
        says = "pid_offset_enabled does nothing with round-robin: each process begins with another account anyway."
        yield says, "Leave it out, or set account_selection_strategy to sticky."
    elif offset and accounts == 1:
        yield "pid_offset_enabled does nothing with one account.", "Add accounts, or leave it out."
    elif offset and strategy == "hybrid":
        says = "pid_offset_enabled acts with hybrid only when no account is good enough, which is rare."
        yield says, "Set account_selection_strategy to sticky to spread processes."
    elif offset and settings.offset_source == "pid" and any(mark.exists() for mark in _CONTAINER_MARKS):
        says = "Process ids are nearly always the same in containers, so a PID offset spreads nothing."
        yield says, "Set offset_source to slot, and let the containers share state_dir."
    if effective["offset_source"].is_set and not offset:
        yield "offset_source does nothing while pid_offset_enabled is false.", "Set pid_offset_enabled to true."
    if settings.sticky_wait_seconds and strategy == "round-robin":
        yield "sticky_wait_seconds does nothing with round-robin.", "Set account_selection_strategy to sticky."
    elif settings.sticky_wait_seconds and strategy == "hybrid" and settings.sticky_scope == "process":
        says = "sticky_wait_seconds does nothing with hybrid where sticky_scope is process."
        yield says, "Set account_selection_strategy to sticky, or sticky_scope to auto."
    if strategy == "round-robin" and effective["sticky_scope"].is_set and settings.sticky_scope != "process":
        yield "sticky_scope does nothing with round-robin: it keeps no account.", "Set another strategy."
    tuned = [one.name for one in effective.values() if "." in one.name and one.is_set]
    if tuned and strategy != "hybrid":
        yield f"{', '.join(tuned)}: only hybrid chooses by it, not {strategy}.", "Leave it out."
    if settings.oauth_client_secret is not None and not settings.oauth_client_id:
        yield "oauth_client_secret is set, but oauth_client_id is not.", "Set both: they are one client's."
    for name in ("endpoint", "token_url"):
        host = urlsplit(getattr(settings, name)).hostname or ""
        if host in ("localhost", "127.0.0.1", "::1"):
            yield f"{name} is on this machine, so nothing reaches Google.", "Leave it out, unless that is meant."
        elif effective[name].is_set and not host.endswith((".googleapis.com", ".google.com")):
            yield f"{name} is not Google's: credentials are sent to {host}.", "Leave it out, unless that is meant."
