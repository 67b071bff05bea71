"""The data folder: closed to other users, and either new or whole."""

import logging
import os
import stat
from pathlib import Path

from heimdall.domain.errors import NotFoundError, StartRefusedError
from heimdall.settings import Settings, home_folder
from heimdall.store import make_private, parse_url, sqlite_file, sqlite_files

PARTS = ("artifacts", "attempts", "cache")
logger = logging.getLogger(__name__)


def open_data_folder(folder: Path) -> None:
    """Make it, or close what an older release left open. Raises: OSError when it cannot be made."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_of_others_too(folder) and make_private(folder):
        return
    for part in PARTS:
        (folder / part).mkdir(mode=0o700, exist_ok=True)
        make_private(folder / part)
    if folder.stat().st_mode & 0o007:
        logger.warning(
            "Other users of this machine can look into %s; choose a data folder of the service's own.", folder
        )


def _is_of_others_too(folder: Path) -> bool:
    """Whether the folder has another purpose, which closing it would spoil."""
    return bool(folder.stat().st_mode & stat.S_ISVTX) or folder in {Path("/"), home_folder()}


def require_whole(settings: Settings) -> None:
    """Raises: StartRefusedError when the database is gone or emptied, and what belongs to it is still there: with a new
    one all jobs would have vanished, and their files would belong to nobody."""
    if settings.database_url is not None:
        return
    folder = settings.data_dir.resolve()
    file, artifacts = folder / "heimdall.db", folder / "artifacts"
    is_missing = not file.exists()
    if not is_missing and file.stat().st_size:
        return
    if artifacts.is_dir() and any(artifacts.iterdir()):
        state = "is missing" if is_missing else "is empty"
        raise StartRefusedError(
            f"The database {file} {state}, though {artifacts} holds files of its jobs: put a copy of the database "
            "back, or move the folder away to begin anew."
        )


def require_existing(settings: Settings) -> None:
    """Raises: NotFoundError when no service has run here; a server's database answers for itself."""
    place = parse_url(settings.resolved_database_url)
    if place.get_backend_name() != "sqlite" or sqlite_file(place).exists():
        return
    raise NotFoundError(
        f"There is no data of a service in {settings.data_dir}; name its folder with --data-dir."
        if settings.database_url is None
        else f"There is no database {place.database}; name it with --database-url."
    )


def open_to_others(settings: Settings) -> list[Path]:
    """What of the installation other users of this machine can read, or look into."""
    folder = settings.data_dir.resolve()
    places = [folder, *sqlite_files(folder / "heimdall.db")] if folder.is_dir() else []
    if places and folder.stat().st_mode & 0o001:
        places += [folder / part for part in PARTS if (folder / part).is_dir()]
    return [place for place in places if _is_open(place)]


def _is_open(place: Path) -> bool:
    """To whom it should not be; the group of a folder that is not ours to close may be what lets us in."""
    found = place.stat()
    return bool(found.st_mode & (0o077 if found.st_uid == os.geteuid() else 0o007))
