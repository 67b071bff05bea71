"""One `up` per data folder: two would start every job twice."""

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType

from heimdall.bootstrap.data_folder import open_data_folder
from heimdall.domain.errors import StartRefusedError

MAX_BYTES = 1000


class FolderLock:
    """Held for the life of the process; the kernel frees it however the process ends."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "up.lock"
        self._descriptor: int | None = None

    @property
    def exists(self) -> bool:
        """Whether the folder has been used before."""
        return self._path.exists()

    def __enter__(self) -> "FolderLock":
        """Raises: StartRefusedError naming who holds the folder."""
        open_data_folder(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, MAX_BYTES).decode().partition("\n")[0] or "another process"
            os.close(descriptor)
            message = (
                f"The data folder {self._path.parent} is in use by {holder}; stop it or choose another --data-dir."
            )
            raise StartRefusedError(message) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        self._descriptor = descriptor
        return self

    def note_address(self, url: str) -> None:
        """Say where the holder answers, for `service_of`."""
        assert self._descriptor is not None
        os.pwrite(self._descriptor, f"\n{url}\n".encode(), os.fstat(self._descriptor).st_size)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def service_of(data_dir: Path) -> str | None:
    """The address of the service that holds this folder now."""
    try:
        descriptor = os.open(data_dir / "up.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        lines = os.read(descriptor, MAX_BYTES).decode().splitlines()
        return lines[1] if len(lines) > 1 else None
    else:
        return None  # the one that wrote the file has ended
    finally:
        os.close(descriptor)
