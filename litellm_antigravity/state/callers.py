"""How many requests each caller has in flight, of every process of the host; for `selection.fairness`."""

from __future__ import annotations

from typing import Final

from litellm_antigravity.state.in_flight import Board, Flight, InFlight

FOLDER: Final = "callers"


class Callers:
    """The counts, on a board of their own. Nothing is opened before the first request.

    Args:
        board: where processes tell each other; ``None`` where nobody else is to know.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._flights = InFlight(board, key=int)

    def begin(self, key: int) -> Flight:
        """Count a request of a caller; may touch the disk, once.

        Args:
            key: of the caller, 48 bits.
        """
        flight = self._flights.begin(str(key))
        assert flight is not None  # noqa: S101 - there is no limit
        return flight

    def counts(self) -> dict[int, int]:
        """Return the requests in flight by the callers' keys; those who have none are not there."""
        found = dict(self._board.others()) if self._board is not None else {}
        for name, count in self._flights.own_counts().items():
            found[int(name)] = found.get(int(name), 0) + count
        return found

    def close(self) -> None:
        """Let go of the place on the board."""
        self._flights.close()


__all__ = ["FOLDER", "Callers"]
