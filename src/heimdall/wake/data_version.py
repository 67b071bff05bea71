"""Hears of writes to a SQLite database, by whatever process, in microseconds."""

import sqlite3
import threading
from pathlib import Path
from urllib.parse import quote


class DataVersionSignal:
    """The ChangeSignal port on `PRAGMA data_version`.

    The value differs when another connection has committed; this one never writes, so it hears of all. May be used
    from several threads.
    """

    def __init__(self, database: Path) -> None:
        address = f"file:{quote(str(database.resolve()))}?mode=ro"
        self._connection = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        self._seen: int | None = None

    def poll(self) -> bool:
        with self._lock:
            try:
                version = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error:  # locked or away for the moment: reading in vain costs little
                return True
            has_changed = version != self._seen
            self._seen = version
            return has_changed

    def take_deleted(self) -> list[str]:
        return []

    def close(self) -> None:
        with self._lock:
            self._connection.close()
