"""The use of accounts under strategies that do not choose by it, written once a second instead of at each request.

What a request has to know then is read, and reading costs a fifth of writing. Others see an account's last use a second
late at most. What the bucket lacks of a burst that has ended is written with the account's next request.
"""

from __future__ import annotations

import math
from typing import Final

from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.ledger import Ledger

_SECONDS: Final = 1.0


class Uses:
    """Counts the requests of this process that are not written yet. One for each pool.

    Threads may lose a count to each other: the bucket is a guess, and nobody chooses by it here.

    Args:
        store: the shared state.
        rules: of the bucket.
    """

    def __init__(self, store: Ledger, rules: VitalsRules) -> None:
        self._store = store
        self._rules = rules
        self._written: dict[str, tuple[float, int]] = {}  # when, and how many requests since

    def add(self, account_id: str, now: float) -> None:
        """Count a request that an account is about to serve.

        Args:
            account_id: whose.
            now: epoch seconds.

        Raises:
            StateUnavailableError: when it is to be written, and cannot be.
        """
        at, since = self._written.get(account_id, (-math.inf, 0))
        if 0.0 <= now - at < _SECONDS:
            self._written[account_id] = (at, since + 1)
            return
        self._store.begin_request(account_id, now, self._rules, require_token=False, requests=since + 1)
        self._written[account_id] = (now, 0)

    def take_back(self, account_id: str) -> bool:
        """Count a request of an account no longer; return False where all of them are written.

        Args:
            account_id: whose.
        """
        at, since = self._written.get(account_id, (0.0, 0))
        if since:
            self._written[account_id] = (at, since - 1)
        return since > 0
