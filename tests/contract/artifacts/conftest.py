"""The artifact stores under test: a local folder, and S3 as moto's server speaks it."""

from pathlib import Path

import pytest
from obstore.store import S3Store

from heimdall.artifacts import LocalArtifacts
from heimdall.artifacts.remote import RemoteArtifacts
from heimdall.domain.artifact_store import ArtifactStore
from tests.services.s3 import S3Server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Store:
    return s3_server.store(s3_server.new_bucket())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def local(root: Path, tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(root, cache=tmp_path / "cache")


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "local":
        return request.getfixturevalue("local")
    return RemoteArtifacts(request.getfixturevalue("s3"), cache=tmp_path / "cache")
