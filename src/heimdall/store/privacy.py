"""Files that hold what only the service's own user may read."""

import os
import stat
from pathlib import Path


def make_private(path: Path) -> bool:
    """Take the rights of group and others away. Whether they have none now: an owner of another name may be needed."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            path.chmod(mode & 0o700)
        return not path.stat().st_mode & 0o077
    except OSError:
        return False


def create_private(file: Path) -> None:
    """Make the file, empty, unless it is there; close it if it is. SQLite gives the files beside it the same mode."""
    os.close(os.open(file, os.O_CREAT | os.O_CLOEXEC | os.O_WRONLY, 0o600))
    for path in sqlite_files(file):
        make_private(path)


def sqlite_files(file: Path) -> list[Path]:
    """The database, its logs, and the copies made before migrations: those that there are."""
    logs = [file, *(file.with_name(f"{file.name}-{log}") for log in ("wal", "shm", "journal"))]
    copies = [path for path in file.parent.iterdir() if path.name.startswith(f"{file.name}.before-")]
    return [path for path in (*logs, *copies) if path.exists()]
