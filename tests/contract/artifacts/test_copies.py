"""The bounded folder of local copies."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from heimdall.artifacts import copies as copies_module
from heimdall.artifacts.copies import LocalCopies


def of_size(num_bytes: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(b"x" * num_bytes)

    return write


def folder_of_size(num_bytes: int) -> Callable[[Path], None]:
    return lambda folder: of_size(num_bytes)(folder / "data.npy")


def put_file(copies: LocalCopies, name: str, num_bytes: int, age_seconds: float = 0.0) -> Path:
    path = copies.file(name, of_size(num_bytes), is_intact=lambda _: True)
    used_at = path.stat().st_mtime - age_seconds
    os.utime(path, (used_at, used_at))
    return path


@pytest.fixture
def held_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies_module, "NUM_HELD", 0)


@pytest.mark.usefixtures("held_by_nobody")
def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=100)
    oldest, older = put_file(copies, "a", 40, age_seconds=30), put_file(copies, "b", 40, age_seconds=20)
    put_file(copies, "a", 40)  # used again
    newest = put_file(copies, "c", 40)
    assert [path.exists() for path in (oldest, older, newest)] == [True, False, True]


@pytest.mark.usefixtures("held_by_nobody")
def test_files_and_folders_share_the_bound(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=100)
    file = put_file(copies, "a", 60, age_seconds=10)
    folder = copies.folder("f", folder_of_size(60))
    assert not file.exists()
    assert (folder / "data.npy").stat().st_size == 60


def test_a_damaged_copy_is_made_again(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=100)
    path = put_file(copies, "a", 10)
    path.write_bytes(b"!")
    again = copies.file("a", of_size(10), is_intact=lambda copy: copy.stat().st_size == 10)
    assert again.read_bytes() == b"x" * 10


def test_a_folder_that_another_process_reads_stays(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=hold_folder, args=(tmp_path, theirs))
    reader.start()
    folder = Path(ours.recv())
    os.utime(folder, (0, 0))
    copies = LocalCopies(tmp_path, max_bytes=100)
    put_file(copies, "a", 90)
    assert folder.exists()
    ours.send("go")
    reader.join()
    put_file(copies, "b", 90)
    assert not folder.exists()


def hold_folder(root: Path, link: Connection) -> None:
    link.send(str(LocalCopies(root, max_bytes=100).folder("f", folder_of_size(60))))
    link.recv()


def test_a_file_that_another_process_is_about_to_read_stays(tmp_path: Path) -> None:
    theirs, ours = LocalCopies(tmp_path, max_bytes=100), LocalCopies(tmp_path, max_bytes=100)
    path = put_file(theirs, "a", 60, age_seconds=10)
    put_file(ours, "b", 90)
    assert path.exists()


def test_a_process_lets_go_of_what_it_used_long_ago(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=100)
    files = [put_file(copies, f"a{number}", 30, age_seconds=60 - number) for number in range(8)]
    put_file(copies, "b", 90)
    assert [file.exists() for file in files] == [False] * 5 + [True] * 3
    folders = [copies.folder(f"f{number}", folder_of_size(30)) for number in range(8)]
    assert [folder.exists() for folder in folders] == [False] * 4 + [True] * 4


def test_what_a_killed_process_left_half_done_is_swept_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    writer = multiprocessing.get_context("spawn").Process(target=leave_half_done, args=(tmp_path, theirs))
    writer.start()
    half_done = Path(ours.recv())
    LocalCopies(tmp_path, max_bytes=100)
    assert half_done.exists()
    writer.kill()
    writer.join()
    assert half_done.exists()
    LocalCopies(tmp_path, max_bytes=100)
    assert not half_done.parent.exists()


def leave_half_done(root: Path, link: Connection) -> None:
    half_done = LocalCopies(root, max_bytes=100).staging / "half"
    half_done.write_bytes(b"half")
    link.send(str(half_done))
    link.recv()


def test_threads_that_open_copies_at_once_leave_no_lock_behind(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, max_bytes=10_000)
    locks = tmp_path / "locks"

    def open_many(first: int) -> None:
        for number in range(150):
            copies.file(f"f{(first + number) % 9}", of_size(1), is_intact=lambda copy: copy.exists())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(open_many, range(16)))
    finally:
        sys.setswitchinterval(interval)
    opened = [path for path in Path("/proc/self/fd").iterdir() if target_of(path).startswith(f"{locks}/f")]
    assert len(opened) == copies_module.NUM_HELD


def target_of(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that lists the folder
        return ""
