"""What every artifact store guarantees."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import ArtifactNotFoundError, BadPathError, CheckpointDamagedError, ConflictError

KEY = "job/a1/e3/last.pth"
LARGE = bytes(range(256)) * 80_000  # more than one part of a multipart upload


def put(store: ArtifactStore, key: str, data: bytes) -> StoredFile:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return store.put(key, write)


@pytest.mark.parametrize("data", [b"", b"weights", LARGE])
def test_what_was_put_is_read_back(store: ArtifactStore, data: bytes) -> None:
    stored = put(store, KEY, data)
    assert stored == StoredFile(key=KEY, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert b"".join(store.read(KEY)) == data
    assert store.size(KEY) == len(data)
    assert store.is_intact(stored)
    assert store.fetch(stored).read_bytes() == data
    assert store.fetch(stored).read_bytes() == data  # from the copy, where there is one


def test_small_and_large_pieces_keep_their_order(store: ArtifactStore) -> None:
    pieces = [bytes([number % 251]) * (number**3) for number in range(60)]  # 1 byte to 205 kB

    def write(file: BinaryIO) -> None:
        for piece in pieces:
            assert file.write(piece) == len(piece)

    data = b"".join(pieces)
    stored = store.put(KEY, write)
    assert stored == StoredFile(key=KEY, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert store.fetch(stored).read_bytes() == data


@pytest.mark.parametrize(("start", "end"), [(0, 1), (3, 7), (3, None), (0, 99), (7, 9), (9, 12), (5, 5)])
def test_a_range_is_the_slice(store: ArtifactStore, start: int, end: int | None) -> None:
    put(store, KEY, b"weights")
    assert b"".join(store.read(KEY, start, end)) == b"weights"[start:end]


def test_a_key_is_written_once(store: ArtifactStore) -> None:
    stored = put(store, KEY, b"first")
    with pytest.raises(ConflictError):
        put(store, KEY, b"second")
    assert store.fetch(stored).read_bytes() == b"first"


def test_a_write_that_fails_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.put(KEY, write)
    assert store.size(KEY) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "locks"] == []


def test_a_file_is_put_from_disk(store: ArtifactStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    assert store.fetch(store.put_file(KEY, source)).read_bytes() == LARGE


def test_a_file_with_other_bytes_is_refused(store: ArtifactStore) -> None:
    stored = put(store, KEY, b"weights")
    for wrong in (
        StoredFile(key=KEY, size_bytes=7, sha256=hashlib.sha256(b"weighty").hexdigest()),
        StoredFile(key="job/a1/e4/last.pth", size_bytes=7, sha256=stored.sha256.replace("a", "b")),
    ):
        with pytest.raises(CheckpointDamagedError):
            store.fetch(wrong)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "job/../../x", "job//x", "job/./x", "job\\x", "job/\0"])
def test_a_key_never_leaves_the_folder(store: ArtifactStore, key: str) -> None:
    with pytest.raises(BadPathError):
        put(store, key, b"x")
    with pytest.raises(BadPathError):
        store.size(key)


def test_deleting(store: ArtifactStore) -> None:
    put(store, KEY, b"1")
    put(store, "job/a2/e4/last.pth", b"2")
    put(store, "job2/a1/e1/last.pth", b"3")
    assert store.keys("job") == [KEY, "job/a2/e4/last.pth"]
    store.delete([KEY])
    store.delete([])
    assert store.keys("job") == ["job/a2/e4/last.pth"]
    assert store.delete_prefix("job") == 1
    assert store.keys("job") == []
    assert store.keys("job2") == ["job2/a1/e1/last.pth"]


def test_reading_what_is_not_there(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactNotFoundError):
        store.read("job/nothing")


def test_a_folder_is_fetched_whole_or_refused(store: ArtifactStore) -> None:
    files = [put(store, f"datasets/d/t/{name}", name.encode()) for name in ("a.npy", "b.npy")]
    entries = [{"name": Path(f.key).name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in files]
    folder = store.local_folder("datasets/d/t", entries)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.npy": b"a.npy", "b.npy": b"b.npy"}
    assert store.local_folder("datasets/d/t", entries) == folder
    with pytest.raises(CheckpointDamagedError):
        store.local_folder("datasets/d/t", [*entries, {"name": "c.npy", "size_bytes": 1, "sha256": "0"}])


def test_folders_below_a_prefix(store: ArtifactStore) -> None:
    for key in (KEY, "datasets/d1/t/shard", "datasets/d2/t/shard"):
        put(store, key, b"x")
    assert [name for name in store.prefixes("") if name != "clock"] == ["datasets", "job"]
    assert store.prefixes("datasets") == ["datasets/d1", "datasets/d2"]
    assert store.prefixes("nothing") == []


def test_the_age_of_files_is_judged_by_the_stores_clock(store: ArtifactStore) -> None:
    put(store, KEY, b"weights")
    put(store, "other/a1/e3/last.pth", b"x")
    assert store.aged("job", timedelta(0)) == {KEY: 7}
    assert store.aged("job", timedelta(hours=1)) == {}
    assert store.aged("nothing", timedelta(0)) == {}
    assert "clock" not in store.prefixes("")
