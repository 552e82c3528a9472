"""``doctor``: all checks, those that take time at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.cli.doctor_accounts import check_accounts, read_accounts
from litellm_antigravity.cli.doctor_hosts import check_hosts
from litellm_antigravity.cli.doctor_litellm import check_litellm
from litellm_antigravity.cli.doctor_network import check_network
from litellm_antigravity.cli.doctor_proxy import check_proxy_file
from litellm_antigravity.cli.doctor_report import Finding, Report
from litellm_antigravity.cli.doctor_settings import check_settings
from litellm_antigravity.cli.doctor_state import check_state
from litellm_antigravity.cli.proxy_block import read_block
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.settings.effective import effective_settings


def examine(config: Path | None = None, *, offline: bool = False) -> Report:
    """Return what all checks found.

    Args:
        config: a proxy's YAML.
        offline: leave out what needs the network.
    """
    with ThreadPoolExecutor(4) as threads:
        litellm = threads.submit(_all, check_litellm)
        LOGGER.setLevel(logging.ERROR)  # what would be warned of is told as a finding
        try:
            settings, effective = effective_settings(*read_block(config))
        except SettingsError as error:
            wrong = [Finding("settings", "failed", line) for line in str(error).splitlines()]
            rest = Finding("accounts and state", "skipped", "The settings say where they are.")
            return Report((*wrong, rest, *litellm.result()), ())
        state = threads.submit(_all, lambda: check_state(settings))
        network = None if offline else threads.submit(_all, lambda: check_network(settings))
        hosts = None if offline else threads.submit(_all, lambda: check_hosts(settings))
        accounts = read_accounts(settings)
        enabled = len(accounts.enabled) if isinstance(accounts, AccountsSnapshot) else 0
        findings = [] if config is None else [*check_proxy_file(config)]
        findings += [*check_settings(settings, effective, enabled), *check_accounts(accounts, settings)]
        findings += [Finding("network", "skipped", "Not asked.")] if network is None else network.result()
        findings += [*state.result(), *([] if hosts is None else hosts.result())]
        return Report((*findings, *litellm.result()), effective)


def _all(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    return list(check())
