"""The artifact stores under test: a local folder, and S3 as moto's server speaks it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from obstore.store import S3Store

from heimdall.artifacts import LocalArtifacts
from heimdall.artifacts.remote import RemoteArtifacts
from heimdall.domain.ports import ArtifactStore

REQUIRED = os.environ.get("HEIMDALL_TEST_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if find_spec("moto") is None:
        if "s3" in REQUIRED:
            pytest.fail("moto's server is required and not installed")
        pytest.skip("moto's server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def s3(s3_endpoint: str) -> S3Store:
    bucket = f"b{uuid.uuid4().hex}"
    request = urllib.request.Request(f"{s3_endpoint}/{bucket}", method="PUT")
    urllib.request.urlopen(request, timeout=10).close()
    return S3Store(
        bucket,
        endpoint=s3_endpoint,
        access_key_id="test",
        secret_access_key="test",
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


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
