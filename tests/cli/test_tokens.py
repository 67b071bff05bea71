"""heimdall tokens: made and revoked on the database itself, told to a running service by nobody."""

import json
import re
import subprocess
from pathlib import Path

import httpx2
import pytest

from heimdall import bootstrap
from heimdall.domain.errors import InvalidInputError
from tests.cli.conftest import Terminal
from tests.e2e.service import HEIMDALL, RunningService, free_port, wait_until


@pytest.fixture
def installed(heimdall: Terminal) -> Terminal:
    """Types in a folder that holds an installation."""
    assert heimdall("migrate").code == 0
    return heimdall


@pytest.mark.parametrize(
    "words", [("create", "--role", "admin"), ("ls",), ("revoke", "Ada"), ("forget-all", "--yes")], ids=lambda w: w[0]
)
def test_a_folder_without_an_installation_is_refused_and_left_empty(
    heimdall: Terminal, tmp_path: Path, words: tuple[str, ...]
) -> None:
    refused = heimdall("tokens", *words)
    assert (refused.code, refused.out) == (3, "")
    assert refused.err == "heimdall: There is no data of a service in heimdall-data; name its folder with --data-dir.\n"
    assert not list(tmp_path.iterdir())


def test_only_create_makes_the_installation_that_is_named(heimdall: Terminal, tmp_path: Path) -> None:
    folder = str(tmp_path / "new")
    assert heimdall("tokens", "ls", "--data-dir", folder).code == 3
    assert heimdall("tokens", "create", "--role", "admin", "--name", "Ada", "--data-dir", folder).code == 0
    assert "Ada" in heimdall("tokens", "ls", "--data-dir", folder).out
    file = tmp_path / "other.db"
    url = f"sqlite:///{file}"
    refused = heimdall("tokens", "ls", "--database-url", url)
    assert refused.err == f"heimdall: There is no database {file}; name it with --database-url.\n"
    assert heimdall("tokens", "create", "--role", "viewer", "--database-url", url).code == 0
    assert heimdall("tokens", "ls", "--database-url", url).code == 0
    assert not (tmp_path / "heimdall-data").exists()


def test_a_token_is_shown_once(installed: Terminal) -> None:
    heimdall = installed
    made = heimdall("tokens", "create", "--role", "operator", "--name", "ci")
    assert made.code == 0, made.err
    secret = made.out.strip()
    assert secret.startswith("hmd_")
    assert "not shown again" in made.err
    assert re.search(r"^Only services on sqlite:///\S+/heimdall\.db know it\.$", made.err, re.MULTILINE)
    listed = heimdall("tokens", "ls")
    assert [line.split("\t")[:2] for line in listed.out.splitlines()] == [["name", "role"], ["ci", "operator"]]
    assert secret not in listed.out + heimdall("config").out
    assert secret not in "".join(str(path.read_bytes()) for path in Path("heimdall-data").glob("heimdall.db*"))
    taken = heimdall("tokens", "create", "--role", "viewer", "--name", "ci")
    assert (taken.code, "ci" in taken.err) == (4, True)
    assert heimdall("tokens", "create", "--role", "king").code == 2


def test_as_json_and_revoked(installed: Terminal) -> None:
    heimdall = installed
    made = json.loads(heimdall("tokens", "create", "--role", "viewer", "--json").out)
    assert made["token"].startswith("hmd_")
    assert made["name"].startswith("viewer-")
    assert heimdall("tokens", "revoke", made["name"]).code == 0
    assert heimdall("tokens", "revoke", made["name"]).code == 3
    (listed,) = json.loads(heimdall("tokens", "ls", "--json").out)
    assert listed["revoked_at"] is not None
    assert "token" not in listed
    assert heimdall("tokens", "forget-all", "--yes").out == "1 tokens are deleted.\n"
    assert json.loads(heimdall("tokens", "ls", "--json").out) == []


def test_secrets_of_the_settings_are_masked_and_checked(heimdall: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDALL_ADMIN_TOKEN", "a-secret-of-the-settings")
    monkeypatch.setenv("HEIMDALL_TOKEN", "another-secret-of-them")
    shown = heimdall("config").out + heimdall("config", "--json").out
    assert "secret-of" not in shown
    monkeypatch.setenv("HEIMDALL_TOKEN", "")
    assert bootstrap.load_settings().token is None
    for unusable in ("short", "a secret with spaces", "größer-als-sechzehn"):
        monkeypatch.setenv("HEIMDALL_TOKEN", unusable)
        with pytest.raises(InvalidInputError, match="HEIMDALL_TOKEN"):
            bootstrap.load_settings()


def test_any_address_may_be_bound_with_tokens_only(
    tmp_path: Path, heimdall: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "data"
    command = [HEIMDALL, "up", "--host", "0.0.0.0", "--port", str(free_port()), "--data-dir", str(data_dir)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "heimdall tokens create" in refused.stderr

    secret = heimdall("tokens", "create", "--role", "viewer", "--name", "Ada", "--data-dir", str(data_dir)).out.strip()
    service = RunningService(data_dir, environment={"HEIMDALL_HOST": "0.0.0.0"})
    try:
        service.start(warm=False)
        assert httpx2.get(f"{service.url}/api/v1/training/jobs").status_code == 401
        monkeypatch.setenv("HEIMDALL_URL", service.url)
        refused_here = heimdall("ls")
        assert refused_here.code == 1
        assert "HEIMDALL_TOKEN" in refused_here.err
        assert "heimdall tokens create" in refused_here.err
        monkeypatch.setenv("HEIMDALL_TOKEN", secret)
        assert heimdall("ls").code == 0
        assert "Ada" in heimdall("submit", "epochs=1").err  # it names the token whose role is too low
        heimdall("tokens", "revoke", "Ada", "--data-dir", str(data_dir))
        wait_until(lambda: heimdall("ls").code == 1, seconds=4, what="the service refuses the token", every=0.3)
    finally:
        assert service.close() == 0
