"""Listing and downloading the files of a job."""

from typing import Any
from urllib.parse import quote

import pytest

from heimdall.domain.attempt import ArtifactType
from tests.api.client import Api, problem_of
from tests.api.installation import Installation
from tests.api.worker import Run

CONTENT = bytes(range(256)) * 20_000  # more than one chunk


@pytest.fixture(scope="module")
def owner(api: Api, installation: Installation) -> Run:
    run = installation.worker.claim_job(api.submit())
    run.save("predictions.parquet", CONTENT, ArtifactType.PREDICTIONS)
    run.save("notes/ä b.txt", b"text", ArtifactType.OTHER)
    run.save("empty.bin", b"")
    return run


def download(api: Api, run: Run, name: str, method: str = "GET", **headers: str) -> Any:
    path = f"/api/v1/training/jobs/{run.job.id}/artifacts/{name}"
    return api.client.request(method, path, headers={key.replace("_", "-"): text for key, text in headers.items()})


def test_the_list(api: Api, owner: Run) -> None:
    body = api.get(f"/jobs/{owner.job.id}/artifacts").json()
    assert body["total_count"] == 3
    by_name = {artifact["name"]: artifact for artifact in body["artifacts"]}
    assert set(by_name) == {"predictions.parquet", "notes/ä b.txt", "empty.bin"}
    predictions = by_name["predictions.parquet"]
    assert set(predictions) == {"name", "size_bytes", "created_at", "artifact_type", "sha256"}
    assert (predictions["size_bytes"], predictions["artifact_type"]) == (len(CONTENT), "predictions")


def test_a_whole_file(api: Api, owner: Run) -> None:
    answer = download(api, owner, "predictions.parquet")
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert download(api, owner, quote("notes/ä b.txt")).content == b"text"
    assert download(api, owner, "empty.bin").content == b""


def test_head_says_the_same_without_the_file(api: Api, owner: Run) -> None:
    head, whole = download(api, owner, "predictions.parquet", "HEAD"), download(api, owner, "predictions.parquet")
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-length", "etag", "content-type", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
    assert download(api, owner, "none.bin", "HEAD").status_code == 404


def test_a_known_file_is_not_sent_again(api: Api, owner: Run) -> None:
    etag = download(api, owner, "empty.bin").headers["etag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        for method in ("GET", "HEAD"):
            answer = download(api, owner, "empty.bin", method, If_None_Match=known)
            assert answer.status_code == 304
            assert answer.headers["etag"] == etag
    assert download(api, owner, "empty.bin", If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=5119990-", 5119990, 5120000),
        ("bytes=5119990-9999999999", 5119990, 5120000),
        ("bytes=-5", 5119995, 5120000),
        ("bytes=-9999999999", 0, 5120000),
    ],
)
def test_a_part_of_a_file(api: Api, owner: Run, wanted: str, start: int, stop: int) -> None:
    answer = download(api, owner, "predictions.parquet", Range=wanted)
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(stop - start)
    assert answer.content == CONTENT[start:stop]


@pytest.mark.parametrize("wanted", ["bytes=5120000-", "bytes=9999999999-", "bytes=-0"])
def test_a_part_behind_the_end(api: Api, owner: Run, wanted: str) -> None:
    answer = download(api, owner, "predictions.parquet", Range=wanted)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize(
    "wanted", ["bytes=", "bytes=-", "bytes=5-4", "lines=1-2", "bytes=0-1,3-4", "bytes=x-y", "bytes=" + "9" * 99 + "-"]
)
def test_a_range_that_makes_no_sense_is_ignored(api: Api, owner: Run, wanted: str) -> None:
    assert download(api, owner, "empty.bin", Range=wanted).status_code == 200


def test_a_range_of_another_version_gives_the_whole_file(api: Api, owner: Run) -> None:
    etag = download(api, owner, "predictions.parquet").headers["etag"]
    for version, status in ((etag, 206), ('"older"', 200), ("Wed, 21 Oct 2015 07:28:00 GMT", 200)):
        answer = download(api, owner, "predictions.parquet", Range="bytes=0-9", If_Range=version)
        assert answer.status_code == status


@pytest.mark.parametrize(
    "name",
    [
        "%2e%2e/%2e%2e/heimdall.db",
        "..%2f..%2fheimdall.db",
        "checkpoints/%2e%2e/%2e%2e/secret",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "%2e",
        "a%5c..%5cb",
        "a%00b",
    ],
)
def test_a_path_that_leaves_the_folder(api: Api, owner: Run, name: str) -> None:
    problem = problem_of(download(api, owner, name), 400)
    assert problem["code"] in {"bad_path", "bad_request"}


@pytest.mark.parametrize("name", ["none.bin", "", "predictions.parquet/", "x" * 4000])
def test_a_name_that_does_not_exist(api: Api, owner: Run, name: str) -> None:
    problem_of(download(api, owner, name), 404)


def test_a_symlink_out_of_the_folder_is_refused(api: Api, installation: Installation, run: Run) -> None:
    run.save("model.bin", b"weights")
    secret = installation.folder / "secret.txt"
    secret.write_text("not yours")
    file = installation.stores.history.artifact(run.job.id, "model.bin").file
    path = installation.folder / "artifacts" / file.key
    path.unlink()
    path.symlink_to(secret)
    answer = download(api, run, "model.bin")
    assert "not yours" not in answer.text
    assert str(installation.folder) not in answer.text
    problem_of(answer, 400)


def test_a_file_that_is_gone_is_an_answer(api: Api, installation: Installation, run: Run) -> None:
    run.save("lost.bin", b"weights")
    file = installation.stores.history.artifact(run.job.id, "lost.bin").file
    (installation.folder / "artifacts" / file.key).unlink()
    problem = problem_of(download(api, run, "lost.bin"), 404)
    assert problem["detail"] == "Artifact lost.bin not found"
