"""``doctor``: whether the endpoints can be reached, and whether this machine's clock agrees with theirs.

Neither is asked for anything: whatever status they answer with, they have been reached. No credential is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from litellm_antigravity.cli.doctor_report import Finding, State
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.logs import spell_duration
from litellm_antigravity.settings import Settings
from litellm_antigravity.wire.http import HttpClients

_TIMEOUT_SECONDS = 10.0
_TOLERATED_SECONDS = 30.0
_MUCH_SECONDS = 300.0  # tokens are refreshed so long before they expire
_PROXIES = "Check the network, and the variables HTTPS_PROXY and NO_PROXY."


def check_network(settings: Settings, clock: Clock | None = None) -> Iterator[Finding]:
    """Yield whether both endpoints answer, and by how much the clock is off.

    Args:
        settings: for the endpoints.
        clock: the source of time.
    """
    clock, clients = clock or SystemClock(), HttpClients()
    try:
        client = clients.sync()
        yield _reached(client, "endpoint", settings.endpoint, settings)[0]
        before = clock.time()
        finding, answer = _reached(client, "token endpoint", settings.token_url, settings)
        yield finding
        yield _clock(answer, (before + clock.time()) / 2)
    except SettingsError as error:  # a proxy or a certificate file that the environment names
        yield Finding("endpoint", "failed", str(error))
    finally:
        clients.close()


def _reached(client: httpx.Client, check: str, url: str, settings: Settings) -> tuple[Finding, httpx.Response | None]:
    host = urlsplit(url).netloc
    try:
        answer = client.get(url, headers={"user-agent": settings.user_agent}, timeout=_TIMEOUT_SECONDS)
    except httpx.TimeoutException:
        return Finding(check, "failed", f"{host} has not answered for {_TIMEOUT_SECONDS:.0f} s.", _PROXIES), None
    except httpx.HTTPError as error:
        # The kind alone: what httpx says may quote a proxy's password.
        return Finding(check, "failed", f"{host} cannot be reached ({type(error).__name__}).", _PROXIES), None
    except httpx.InvalidURL:
        return Finding(check, "failed", f"{host} is no address.", "Correct it."), None
    return Finding(check, "ok", f"{host} answers."), answer


def _clock(answer: httpx.Response | None, here: float) -> Finding:
    if answer is None:
        return Finding("clock", "skipped", "Nobody to compare it with.")
    try:
        off = here - parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return Finding("clock", "skipped", "The token endpoint does not say what time it is.")
    if abs(off) <= _TOLERATED_SECONDS:
        return Finding("clock", "ok", "It agrees with the token endpoint's.")
    state: State = "failed" if abs(off) > _MUCH_SECONDS else "warning"
    told = f"It is {spell_duration(abs(off))} {'ahead of' if off > 0 else 'behind'} the token endpoint's."
    return Finding("clock", state, told, "Set it, best by NTP: tokens and cooldowns end by it.")
