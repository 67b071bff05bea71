"""What every artifact store guarantees."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heimdall.artifacts import LocalArtifacts
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import ArtifactNotFoundError, BadPathError, CheckpointDamagedError, ConflictError

KEY = "job/a1/e3/last.pth"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def store(root: Path, tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(root, cache=tmp_path / "cache")


def put(store: LocalArtifacts, key: str, data: bytes) -> StoredFile:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return store.put(key, write)


@settings(max_examples=40)
@given(data=st.binary(max_size=200), start=st.integers(0, 250), length=st.integers(0, 250))
def test_what_was_put_is_read_back_whole_and_by_range(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = LocalArtifacts(folder, cache=folder / "cache")
    stored = put(store, KEY, data)
    assert stored == StoredFile(key=KEY, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert b"".join(store.read(KEY)) == data
    assert b"".join(store.read(KEY, start, start + length)) == data[start : start + length]
    assert store.fetch(stored).read_bytes() == data


def test_a_key_is_written_once(store: LocalArtifacts) -> None:
    stored = put(store, KEY, b"first")
    with pytest.raises(ConflictError):
        put(store, KEY, b"second")
    assert store.fetch(stored).read_bytes() == b"first"


def test_a_write_that_fails_leaves_nothing(store: LocalArtifacts, root: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.put(KEY, write)
    assert store.size(KEY) is None
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_writer_that_is_killed_leaves_no_key(store: LocalArtifacts, root: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom heimdall.artifacts import LocalArtifacts\n"
        "def write(file):\n    file.write(b'half')\n    os.kill(os.getpid(), 9)\n"
        "LocalArtifacts(Path(sys.argv[1]), cache=Path(sys.argv[2])).put(sys.argv[3], write)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, root, tmp_path / "cache", KEY], check=False)
    assert ended.returncode == -9
    assert store.size(KEY) is None
    assert store.keys("job") == []
    assert store.fetch(put(store, KEY, b"whole")).read_bytes() == b"whole"


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_refused(store: LocalArtifacts, root: Path, damage: str) -> None:
    stored = put(store, KEY, b"weights")
    path = root / KEY
    if damage == "flip":
        path.write_bytes(b"weighty")
    elif damage == "truncate":
        os.truncate(path, 3)
    else:
        path.unlink()
    assert not store.is_intact(stored)
    with pytest.raises(CheckpointDamagedError):
        store.fetch(stored)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "job/../../x", "job//x", "job/./x", "job\\x", "job/\0"])
def test_a_key_never_leaves_the_folder(store: LocalArtifacts, key: str) -> None:
    with pytest.raises(BadPathError):
        put(store, key, b"x")
    with pytest.raises(BadPathError):
        store.size(key)


def test_a_symlink_out_of_the_folder_is_refused(store: LocalArtifacts, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (root / "job").mkdir(parents=True)
    (root / "job" / "link").symlink_to(secret)
    with pytest.raises(BadPathError):
        store.read("job/link")


def test_deleting_a_prefix_takes_unfinished_files_along(store: LocalArtifacts, root: Path) -> None:
    put(store, KEY, b"1")
    put(store, "job/a2/e4/last.pth", b"2")
    put(store, "job2/a1/e1/last.pth", b"3")
    (root / "job" / "a2" / ".x.partial").write_bytes(b"half")
    assert store.keys("job") == [KEY, "job/a2/e4/last.pth"]
    assert store.delete_prefix("job") == 2
    assert not (root / "job").exists()
    assert store.keys("job2") == ["job2/a1/e1/last.pth"]


def test_deleting_a_key_removes_folders_that_became_empty(store: LocalArtifacts, root: Path) -> None:
    put(store, KEY, b"1")
    store.delete([KEY, "job/never/there"])
    assert not (root / "job").exists()


def test_reading_what_is_not_there(store: LocalArtifacts) -> None:
    with pytest.raises(ArtifactNotFoundError):
        store.read("job/nothing")


def test_a_folder_is_checked_and_a_damaged_one_refused(store: LocalArtifacts, root: Path) -> None:
    files = [put(store, f"datasets/d/t/{name}", name.encode()) for name in ("a.npy", "b.npy")]
    entries = [{"name": Path(f.key).name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in files]
    folder = store.local_folder("datasets/d/t", entries)
    assert (folder / "a.npy").read_bytes() == b"a.npy"
    (root / "datasets/d/t/b.npy").unlink()
    with pytest.raises(CheckpointDamagedError):
        store.local_folder("datasets/d/t", entries)
