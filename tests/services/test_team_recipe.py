"""README's recipe for a team, line by line: only host names and ports are those of this machine."""

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg import sql

from tests.e2e.service import HEIMDALL, free_port, wait_until
from tests.services.postgres import SHARED, need_postgres
from tests.services.s3 import S3Server

README = Path(__file__).parents[2] / "README.md"


def recipe() -> tuple[list[str], list[str]]:
    """The lines for the servers, and those for a user's machine."""
    text = README.read_text().partition("\n## Use as a team\n")[2].partition("\n## ")[0]
    servers, users = re.findall(r"((?:^    .*\n)+)", text, flags=re.MULTILINE)[:2]
    return [line.strip() for line in servers.splitlines()], [line.strip() for line in users.splitlines()]


def exported(lines: list[str], values: dict[str, str]) -> dict[str, str]:
    """What the recipe exports, with this machine's values in place of its own; it must name the same variables."""
    names = [line.split("=")[0].removeprefix("export ") for line in lines if line.startswith("export ")]
    assert sorted(names) == sorted(values)
    return values


def commands(lines: list[str]) -> list[list[str]]:
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("heimdall ")]


@pytest.fixture
def database_url() -> Iterator[str]:
    need_postgres()
    name = f"heimdall_{uuid4().hex[:12]}"
    with psycopg.connect(f"postgresql://{SHARED}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield f"postgresql://{SHARED}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def typed(folder: Path, environment: dict[str, str], words: list[str]) -> str:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [HEIMDALL, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_recipe_works_as_printed(tmp_path: Path, database_url: str, broker_url: str, s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    store = s3_server.environment(bucket)
    servers, users = recipe()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEIMDALL_", "AWS_"))}
    clean["HOME"] = str(tmp_path)
    port = free_port()
    values = {
        "HEIMDALL_DATABASE_URL": database_url,
        "HEIMDALL_ARTIFACTS_URL": store["HEIMDALL_ARTIFACTS_URL"],
        "HEIMDALL_BROKER_URL": broker_url,
        "HEIMDALL_ALLOWED_HOSTS": socket.gethostname(),
    }
    server = clean | store | exported(servers, values) | {"HEIMDALL_PORT": str(port)}
    create, serve, worker = commands(servers)
    token = typed(tmp_path / "admin", server, create).strip()
    with ExitStack() as stack:
        for name, words in (("serve", serve), ("worker", worker)):
            folder = tmp_path / name
            folder.mkdir()
            log = stack.enter_context((folder / "log").open("wb"))
            process = subprocess.Popen([HEIMDALL, *words], cwd=folder, env=server, stdout=log, stderr=log)
            stack.callback(process.wait, 60)
            stack.callback(process.terminate)
        wait_until(lambda: is_ready(port), seconds=90, what="the API process is ready")
        urls = {"HEIMDALL_URL": f"http://localhost:{port}", "HEIMDALL_TOKEN": token}
        user = clean | exported(users, urls)
        generate = [
            "datasets",
            "generate",
            "--name",
            "few",
            "--samples",
            "300",
            "use_random_receivers=false",
            "--follow",
        ]
        typed(tmp_path / "user", user, generate)
        (submit,) = commands(users)
        followed = typed(tmp_path / "user", user, [*submit, "dataset_id=few", "model_architecture=triangulation"])
        assert "completed" in followed
        assert '"status": "completed"' in typed(tmp_path / "user", user, ["ls", "--json"])


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://localhost:{port}/readyz", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False
