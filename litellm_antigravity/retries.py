"""One request's dealings with the host's retry budget."""

from __future__ import annotations

from litellm_antigravity.clock import Clock
from litellm_antigravity.refusals import Refusal, retry_cost
from litellm_antigravity.selection.retry_budget import MAX_TOKENS, SUCCESS_GAIN, TIMEOUT_COST
from litellm_antigravity.state.ledger import Ledger


class Retries:
    """What one request takes from the retry budget, and gives back when it is served.

    What is taken after a failure allows one more try: ours on another account, or, when there is none left, the
    Router's, which comes to us as a new request.

    Args:
        store: the shared state.
        clock: the source of time.
    """

    def __init__(self, store: Ledger, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._paid = 0.0

    def allow(self, refusal: Refusal) -> bool:
        """Take what another try after this refusal costs; return False when the budget does not allow it."""
        cost = retry_cost(refusal)
        if cost == 0.0:
            return True
        if not self._store.take_retry(cost, self._clock.time()):
            return False
        self._paid = cost
        return True

    @property
    def are_affordable(self) -> bool:
        """Whether a try after a time-out would be allowed now, by what is known; touches nothing."""
        return self._store.known().retry_budget.now(self._clock.time()) >= TIMEOUT_COST

    @property
    def must_give(self) -> bool:
        """Whether a success changes anything: most of the time the budget is full."""
        return self._store.known().retry_budget.now(self._clock.time()) < MAX_TOKENS

    def give(self) -> None:
        """Give back what the try took that was served; for a first try, what a success earns."""
        if self.must_give:
            self._store.give_retry(self._paid or SUCCESS_GAIN, self._clock.time())
