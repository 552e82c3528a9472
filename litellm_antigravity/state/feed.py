"""The SQL that diskcache has no method for: the change feed, and walking through the rows.

Watched rows carry a rising number in the ``tag`` column, which has an index. The row with the highest number is never
deleted: the next number is found from it, and would otherwise be given out twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from litellm_antigravity.state.strict_cache import OneConnectionCache, is_plain

_IS_NUMBER: Final = "tag < 9000000000000000000 AND typeof(tag) = 'integer'"  # others are not ours
_COLUMNS: Final = "key, raw, mode, filename, value"
_FEED: Final = f"SELECT {_COLUMNS}, tag FROM Cache WHERE tag > ? AND {_IS_NUMBER} ORDER BY tag"  # noqa: S608 - constants
_LAST_TAG: Final = f"SELECT tag FROM Cache WHERE {_IS_NUMBER} ORDER BY tag DESC LIMIT 1"  # noqa: S608
_REPLACE: Final = (
    "UPDATE Cache SET value = ?, tag = ? WHERE key = ? AND raw = 1 AND mode = 1 AND NOT EXISTS"  # noqa: S608
    f" (SELECT 1 FROM Cache WHERE tag > ? AND {_IS_NUMBER})"
)
_REPLACE_ROW: Final = (
    "UPDATE Cache SET value = ?, tag = 1 + COALESCE("  # noqa: S608
    f"(SELECT tag FROM Cache WHERE {_IS_NUMBER} ORDER BY tag DESC LIMIT 1), 0)"
    " WHERE key = ? AND raw = 1 AND mode = 1 AND filename IS NULL AND value = ?"
)
_TAG: Final = "SELECT tag FROM Cache WHERE key = ? AND raw = 1"
_PREFIX: Final = f"SELECT {_COLUMNS} FROM Cache WHERE key >= ? AND key < ? ORDER BY key"  # noqa: S608
_WALK: Final = (
    f"SELECT {_COLUMNS}, rowid FROM Cache WHERE rowid > ? AND (tag IS NULL OR tag <= ?) ORDER BY rowid LIMIT ?"  # noqa: S608
)
_DELETE: Final = f"DELETE FROM Cache WHERE key = ? AND raw = 1 AND tag IS NOT COALESCE(({_LAST_TAG}), 0)"  # noqa: S608


def news(cache: OneConnectionCache, seen: int) -> tuple[list[tuple[str, str]], int]:
    """Return the watched rows that were written after number ``seen``, and the last one's number."""
    found = cache._sql(_FEED, (seen,)).fetchall()
    if not found:  # as for most requests
        return [], seen
    return list(_plain(cache, found)), max((row[-1] for row in found), default=seen)


def last_tag(cache: OneConnectionCache) -> int:
    """Return the number of the last change; 0 before the first one."""
    last = cache._sql(_LAST_TAG).fetchone()
    return 0 if last is None else int(last[0])


def replace_if_current(cache: OneConnectionCache, key: str, text: str, seen: int) -> bool:
    """Write a watched row that exists, if nothing was written after ``seen``: one statement; return if it was done."""
    return bool(cache._sql(_REPLACE, (text, seen + 1, key, seen)).rowcount == 1)


def replace_row(cache: OneConnectionCache, key: str, text: str, known: str) -> int | None:
    """Write a watched row if it still reads as ``known``, whatever else was written.

    Returns:
        The row's number afterwards, perhaps a later writer's; ``None`` when it was not written.
    """
    if cache._sql(_REPLACE_ROW, (text, key, known)).rowcount != 1:
        return None
    found = cache._sql(_TAG, (key,)).fetchone()
    return found[0] if found is not None and isinstance(found[0], int) else 0


def rows(cache: OneConnectionCache, prefix: str) -> Iterator[tuple[str, str]]:
    """Return the rows whose keys begin with ``prefix``."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return _plain(cache, cache._sql(_PREFIX, (prefix, end)).fetchall())


def walk(cache: OneConnectionCache, after: int, seen: int, count: int) -> tuple[list[tuple[str, str]], int]:
    """Return some rows, and where to go on; 0 for from the beginning.

    Args:
        cache: where.
        after: where the last walk ended.
        seen: rows that were written after this number are left out.
        count: of rows, at most.
    """
    found = cache._sql(_WALK, (after, seen, count)).fetchall()
    return list(_plain(cache, found, count_refused=False)), found[-1][-1] if len(found) == count else 0


def delete(cache: OneConnectionCache, key: str) -> None:
    """Delete a row, unless it is the one with the highest number."""
    cache._sql(_DELETE, (key,))


def _plain(
    cache: OneConnectionCache, found: list[tuple[object, ...]], *, count_refused: bool = True
) -> Iterator[tuple[str, str]]:
    for key, raw, mode, filename, value, *_ in found:
        if raw == 1 and isinstance(key, str) and isinstance(value, str) and is_plain(mode, filename, value):
            yield key, value
        elif count_refused:
            cache.disk.dropped += 1


__all__ = ["delete", "last_tag", "news", "replace_if_current", "replace_row", "rows", "walk"]
