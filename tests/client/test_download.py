"""A downloaded file is complete or not there."""

import hashlib
import resource
from pathlib import Path

import pytest

from heimdall.client import DownloadError, HeimdallClient, ServerUnreachableError
from heimdall.domain.errors import ArtifactNotFoundError
from tests.client.scripted import Request, ScriptedServer

CONTENT = b"weights" * 50_000
NAME = "checkpoints/best model.pth"


class Files:
    def __init__(
        self, sent: bytes, claimed_length: int | None = None, content_type: str = "application/octet-stream"
    ) -> None:
        self.sent = sent
        self.content_type = content_type
        self.claimed_length = claimed_length

    def __call__(self, request: Request) -> None:
        if request.path.endswith("/artifacts"):
            listed = {
                "name": NAME,
                "size_bytes": len(CONTENT),
                "created_at": "2026-01-01T00:00:00Z",
                "artifact_type": "checkpoint",
                "sha256": hashlib.sha256(CONTENT).hexdigest(),
            }
            request.answer_json({"artifacts": [listed], "total_count": 1})
        else:
            assert request.path.endswith("/artifacts/checkpoints/best%20model.pth")
            request.answer(200, self.sent, self.content_type, claimed_length=self.claimed_length)


def test_the_file_arrives(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "best.pth"
    with ScriptedServer(Files(CONTENT)) as server, HeimdallClient(server.url) as client:
        client.records.download("j", NAME, target)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("sent", "claimed_length", "expected"),
    [
        (CONTENT[:-1] + b"?", None, DownloadError),
        (CONTENT[:-1], None, DownloadError),
        (CONTENT[:1000], len(CONTENT), ServerUnreachableError),
    ],
)
def test_a_damaged_file_leaves_the_old_one(
    tmp_path: Path, sent: bytes, claimed_length: int | None, expected: type[Exception]
) -> None:
    target = tmp_path / "best.pth"
    target.write_bytes(b"old")
    with (
        ScriptedServer(Files(sent, claimed_length)) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(expected),
    ):
        client.records.download("j", NAME, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_names_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "best.pth"
    target.write_bytes(b"old")
    with ScriptedServer(Files(CONTENT)) as server, HeimdallClient(server.url) as client:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                client.records.download("j", NAME, target)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_is_html_arrives(tmp_path: Path) -> None:
    with ScriptedServer(Files(CONTENT, content_type="text/html")) as server, HeimdallClient(server.url) as client:
        client.records.download("j", NAME, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == CONTENT


def test_an_unknown_name(tmp_path: Path) -> None:
    with (
        ScriptedServer(Files(CONTENT)) as server,
        HeimdallClient(server.url) as client,
        pytest.raises(ArtifactNotFoundError),
    ):
        client.records.download("j", "nothing", tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
