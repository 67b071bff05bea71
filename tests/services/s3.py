"""An S3 server for tests: moto's, in a process of its own."""

import subprocess
import sys
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from obstore.store import S3Store

from tests.e2e.service import free_port, wait_until
from tests.services_here import skip_without


def need_s3() -> None:
    if find_spec("moto") is None:
        skip_without("s3", "moto's server is not installed")


class S3Server:
    """Everything it holds is in its memory."""

    def __init__(self, log: Path) -> None:
        self.address = ("127.0.0.1", free_port())
        self.endpoint = f"http://127.0.0.1:{self.address[1]}"
        command = [sys.executable, "-m", "moto.server", "-H", self.address[0], "-p", str(self.address[1])]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(self._answers, seconds=60, what="moto's server answers")

    def _answers(self) -> bool:
        assert self._process.poll() is None
        try:
            urllib.request.urlopen(self.endpoint, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def store(self, bucket: str, prefix: str | None = None) -> S3Store:
        return S3Store(
            bucket,
            prefix=prefix,
            endpoint=self.endpoint,
            access_key_id="test",
            secret_access_key="test",
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def new_bucket(self) -> str:
        name = f"b{uuid4().hex}"
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        return name

    def environment(self, bucket: str, endpoint: str | None = None) -> dict[str, str]:
        """Settings of an installation that keeps its files under `artifacts` there, reached by `endpoint`."""
        return {
            "HEIMDALL_ARTIFACTS_URL": f"s3://{bucket}/artifacts",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
        }

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
