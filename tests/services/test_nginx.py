"""The nginx configuration of the page "Run behind a proxy" lets the command line and sockets through."""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.e2e.service import HEIMDALL, RunningService, free_port, wait_until
from tests.services_here import skip_without

PAGE = Path(__file__).parents[2] / "docs/how-to/run-behind-a-proxy.md"
USER = "ada:secret"


def blocks() -> dict[str, str]:
    """The page's indented blocks by their first word."""
    found = re.findall(r"((?:^    .*\n)+)", PAGE.read_text(), flags=re.MULTILINE)
    return {block.split()[0].partition("=")[0]: block for block in found}


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[RunningService, int]]:
    """A service with the settings of the page, and the port of the nginx before it."""
    nginx = shutil.which("nginx")
    if nginx is None:
        skip_without("nginx", "it is not installed")
    page = blocks()
    port = free_port()
    settings = dict(line.split("=", 1) for line in page["HEIMDALL_ALLOWED_HOSTS"].split())
    settings = {name: value.strip("'").replace("https://", "http://") for name, value in settings.items()}
    settings = {name: value.replace("heimdall.example.org", "localhost") for name, value in settings.items()}
    service = RunningService(tmp_path / "data", environment=settings)
    users = tmp_path / "heimdall.users"
    users.write_text(f"ada:{{PLAIN}}{USER.partition(':')[2]}\n")
    location = page["location"].replace("127.0.0.1:8001", f"127.0.0.1:{service.port}")
    location = location.replace("/etc/nginx/heimdall.users", str(users))
    config = tmp_path / "nginx.conf"
    tmp_path.chmod(0o755)
    config.write_text(
        f"daemon off; user root; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off;\n{page['map']}\nserver {{ listen 127.0.0.1:{port};\n{location}\n}} }}\n"
    )
    process = subprocess.Popen([nginx, "-c", config, "-p", tmp_path, "-e", tmp_path / "error.log"])
    try:
        service.start(warm=False)
        yield service, port
    finally:
        service.close()
        process.terminate()
        process.wait(timeout=30)


def typed(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDALL_")}
    environment["HEIMDALL_URL"] = url
    return subprocess.run([HEIMDALL, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_page_works_as_printed(proxied: tuple[RunningService, int]) -> None:
    service, port = proxied
    address = f"http://{USER}@localhost:{port}"
    wait_until(lambda: typed(address, "ls").returncode == 0, seconds=60, what="nginx lets the command line through")
    assert typed(f"http://localhost:{port}", "ls").returncode != 0  # without the password
    job_id = service.submit({"epochs": 1}, job_name="behind a proxy")
    service.act(job_id, "cancel")
    shown = json.loads(typed(address, "show", job_id, "--json").stdout)
    websocket_url = str(shown.get("job", shown)["websocket_url"])
    assert websocket_url.startswith("ws://localhost")
    password = base64.b64encode(USER.encode()).decode()
    headers = {"Authorization": f"Basic {password}"}
    with connect(f"ws://localhost:{port}/ws/training/{job_id}", additional_headers=headers) as socket:
        assert json.loads(socket.recv(timeout=30))["event"] == "connected"
