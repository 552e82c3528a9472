"""Who listens in this process: what `statistics` says."""

from __future__ import annotations

import threading

from litellm_antigravity import events
from litellm_antigravity.observability.counting import Counting
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.settings import Settings


class Observer:
    """The listeners of this process, as the settings in use want them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting: Counting | None = None
        self._settings: Settings | None = None

    def use(self, settings: Settings, *, in_proxy: bool) -> None:
        """Listen as these settings say from now on; opens nothing.

        Args:
            settings: in use.
            in_proxy: whether a proxy has loaded us.
        """
        with self._lock:
            if settings == self._settings:
                return
            self._settings = settings
            if self._counting is not None:
                events.stop_listening(self._counting)
                self._counting = None
            if settings.statistics == "always" or (settings.statistics == "proxy" and in_proxy):
                self._counting = Counting(Counts(settings.state_dir))
                events.listen(self._counting)

    @property
    def counts(self) -> Counts | None:
        """The counts of this process; ``None`` where nothing is counted."""
        return None if self._counting is None else self._counting.counts


OBSERVER = Observer()
"""That of this process: events are the process's, whatever pools it has."""


__all__ = ["OBSERVER", "Observer"]
