"""The state of one host in a plain SQLite file: what `disk` does, without diskcache."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from litellm_antigravity.state.callers import Callers
from litellm_antigravity.state.connection import Connection
from litellm_antigravity.state.database import BUSY_TIMEOUT_SECONDS, DatabaseBackend, Table
from litellm_antigravity.state.in_flight import InFlight
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.replica import Replica

DATABASE: Final = "state.db"

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
        table: the name of its one table.
        columns: their definitions, by name.
        index: the column that has an index besides the first one.
        keeps_corrupt: see `Layout`.
        pragmas: to be set before anything is made.
    """

    def __init__(
        self,
        database: str,
        table: str,
        columns: dict[str, str],
        index: str,
        *,
        keeps_corrupt: bool = True,
        pragmas: tuple[str, ...] = (),
    ) -> None:
        self.database = database
        self.keeps_corrupt = keeps_corrupt
        self.pragmas = pragmas
        defined = ", ".join(f"{name} {definition}" for name, definition in columns.items())
        self._made = {
            table: f"CREATE TABLE IF NOT EXISTS {table} ({defined})",
            f"{table}_{index}": f"CREATE INDEX IF NOT EXISTS {table}_{index} ON {table} ({index})",
        }
        self._probe = f"SELECT {', '.join(columns)} FROM {table} LIMIT 0"  # noqa: S608 - constants

    def lacks_nothing(self, connection: Connection) -> bool:
        """Return whether the file is complete; see `Layout`."""
        if not self._made.keys() <= {name for (name,) in connection.sql("SELECT name FROM sqlite_master").fetchall()}:
            return False
        connection.sql(self._probe)  # an error for another program's table
        return True

    def complete(self, connection: Connection, directory: Path) -> None:  # noqa: ARG002 - the protocol's
        """Make what the file lacks; see `Layout`."""
        for statement in (*self._made.values(), self._probe):
            connection.sql(statement)


class SqliteStore(Ledger):
    """A ledger that every process on this host shares that uses the same folder; see `DiskStore`."""

    def __init__(
        self, directory: Path, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, on_network: bool = False
    ) -> None:
        columns = {"key": "TEXT NOT NULL PRIMARY KEY", "value": "TEXT NOT NULL", "tag": "INTEGER"}
        layout = PlainLayout(DATABASE, "ledger", columns, "tag")
        backend = DatabaseBackend(directory, layout, _TABLE, busy_timeout=busy_timeout, on_network=on_network)
        super().__init__(Replica(backend), InFlight(backend.pages), Callers(backend.callers_pages))


__all__ = ["DATABASE", "PlainLayout", "SqliteStore"]
