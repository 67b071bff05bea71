"""What listeners of any kind tell an API process: look into the database, and which jobs are gone."""

import threading


class News:
    """The asking half of the ChangeSignal port; `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._is_new = threading.Event()
        self._deleted: list[str] = []
        self._lock = threading.Lock()

    def tell(self, *, deleted: str | None = None) -> None:
        """Something changed; with `deleted`, the id of a job that is gone."""
        if deleted is not None:
            with self._lock:
                self._deleted.append(deleted)
        self._is_new.set()

    def poll(self) -> bool:
        if not self._is_new.is_set():
            return False
        self._is_new.clear()
        return True

    def take_deleted(self) -> list[str]:
        with self._lock:
            deleted, self._deleted = self._deleted, []
        return deleted
