"""Local copies of what lies in an object store, bounded in size."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HELD_FOLDERS = 4
STALE_SECONDS = 24 * 3600.0


class LocalCopies:
    """Files and folders under names that tell their content, shared by the processes of a machine.

    Above `max_bytes` in all, those used longest ago go, but never a folder that is among the last few some living
    process has opened: training reads it through a memory map, and its loader processes open it again.
    """

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self.staging = root / "staging"
        self._files = root / "objects"
        self._folders = root / "folders"
        self._locks = root / "locks"
        for folder in (self.staging, self._files, self._folders, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._held: dict[str, int] = {}  # descriptors of locked files, the folder opened last at the end
        self._sweep()

    def file(self, name: str, make: Callable[[Path], None], *, is_intact: Callable[[Path], bool]) -> Path:
        """The copy called `name`; `make` writes it to the path it is given when there is none, or a damaged one."""
        copy = self._files / name
        if copy.is_file() and is_intact(copy):
            os.utime(copy)
            return copy
        with tempfile.TemporaryDirectory(dir=self.staging) as staged:
            make(Path(staged) / name)
            (Path(staged) / name).rename(copy)
        self._evict(keep=copy)
        return copy

    def folder(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder called `name`; `make` fills the empty folder it is given when there is none."""
        folder = self._folders / name
        self._hold(name)
        if folder.is_dir():
            os.utime(folder)
            return folder
        with tempfile.TemporaryDirectory(dir=self.staging) as staged:
            filled = Path(staged) / name
            filled.mkdir()
            make(filled)
            try:
                filled.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster, with the same content
                    raise
        self._evict(keep=folder)
        return folder

    def _hold(self, name: str) -> None:
        """Share the lock that keeps `folder(name)` from being evicted, for as long as this process has use for it."""
        descriptor = self._held.pop(name, None)
        if descriptor is None:
            descriptor = os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._held[name] = descriptor
        while len(self._held) > HELD_FOLDERS:
            os.close(self._held.pop(next(iter(self._held))))

    def _evict(self, *, keep: Path) -> None:
        copies = sorted(
            [*self._files.iterdir(), *self._folders.iterdir()], key=lambda path: path.stat().st_mtime, reverse=True
        )
        total = 0
        for copy in copies:
            total += size_bytes(copy)
            if total > self._max_bytes and copy != keep:
                if copy.is_dir():
                    self._remove_unused(copy)
                else:
                    copy.unlink(missing_ok=True)

    def _remove_unused(self, folder: Path) -> None:
        descriptor = os.open(self._locks / folder.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with tempfile.TemporaryDirectory(dir=self.staging) as going:  # whole or not at all, also when killed here
                folder.rename(Path(going) / folder.name)
        except (BlockingIOError, FileNotFoundError):
            return
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what killed processes left half done."""
        for left in self.staging.iterdir():
            try:
                is_stale = time.time() - left.stat().st_mtime > STALE_SECONDS
            except FileNotFoundError:
                continue
            if is_stale:
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder; zero of what has just gone."""
    try:
        if path.is_dir():
            return sum(size_bytes(inner) for inner in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return 0
