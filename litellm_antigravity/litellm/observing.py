"""Who listens in this process: what `statistics` says."""

from __future__ import annotations

import atexit
import threading
import time
from typing import Any, Final

from litellm_antigravity import events
from litellm_antigravity.lease import Lease
from litellm_antigravity.litellm.seams.requests import params_of
from litellm_antigravity.masking import mask_emails
from litellm_antigravity.observability.counting import Counting
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.last_hour import LastHour
from litellm_antigravity.observability.remembering import Remembering
from litellm_antigravity.observability.ring import Ring
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings

_SPEND_LOGS: Final = "spend_logs_metadata"
"""Of a call's metadata: LiteLLM keeps what is in it, if it is a dictionary."""


class Observer:
    """The listeners of this process, as the settings in use want them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting: Counting | None = None
        self._remembering: Remembering | None = None
        self._hour: LastHour | None = None
        self._settings: Settings | None = None
        self._is_registered = False

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
            for listener in (self._counting, self._remembering, self._hour):
                if listener is not None:
                    events.stop_listening(listener)
            self._counting = self._remembering = self._hour = None
            if settings.statistics == "always" or (settings.statistics == "proxy" and in_proxy):
                self._counting = Counting(Counts(settings.state_dir))
                if not self._is_registered:
                    atexit.register(self.flush)
                    self._is_registered = True
                self._remembering = Remembering(Ring(settings.state_dir), VitalsRules.of(settings), time.time)
                events.listen(self._counting)
                self._hour = LastHour(settings.state_dir)
                events.listen(self._remembering)
                events.listen(self._hour)

    @property
    def counts(self) -> Counts | None:
        """The counts of this process; ``None`` where nothing is counted."""
        return None if self._counting is None else self._counting.counts

    @property
    def ring(self) -> Ring | None:
        """The last decisions, those of a moment ago as well; ``None`` where none are remembered."""
        if self._remembering is None:
            return None
        self._remembering.flush()
        return self._remembering.ring

    @property
    def is_remembering(self) -> bool:
        """Whether decisions are remembered."""
        return self._remembering is not None

    def flush(self) -> None:
        """Write down what was decided a moment ago: called when the process ends."""
        if self._remembering is not None:
            self._remembering.flush()


OBSERVER = Observer()
"""That of this process: events are the process's, whatever pools it has."""


def note_reason(logging_obj: Any, lease: Lease) -> None:
    """Leave the account and the rule that took it where LiteLLM's spend logs pick up what is to be kept of a call.

    Args:
        logging_obj: LiteLLM's, of the call.
        lease: that served it.
    """
    metadata = params_of(logging_obj.model_call_details).get("metadata")
    if not OBSERVER.is_remembering or not isinstance(metadata, dict):
        return
    known = metadata.get(_SPEND_LOGS)
    said = {"antigravity_account": mask_emails(lease.account.label), "antigravity_why": lease.why}
    metadata[_SPEND_LOGS] = {**(known if isinstance(known, dict) else {}), **said}


__all__ = ["OBSERVER", "Observer", "note_reason"]
