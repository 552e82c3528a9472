"""The state of one host in a plain SQLite file: what `disk` does, without diskcache.

Its file has a name of its own. Processes that use one folder with different backends share its locks, not its rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from litellm_antigravity.state.connection import Connection
from litellm_antigravity.state.database import BUSY_TIMEOUT_SECONDS, DatabaseBackend, Table
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.replica import Replica

DATABASE: Final = "state.db"

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS ledger (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, tag INTEGER) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS ledger_tag ON ledger (tag)",
)
_TABLE: Final = Table(
    "ledger",
    "TRUE",
    "INSERT INTO ledger(key, tag, value) VALUES (?, ?, ?)"
    " ON CONFLICT(key) DO UPDATE SET tag = excluded.tag, value = excluded.value",
)


class PlainLayout:
    """What the file is to be like; see `Layout`.

    Args:
        database: its name.
        schema: statements that make what the file lacks; each names what it makes as its sixth word.
        probe: a statement that reads nothing, and fails on a file of somebody else's.
        keeps_corrupt: see `Layout`.
        pragmas: to be set before anything is made.
    """

    def __init__(
        self,
        database: str,
        schema: tuple[str, ...],
        probe: str,
        *,
        keeps_corrupt: bool = True,
        pragmas: tuple[str, ...] = (),
    ) -> None:
        self.database = database
        self.keeps_corrupt = keeps_corrupt
        self._schema = schema
        self._probe = probe
        self._pragmas = pragmas

    def found_in(self, directory: Path, timeout: float) -> Connection | None:
        """Open the file and write nothing; ``None`` if it lacks something."""
        connection = self._connected(directory, timeout, durable=True)
        try:
            made = {name for (name,) in connection.sql("SELECT name FROM sqlite_master").fetchall()}
            if {statement.split()[5] for statement in self._schema} <= made:
                connection.sql(self._probe)
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def completed_in(self, directory: Path, timeout: float, *, durable: bool = True) -> Connection:
        """Open the file after making what it lacks."""
        connection = self._connected(directory, timeout, durable=durable)
        try:
            for statement in self._schema:
                connection.sql(statement)
            connection.sql(self._probe)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self, directory: Path, timeout: float, *, durable: bool) -> Connection:
        return Connection(directory / self.database, timeout, durable=durable, pragmas=self._pragmas)


class SqliteStore(Ledger):
    """A ledger that every process on this host shares that uses the same folder; see `DiskStore`."""

    def __init__(
        self, directory: Path, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, on_network: bool = False
    ) -> None:
        self.directory = directory
        layout = PlainLayout(DATABASE, _SCHEMA, "SELECT key, value, tag FROM ledger LIMIT 0")
        backend = DatabaseBackend(directory, layout, _TABLE, busy_timeout=busy_timeout, on_network=on_network)
        super().__init__(Replica(backend))


__all__ = ["DATABASE", "PlainLayout", "SqliteStore"]
