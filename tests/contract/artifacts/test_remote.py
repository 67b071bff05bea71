"""An object store that is away, says no, or whose answer is lost."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, ObjectStore, S3Store

from heimdall.artifacts.remote import RemoteArtifacts
from heimdall.domain.attempt import StoredFile
from heimdall.domain.errors import ArtifactsRefusedError, CheckpointDamagedError, UnavailableError
from tests.contract.artifacts.test_artifact_store import KEY, put
from tests.e2e.cut_line import CutLine
from tests.services.s3 import S3Server

ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def answer_with_an_error(line: CutLine) -> None:
    line.answer(ERROR)


@pytest.fixture
def line(s3_server: S3Server) -> Iterator[CutLine]:
    line = CutLine(s3_server.address)
    yield line
    line.close()


def artifacts_at(endpoint: str, bucket: str, cache: Path) -> RemoteArtifacts:
    store = S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id="test",
        secret_access_key="test",
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": timedelta(seconds=0.5)},
        retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=1)},
    )
    return RemoteArtifacts(store, cache=cache)


@pytest.mark.parametrize("trouble", [answer_with_an_error, CutLine.stall, CutLine.cut])
def test_one_that_is_away_is_unavailable_whatever_is_asked(
    trouble: Callable[[CutLine], None], line: CutLine, s3_server: S3Server, tmp_path: Path
) -> None:
    store = artifacts_at(f"http://127.0.0.1:{line.port}", s3_server.new_bucket(), tmp_path)
    stored = put(store, "job/a1/e1/last.pth", b"weights")
    trouble(line)
    for ask in (
        lambda: put(store, KEY, b"weights"),
        lambda: store.size(KEY),
        lambda: store.keys("job"),
        lambda: store.fetch(stored),
        lambda: list(store.read(stored.key)),
        lambda: store.delete(["job/a1/e0/last.pth"]),
        lambda: store.delete_prefix("another"),
    ):
        with pytest.raises(UnavailableError, match="The object store does not give the"):
            ask()
    line.mend()
    assert store.fetch(stored).read_bytes() == b"weights"
    assert stored.key in store.keys("job")  # and perhaps what came late


def test_one_without_the_bucket_is_not_asked_again(s3_server: S3Server, tmp_path: Path) -> None:
    store = artifacts_at(s3_server.endpoint, "nowhere", tmp_path)
    with pytest.raises(ArtifactsRefusedError, match="check the bucket in HEIMDALL_ARTIFACTS_URL"):
        put(store, KEY, b"weights")


def test_an_upload_is_read_back_and_goes_when_it_holds_other_bytes(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = artifacts_at(s3_server.endpoint, s3_server.new_bucket(), tmp_path)
    upload = obstore.put

    def upload_other_bytes(to: ObjectStore, key: str, path: Path, *, chunk_size: int) -> None:
        upload(to, key, path.read_bytes().replace(b"weights", b"weighty"), chunk_size=chunk_size)

    monkeypatch.setattr(obstore, "put", upload_other_bytes)
    with pytest.raises(CheckpointDamagedError, match="other bytes"):
        put(store, KEY, b"weights")
    assert store.size(KEY) is None
    monkeypatch.undo()
    assert store.fetch(put(store, KEY, b"weights")).read_bytes() == b"weights"


def test_an_upload_whose_answer_was_lost_is_not_a_conflict(s3_server: S3Server, tmp_path: Path) -> None:
    store = artifacts_at(s3_server.endpoint, s3_server.new_bucket(), tmp_path)
    first = put(store, KEY, b"weights")
    assert put(store, KEY, b"weights") == first
    assert first == StoredFile(key=KEY, size_bytes=7, sha256=hashlib.sha256(b"weights").hexdigest())


def test_what_is_gone_already_hinders_no_deletion(tmp_path: Path) -> None:
    """A store of obstore's that, as some remote ones do, calls a missing object an error."""
    store = RemoteArtifacts(LocalStore(tmp_path / "objects", mkdir=True), cache=tmp_path / "cache")
    put(store, "job/first", b"1")
    put(store, "job/last", b"2")
    store.delete(["job/first", "job/gone", "job/last"])
    assert store.keys("job") == []
