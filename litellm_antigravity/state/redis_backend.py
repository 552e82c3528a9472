"""A backend whose rows are in Redis, for several hosts. `redis_scripts` says how they lie there."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple

from litellm_antigravity.errors import StateBusyError
from litellm_antigravity.state.backend import BUSY, Change, Position, Row, StoreStatus, is_watched
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.redis_leases import RedisLeases
from litellm_antigravity.state.redis_link import MAX_TEXT_CHARS, RedisLink, RedisPlace
from litellm_antigravity.state.redis_scripts import ABSENT, CHANGES, DELETE, PAGE, PRESENT, ROWS, WRITE
from litellm_antigravity.state.replica import Replica

_TRIES: Final = 1000  # each one that fails is somebody else's that succeeded


class Write(NamedTuple):
    """A row that is to be written if it still reads as it is known.

    Attributes:
        key: its key.
        known: what it is to read as; ``None`` if it is not to be there.
        text: what is to be written; ``None`` to leave it as it is known.
    """

    key: str
    known: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of several rows.

    Attributes:
        done: for each of them, whether it was written.
        texts: what those read as that were not, by key; ``None`` for one that is not there.
        position: of the last write of the pool.
        at: the server's time, in epoch seconds.
    """

    done: list[bool]
    texts: Mapping[str, str | None]
    position: Position
    at: float


class RedisBackend:
    """Rows shared by every process of every host that uses the same namespace. Nothing is opened before the first call.

    Each write is one script, which compares and sets; it carries a request id, so that it may be sent again. Nothing is
    held between two calls: a change that somebody else was faster with is worked out again on what he has made of it.

    Args:
        place: where.
        link: to it, if somebody else uses it as well.
    """

    def __init__(self, place: RedisPlace, link: RedisLink | None = None) -> None:
        self.link = link or RedisLink(place)
        self._keys = [place.key(name) for name in ("rows", "order", "names")]
        self.channel = place.key("changes")
        self.leases = RedisLeases(self.link)
        self._dropped = 0
        self._requests = itertools.count()
        self.seen_at = 0.0

    # Reading

    def read(self, key: str) -> str | None:
        """Return a row's text as committed."""
        return self._read([key])[key]

    def _read(self, keys: Sequence[str]) -> dict[str, str | None]:
        names = [_spelt(key) for key in keys]
        found = self.link.call(lambda client: client.hmget(self._keys[0], names)) if names else []
        return {key: None if text is None else self._text(text) for key, text in zip(keys, found, strict=True)}

    def _text(self, text: bytes) -> str | None:
        if len(text) <= MAX_TEXT_CHARS and text.isascii():
            return text.decode("ascii")
        self._dropped += 1
        return None

    def rows(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Row]:
        """Return rows by key; see `Backend.rows`."""
        found: list[Row] = []
        low = b"(" + _spelt(after) if after >= prefix else b"[" + _spelt(prefix)
        if not prefix and not after:
            low = b"("  # not the one that holds life and number
        high = b"[" + _spelt(prefix) + b"\xff" if prefix else b"+"
        while True:
            page = PAGE if limit is None else min(PAGE, limit - len(found))
            life, *fields = self.link.run(ROWS, self._keys, low, high, page)
            found += self._rows(int(life), fields)
            if len(fields) < 3 * page or len(found) == limit:
                return found
            low = b"(" + fields[-3]

    def changes(self, since: Position) -> tuple[list[Row], Position]:
        """Return the rows written after a position; see `Backend.changes`."""
        found: list[Row] = []
        while True:
            life, last, at, *fields = self.link.run(CHANGES, self._keys, str(since.life), str(since.number))
            self.seen_at = float(at)
            found += self._rows(int(life), fields)
            if len(fields) < 3 * PAGE:
                return found, Position(int(life), int(last))
            since = Position(int(life), int(float(fields[-1])))

    def _rows(self, life: int, fields: Sequence[bytes]) -> list[Row]:
        found = []
        for name, text, number in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            known = self._text(text) if name and text else None
            if known is not None:
                position = Position(life, int(float(number))) if number else None
                found.append(Row(name.decode("utf-8", "replace"), known, position))
        return found

    # Writing

    def update(self, keys: Sequence[str], change: Change) -> list[Row]:
        """Change rows; see `Backend.update`."""
        texts: dict[str, str | None] = self._read(keys)
        for _ in range(_TRIES):
            changed = change(texts)
            if not changed:
                return []
            # A change of several rows rests on those as well that it leaves as they are.
            writes = [Write(key, known, changed.get(key)) for key, known in texts.items()]
            writes += [Write(key, None, text) for key, text in changed.items() if key not in texts]
            written = self.write(writes, all_or_none=True)
            if all(written.done):
                return _positions(writes, written)
            texts = {**texts, **written.texts}
        raise StateBusyError(BUSY)

    def write(
        self, writes: Sequence[Write], *, all_or_none: bool, since: Position | None = None, blindly: bool = False
    ) -> Written:
        """Write rows that still read as they are known, in one round trip.

        Args:
            writes: the rows.
            all_or_none: whether all of them must; else each is looked at by itself.
            since: write nothing if anything was written after it.
            blindly: write rows that are there, however they read.
        """
        args: list[str | bytes | int] = []
        for key, known, text in writes:
            if text is not None and (len(text) > MAX_TEXT_CHARS or not text.isascii()):
                msg = f"rows are short texts; {key.partition('/')[0]} is not"
                raise TypeError(msg)
            wanted = PRESENT if blindly else ABSENT if known is None else known
            args += [_spelt(key), wanted, text or "", "-" if text is None else int(is_watched(key))]
        request, did = f"{self.link.id}-{next(self._requests)}", self.link.place.key(f"did:{self.link.id}")
        life, number = ("", "") if since is None else map(str, since)
        mode = "all" if all_or_none else "each"
        reply = self.link.run(WRITE, [*self._keys, did], request, mode, self.channel, life, number, *args)
        done = [flag == ord("1") for flag in reply[3]]
        others = [write.key for write, is_done in zip(writes, done, strict=True) if not is_done]
        texts = {key: self._text(text) if text else None for key, text in zip(others, reply[4:], strict=True)}
        self.seen_at = float(reply[2])
        return Written(done, texts, Position(int(reply[0]), int(reply[1])), self.seen_at)

    def replace(self, key: str, text: str, known: str) -> Position | None:
        """Write a row if it still reads as ``known``; see `Backend.replace`."""
        written = self.write([Write(key, known, text)], all_or_none=True)
        return written.position if written.done[0] else None

    def replace_if_current(self, key: str, text: str, since: Position) -> Position | None:
        """Write a row if nothing was written since; see `Backend.replace_if_current`."""
        written = self.write([Write(key, None, text)], all_or_none=True, since=since, blindly=True)
        return written.position if written.done[0] else None

    def delete(self, key: str, text: str) -> None:
        """Delete a row if it still reads so; see `Backend.delete`."""
        self.link.run(DELETE, self._keys, _spelt(key), text)

    # Locks

    def lock(self, name: str, timeout: float) -> AbstractContextManager[bool]:
        """Hold a lock by name across hosts; see `Backend.lock`."""
        return self.leases.lock(name, timeout)

    def stay_alive(self, owner: str) -> None:
        """Make this process's life visible; see `Backend.stay_alive`."""
        self.leases.stay_alive(owner)

    def is_alive(self, owner: str) -> bool:
        """Return whether a process lives; see `Backend.is_alive`."""
        return self.leases.is_alive(owner)

    def status(self) -> StoreStatus:
        """Return how the backend is doing."""
        return StoreStatus(f"Redis at {self.link.place.description}", shared=True, dropped_rows=self._dropped)

    def close(self) -> None:
        """Close the connections, and let the sign of life end; the next call opens them again."""
        self.leases.close()
        self.link.close()

    def forked(self) -> None:
        """Let the parent's leases be the parent's."""
        self.link.forked()
        self.leases.forked()


class RedisStore(Ledger):
    """A ledger that processes of several hosts share."""

    def __init__(self, place: RedisPlace) -> None:
        super().__init__(Replica(RedisBackend(place)))


def _positions(writes: Sequence[Write], written: Written) -> list[Row]:
    """Return the rows with the numbers that they got, which count up to the last one."""
    life, number = written.position
    rows = []
    for key, _, text in reversed(writes):
        if text is None:
            continue
        watched = is_watched(key)
        rows.append(Row(key, text, Position(life, number) if watched else None))
        number -= watched
    return rows[::-1]


def _spelt(key: str) -> bytes:
    """Return a key as it is stored: half a surrogate pair is spelt out."""
    return key.encode("utf-8", "backslashreplace")


__all__ = ["RedisBackend", "RedisStore", "Write", "Written"]
