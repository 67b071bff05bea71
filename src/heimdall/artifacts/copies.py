"""Local copies of what lies in an object store, bounded in size."""

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

NUM_HELD = 4  # files, and as many folders
STAGING_GATE = ".staging"  # the name of a lock


class LocalCopies:
    """Files and folders under names that tell their content, shared by the processes of a machine.

    Above `max_bytes` in all, those used longest ago go, but none that is among the last few some living process has
    opened (`holds_all`: among all that it has opened): training reads a folder through a memory map, and its loader
    processes open it again. Without `max_bytes` none goes unless `evict` is called. What killed processes
    left half done goes when this is opened, or (not `sweeps`) when `sweep` is called.
    """

    def __init__(self, root: Path, *, max_bytes: int | None, holds_all: bool = False, sweeps: bool = True) -> None:
        self._files = root / "objects"
        self._folders = root / "folders"
        self._locks = root / "locks"
        for folder in (self._files, self._folders, self._locks):
            folder.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._holds_all = holds_all
        # Descriptors of locked files, of what was opened last at the end.
        self._held_files: dict[str, int] = {}
        self._held_folders: dict[str, int] = {}
        self._holding = threading.Lock()
        self.staging = self._open_staging(root / "staging", sweeps=sweeps)

    def file(self, name: str, make: Callable[[Path], None], *, is_intact: Callable[[Path], bool]) -> Path:
        """The copy called `name`; `make` writes it to the path it is given when there is none, or a damaged one."""
        copy = self._files / name
        self._hold(name, self._held_files)
        with suppress(FileNotFoundError):
            if is_intact(copy):
                os.utime(copy)
                return copy
        with tempfile.TemporaryDirectory(dir=self.staging) as staged:
            make(Path(staged) / name)
            (Path(staged) / name).rename(copy)
        self._keep_bound(copy)
        return copy

    def folder(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder called `name`; `make` fills the empty folder it is given when there is none."""
        folder = self._folders / name
        self._hold(name, self._held_folders)
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
        self._keep_bound(folder)
        return folder

    def _hold(self, name: str, held: dict[str, int]) -> None:
        """Share the lock that keeps what is called `name` from being evicted while this process has use for it."""
        with self._holding:  # route threads share the copies of a server
            descriptor = held.pop(name, None)
            if descriptor is None:
                descriptor = self._open_lock(name)
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            held[name] = descriptor
            while not self._holds_all and len(held) > NUM_HELD:
                os.close(held.pop(next(iter(held))))

    def _keep_bound(self, made: Path) -> None:
        if self._max_bytes is not None:
            self.evict(self._max_bytes, keep=made)

    def evict(self, max_bytes: int, *, keep: Path | None = None, is_dry_run: bool = False) -> dict[Path, int]:
        """Remove the copies used longest ago until `max_bytes` are left. What went (or would go), with its size."""
        evicted: dict[Path, int] = {}
        total = 0
        for copy in sorted([*self._files.iterdir(), *self._folders.iterdir()], key=_used_at, reverse=True):
            size = size_bytes(copy)
            total += size
            if total > max_bytes and copy != keep and self._remove_unused(copy, is_dry_run=is_dry_run):
                evicted[copy] = size
        return evicted

    def _remove_unused(self, copy: Path, *, is_dry_run: bool) -> bool:
        """Whether it has gone."""
        descriptor = self._open_lock(copy.name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_dry_run:
                return True
            with tempfile.TemporaryDirectory(dir=self.staging) as going:  # whole or not at all, also when killed here
                copy.rename(Path(going) / copy.name)
        except (BlockingIOError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        return True

    def _open_staging(self, staging: Path, *, sweeps: bool) -> Path:
        """A folder for what this process has half done. It is locked while the process lives; others may go."""
        staging.mkdir(exist_ok=True)
        with self._staging_gate():  # none is swept between its making and its locking
            if sweeps:
                self._sweep_all(staging)
            own = Path(tempfile.mkdtemp(dir=staging))
            self._lock_of_staging = self._open_lock(own.name)
            fcntl.flock(self._lock_of_staging, fcntl.LOCK_SH)
        return own

    def sweep(self, *, is_dry_run: bool = False) -> dict[Path, int]:
        """Remove what processes that have ended left half done. What went (or would go), with its size."""
        with self._staging_gate():
            return self._sweep_all(self.staging.parent, is_dry_run=is_dry_run)

    @contextmanager
    def _staging_gate(self) -> Generator[None]:
        gate = self._open_lock(STAGING_GATE)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _sweep_all(self, staging: Path, *, is_dry_run: bool = False) -> dict[Path, int]:
        sizes = {folder: size_bytes(folder) for folder in staging.iterdir()}
        return {folder: size for folder, size in sizes.items() if self._sweep(folder, is_dry_run=is_dry_run)}

    def _sweep(self, folder: Path, *, is_dry_run: bool) -> bool:
        """Remove a folder that a process which has ended left behind; whether it was one."""
        descriptor = self._open_lock(folder.name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            if not is_dry_run:
                shutil.rmtree(folder, ignore_errors=True)
                (self._locks / folder.name).unlink()
            return True
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        return os.open(self._locks / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _used_at(copy: Path) -> float:
    try:
        return copy.stat().st_mtime
    except FileNotFoundError:  # another process has just removed it
        return 0.0


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder; zero of what has just gone."""
    try:
        if path.is_dir():
            return sum(size_bytes(inner) for inner in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:
        return 0
