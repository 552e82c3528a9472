"""Who tells people what happens to accounts: LiteLLM's own alerting where a proxy has it, and the webhook of ours."""

from __future__ import annotations

import asyncio
import atexit
import threading
from typing import TYPE_CHECKING, Any, Final

from litellm_antigravity import events
from litellm_antigravity.alerts.channels import Channel, NotToldError, Webhook
from litellm_antigravity.alerts.message import Alert
from litellm_antigravity.alerts.telling import Telling
from litellm_antigravity.alerts.watching import Watching
from litellm_antigravity.litellm.deployments import known_to
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.alert_names import BACK, POOL_SPENT, QUOTA_SPENT

if TYPE_CHECKING:
    from litellm_antigravity.litellm.handler import AntigravityLLM

_HAND_OVER_SECONDS: Final = 5.0
_LEVELS: Final = {BACK: "Low", QUOTA_SPENT: "Medium"}
_ACCOUNTS, _POOL = "cooldown_deployment", "outage_alerts"
"""LiteLLM's types of alerts that ours are sent as: its ``alert_types`` and ``alert_to_webhook_url`` go by them."""


class LiteLLMsAlerting:
    """The alerting of the proxy that has loaded us. It sends in batches, and tries once.

    Its methods belong to the proxy's event loop, which `note_loop` finds.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def note_loop(self) -> None:
        """Remember the running event loop, if there is one; cheap."""
        if self._loop is None:
            self._loop = asyncio._get_running_loop()  # `get_running_loop` raises in threads, which would cost

    @property
    def is_new(self) -> bool:
        """Whether no event loop is known yet."""
        return self._loop is None

    def is_open(self) -> bool:
        """Return whether the proxy's configuration names somewhere that texts go."""
        alerting: Any = getattr(find("slack_alerting_instance"), "alerting", None)
        return isinstance(alerting, (list, tuple)) and bool({"slack", "ms_teams"} & {*alerting})

    def tell(self, alert: Alert) -> None:
        """Hand an alert over; see `Channel.tell`."""
        instance, loop = find("slack_alerting_instance"), self._loop
        if instance is None or loop is None or loop.is_closed():
            raise NotToldError("LiteLLM's alerting is not there yet")
        kind = _POOL if alert.event == POOL_SPENT or alert.fields.get("account") is None else _ACCOUNTS
        told = instance.send_alert(
            message=alert.text, level=_LEVELS.get(alert.event, "High"), alert_type=kind, alerting_metadata={}
        )
        try:
            asyncio.run_coroutine_threadsafe(told, loop).result(_HAND_OVER_SECONDS)
        except Exception as error:  # noqa: BLE001 - LiteLLM's, such as a missing SLACK_WEBHOOK_URL
            why = type(error).__name__
        else:
            return
        raise NotToldError(f"LiteLLM's alerting: {why}")


class _Listening(Watching):
    """Notes the proxy's event loop, too: some events are told there."""

    def __init__(self, litellms: LiteLLMsAlerting, *args: Any) -> None:
        self._litellms = litellms
        super().__init__(*args)

    def hear(self, event: events.Event) -> None:
        """See `Watching.hear`; every request comes by here a few times."""
        if self._litellms.is_new:
            self._litellms.note_loop()
        super().hear(event)


class Alerting:
    """The alerts of this process, as the settings in use want them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: Settings | None = None
        self._listening: Watching | None = None
        self._is_registered = False

    def use(self, settings: Settings, handler: AntigravityLLM, *, in_proxy: bool) -> None:
        """Tell as these settings say from now on; opens nothing.

        Args:
            settings: in use.
            handler: the provider, which has the pool and the groups.
            in_proxy: whether a proxy has loaded us, which may have an alerting of its own.
        """
        with self._lock:
            if settings == self._settings:
                return
            self._settings = settings
            if self._listening is not None:
                events.stop_listening(self._listening)
                self._listening.end()  # and nobody waits for it: this may be an event loop's thread
                self._listening = None
            litellms = LiteLLMsAlerting()
            channels: list[Channel] = [litellms] if in_proxy else []
            if settings.alert_webhook_url is not None:
                channels.append(Webhook(settings.alert_webhook_url))
            if not channels or not settings.alerts:
                return
            self._listening = _Listening(litellms, lambda: _telling(settings, handler, channels), channels)
            events.listen(self._listening)
            if not self._is_registered:
                atexit.register(self.stop)
                self._is_registered = True

    def stop(self) -> None:
        """Tell what is left, if that takes a moment only: called when the process ends."""
        if self._listening is not None:
            self._listening.stop()


ALERTING: Final = Alerting()
"""That of this process: events are the process's, whatever pools it has."""


def _telling(settings: Settings, handler: AntigravityLLM, channels: list[Channel]) -> Telling:
    pool = handler.dispatcher.pool
    return Telling(pool.store, lambda: known_to(pool), channels, frozenset(settings.alerts), pool.clock)


__all__ = ["ALERTING", "Alerting", "LiteLLMsAlerting"]
