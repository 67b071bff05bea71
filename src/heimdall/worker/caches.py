"""Folders that trainers build once for all jobs of a machine, such as spectrograms."""

import hashlib
import logging
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import quote

from heimdall.artifacts.copies import LocalCopies

logger = logging.getLogger(__name__)

MAX_NAME_CHARS = 200
OTHERS = frozenset({"objects", "folders", "locks", "staging", "checked"})  # what else is in `cache/`


def build_once(root: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The folder called `key`, filled by `build` unless it is there; it appears whole, also when others build it too.

    It stays as long as this process lives. What a killed process had half built goes with `bound`.
    """
    return copies_of(root).folder(folder_name(key), build)


@cache
def copies_of(root: Path) -> LocalCopies:
    """Of this process, which holds what it has opened until it ends: a trainer may read it at any time."""
    return LocalCopies(root, max_bytes=None, holds_all=True, sweeps=False)


def bound(root: Path, max_bytes: int) -> None:
    """Remove what dead processes left half built and, above `max_bytes` in all, what was used longest ago."""
    try:
        copies = copies_of(root)
        copies.sweep()
        evicted = copies.evict(max_bytes)
    except OSError as error:
        logger.warning("Caches in %s cannot be removed now: %s", root, error)
        return
    for folder, size in evicted.items():
        logger.info("The cache %s (%d MB), unused for the longest time, was removed", folder.name, size // 1_000_000)


def folder_name(key: str) -> str:
    """A file name for any key."""
    name = quote(key, safe=" ", errors="surrogatepass")
    if name.startswith(".") or not 0 < len(name) <= MAX_NAME_CHARS:
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return name


def adopt_older(root: Path, *, is_idle: bool) -> None:
    """Move what releases before 0.2 built to its place. `is_idle`: no job runs, so what is half built goes."""
    if not root.is_dir():
        return
    for folder in root.iterdir():
        if not folder.is_dir() or folder.name in OTHERS:
            continue
        if folder.name.startswith("."):
            if is_idle:
                shutil.rmtree(folder)
            continue
        place = root / "folders" / folder_name(folder.name)
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            folder.rename(place)
