"""Which service a command calls, and which token it sends there: a real server writes down what it is sent."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal

TOKEN, ADMIN, OTHER = "a-token-of-the-environment", "an-admin-token-of-this-machine", "a-token-of-the-file"


class Listener:
    """A server that any folder could name."""

    def __init__(self) -> None:
        received: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                received.append(self.headers.get("Authorization", "").removeprefix("Bearer ") or None)
                body = json.dumps({"jobs": [], "total": 0, "next_cursor": None}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def take(self) -> set[str | None]:
        """The tokens of all requests since this was asked last; None for a request without."""
        taken = set(self._received)
        self._received.clear()
        return taken


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever)
    thread.start()
    yield listener
    listener.server.shutdown()
    thread.join()
    listener.server.server_close()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEIMDALL_URL", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write_client_file(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "config" / "heimdall"
    folder.mkdir(parents=True)
    file = folder / "client.toml"
    file.touch(0o600)
    file.write_text(text)


@pytest.mark.parametrize("line", ["url = '{url}'", "port = {port}", "host = '127.0.0.1'\nport = {port}"])
def test_a_file_of_the_working_folder_gets_nothing(
    heimdall: Terminal, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("HEIMDALL_TOKEN", TOKEN)
    monkeypatch.setenv("HEIMDALL_ADMIN_TOKEN", ADMIN)
    monkeypatch.setenv("HEIMDALL_HOST", "127.0.0.2")  # nobody listens there
    (tmp_path / "heimdall.toml").write_text(line.format(url=listener.url, port=listener.port))
    done = heimdall("ls")
    assert done.code == 5, done
    assert listener.take() == set()


def test_the_file_that_is_ignored_is_named(
    heimdall: Terminal, tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "heimdall.toml").write_text(f"url = 'http://127.0.0.2:1'\ntoken = '{OTHER}'\nport = 1\n")
    assert heimdall("ls", "--url", listener.url).code == 0
    assert listener.take() == {None}
    (warning,) = caplog.messages
    assert warning.startswith(f"{tmp_path}/heimdall.toml sets token and url, which is ignored: ")
    assert OTHER not in warning
    caplog.clear()
    assert heimdall("config").code == 0
    assert [message.partition("which ")[2][:14] for message in caplog.messages] == ["is ignored: se", "is for the ser"]
    (tmp_path / "heimdall.toml").write_text("port = 1\nslots = 2\n")
    caplog.clear()
    assert heimdall("ls", "--url", listener.url).code == 0
    assert caplog.messages == []


def test_the_admin_token_goes_to_the_service_of_this_machine_only(
    heimdall: Terminal, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEIMDALL_ADMIN_TOKEN", ADMIN)
    assert heimdall("ls", "--url", listener.url).code == 0
    monkeypatch.setenv("HEIMDALL_URL", listener.url)
    assert heimdall("ls").code == 0
    assert listener.take() == {None}
    monkeypatch.setenv("HEIMDALL_URL", "")
    monkeypatch.setenv("HEIMDALL_PORT", str(listener.port))
    assert heimdall("ls").code == 0
    assert listener.take() == {ADMIN}


def test_a_token_goes_where_the_user_says(
    heimdall: Terminal, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEIMDALL_TOKEN", TOKEN)
    monkeypatch.setenv("HEIMDALL_ADMIN_TOKEN", ADMIN)
    assert heimdall("ls", "--url", listener.url).code == 0
    monkeypatch.setenv("HEIMDALL_PORT", str(listener.port))
    assert heimdall("ls").code == 0
    assert listener.take() == {TOKEN}


def test_a_file_of_the_home_folder_names_service_and_token(
    heimdall: Terminal, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_client_file(tmp_path, f"url = '{listener.url}'\ntoken = '{OTHER}'\n")
    assert heimdall("ls").code == 0
    assert listener.take() == {OTHER}
    assert heimdall("ls", "--url", listener.url.replace("127.0.0.1", "localhost")).code == 0
    assert listener.take() == {None}
    monkeypatch.setenv("HEIMDALL_TOKEN", TOKEN)
    assert heimdall("ls").code == 0
    assert listener.take() == {TOKEN}
    assert json.loads(heimdall("config", "--json").out)["url"] == listener.url


def test_a_home_file_that_others_can_read_is_named(
    heimdall: Terminal, listener: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_client_file(tmp_path, f"url = '{listener.url}'\ntoken = '{OTHER}'\n")
    assert heimdall("ls").code == 0
    assert caplog.messages == []
    file = tmp_path / "config" / "heimdall" / "client.toml"
    file.chmod(0o644)
    assert heimdall("ls").code == 0
    assert caplog.messages == [f"Other users of this machine can read the token in {file}; close it with chmod 600."]


def test_a_home_file_that_cannot_be_used_is_named(heimdall: Terminal, tmp_path: Path) -> None:
    write_client_file(tmp_path, "port = 3")
    done = heimdall("ls")
    assert done.code == 2
    assert done.err == f"heimdall: {tmp_path}/config/heimdall/client.toml can set url and token only, not port.\n"
