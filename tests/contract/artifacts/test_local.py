"""What a local folder adds: files that are killed, damaged or linked elsewhere."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import BadPathError, CheckpointDamagedError, ConflictError

KEY = "job/a1/e3/last.pth"


def put(store: LocalArtifacts, key: str, data: bytes) -> StoredFile:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return store.put(key, write)


def test_a_writer_that_is_killed_leaves_no_key(local: LocalArtifacts, root: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom heimdall.artifacts import LocalArtifacts\n"
        "def write(file):\n    file.write(b'half')\n    os.kill(os.getpid(), 9)\n"
        "LocalArtifacts(Path(sys.argv[1]), cache=Path(sys.argv[2])).put(sys.argv[3], write)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, root, tmp_path / "cache", KEY], check=False)
    assert ended.returncode == -9
    assert local.size(KEY) is None
    assert local.keys("job") == []
    assert local.fetch(put(local, KEY, b"whole")).read_bytes() == b"whole"
    assert local.delete_prefix("job") == 1
    assert not (root / "job").exists()  # the half-written file went along


def test_a_file_and_the_names_that_lead_to_it_are_durable_before_it_counts(
    local: LocalArtifacts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    put(local, KEY, b"whole")
    path = root / KEY
    assert synced[0] == path.stat().st_ino
    folders = {folder.stat().st_ino for folder in path.parents if folder.is_relative_to(root)}
    assert len(folders) == 4
    assert set(synced[1:]) == folders
    synced.clear()
    put(local, "job/a1/e3/more.pth", b"whole")
    assert synced[1:] == [path.parent.stat().st_ino]  # the folders were there


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_refused(local: LocalArtifacts, root: Path, damage: str) -> None:
    stored = put(local, KEY, b"weights")
    path = root / KEY
    if damage == "flip":
        path.write_bytes(b"weighty")
    elif damage == "truncate":
        os.truncate(path, 3)
    else:
        path.unlink()
    assert not local.is_intact(stored)
    with pytest.raises(CheckpointDamagedError):
        local.fetch(stored)


def test_a_symlink_out_of_the_folder_is_refused(local: LocalArtifacts, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (root / "job").mkdir(parents=True)
    (root / "job" / "link").symlink_to(secret)
    local.put("another/file", lambda file: None)
    (root / "job" / "neighbour").symlink_to(root / "another" / "file")
    with pytest.raises(BadPathError):
        b"".join(local.read("job/neighbour"))
    with pytest.raises(BadPathError):
        local.read("job/link")


def test_deleting_the_last_key_removes_folders_that_became_empty(local: LocalArtifacts, root: Path) -> None:
    put(local, KEY, b"1")
    local.delete([KEY, "job/never/there"])
    assert not (root / "job").exists()


def test_a_folder_whose_file_went_missing_is_refused(local: LocalArtifacts, root: Path) -> None:
    stored = put(local, "datasets/d/t/a.npy", b"a")
    entries = [{"name": "a.npy", "size_bytes": 1, "sha256": stored.sha256}]
    local.local_folder("datasets/d/t", entries)
    (root / stored.key).unlink()
    with pytest.raises(CheckpointDamagedError):
        local.local_folder("datasets/d/t", entries)


def test_of_two_writers_of_one_key_the_second_fails_and_changes_nothing(local: LocalArtifacts, root: Path) -> None:
    def write(file: BinaryIO) -> None:
        put(local, KEY, b"first")  # another writer is done while this one still writes
        file.write(b"second")

    with pytest.raises(ConflictError, match="written once"):
        local.put(KEY, write)
    assert (root / KEY).read_bytes() == b"first"
    assert [path.name for path in (root / KEY).parent.iterdir()] == ["last.pth"]


def test_without_hard_links_a_key_is_written_once_all_the_same(
    local: LocalArtifacts, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    put(local, KEY, b"first")
    with pytest.raises(ConflictError):
        put(local, KEY, b"second")
    assert (root / KEY).read_bytes() == b"first"


def test_a_folder_that_cannot_be_removed_is_reported_and_goes_later() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # so that a user without rights comes as far as the files
        local = LocalArtifacts(Path(folder) / "files", cache=Path(folder) / "cache")
        put(local, "job/a1/kept.pth", b"x")
        put(local, "job/a2/open.pth", b"x")
        kept = Path(folder) / "files/job/a1"
        for path in (kept.parent, kept.parent.parent, kept.parent / "a2"):
            path.chmod(0o777)
        kept.chmod(0o555)
        with without_rights(), pytest.raises(PermissionError):
            local.delete_prefix("job")
        assert local.keys("job") == ["job/a1/kept.pth"]  # what could go has gone
        kept.chmod(0o777)
        assert local.delete_prefix("job") == 1
        assert local.keys("job") == []


@contextmanager
def without_rights() -> Generator[None]:
    """As an ordinary user, also when the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
