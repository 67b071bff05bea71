"""Where files are kept is refused in one sentence when it is no such place."""

from pathlib import Path

import pytest

from heimdall.artifacts import LocalArtifacts
from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.installation import open_artifacts
from heimdall.domain.errors import StartRefusedError


@pytest.mark.parametrize(
    "url", ["foo://bar", "s3://", "nonsense", "/mnt/shared", "file://mnt/shared", "file:mnt", "az://container/x"]
)
def test_what_is_no_store_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(StartRefusedError, match=r"set HEIMDALL_ARTIFACTS_URL to file:///folder, s3://") as refused:
        open_artifacts(load({"artifacts_url": url, "data_dir": tmp_path}))
    assert "\n" not in str(refused.value)


def test_the_path_of_a_folder_is_answered_with_its_address(tmp_path: Path) -> None:
    with pytest.raises(StartRefusedError, match=r"a folder is written file:///mnt/x\)"):
        open_artifacts(load({"artifacts_url": "/mnt/x", "data_dir": tmp_path}))


def test_the_refusal_tells_no_password(tmp_path: Path) -> None:
    with pytest.raises(StartRefusedError) as refused:
        open_artifacts(load({"artifacts_url": "foo://key:hunter2@bar", "data_dir": tmp_path}))
    assert "hunter2" not in str(refused.value)


def test_a_folder(tmp_path: Path) -> None:
    url = (tmp_path / "a b").as_uri()
    assert isinstance(open_artifacts(load({"artifacts_url": url, "data_dir": tmp_path})), LocalArtifacts)
    assert (tmp_path / "a b").is_dir()
