"""No token and no password reaches a trainer, nor what it starts."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.e2e import probe_kind
from tests.e2e.service import RunningService, wait_until
from tests.services.postgres import SHARED, need_postgres

WORD = "hunter2-of-the-operator"
BODY = """
    initial = open("/proc/self/environ", "rb").read().replace(b"\\0", b"\\n").decode()
    child = subprocess.check_output([sys.executable, "-c", "import os; print(os.environ)"], text=True)
    told = "\\n".join(f"{name}={value}" for name, value in os.environ.items())
    open(os.environ["PROBE_FILE"], "w").write("\\n".join(["begin", told, initial, child, *sys.argv, "end"]))
"""


@pytest.fixture
def database_url() -> Iterator[str]:
    """Of a database of the test's own; the server asks nobody for the password."""
    need_postgres()
    name = f"environment_{uuid4().hex}"
    with psycopg.connect(f"postgresql://{SHARED}/postgres", autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        user, _, place = SHARED.partition("@")
        yield f"postgresql://{user}:{WORD}@{place}/{name}"
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def test_a_trainer_finds_no_secret(tmp_path: Path, database_url: str) -> None:
    seen = tmp_path / "seen"
    service = RunningService(
        tmp_path / "data",
        environment={
            "HEIMDALL_DATABASE_URL": database_url,
            "HEIMDALL_ADMIN_TOKEN": WORD,
            "heimdall_token": WORD,
            "HEIMDALL_URL": f"http://ada:{WORD}@localhost",
            "HEIMDALL_GPUS": "[]",
            "PYTHONPATH": probe_kind.install(tmp_path / "plug", BODY),
            "PROBE_FILE": str(seen),
        },
    )
    service.api.headers["Authorization"] = f"Bearer {WORD}"
    try:
        service.start()
        job = service.wait_ended(service.submit({"epochs": 1}, kind="probe"))
        assert job["status"] == "completed", job["error_message"]
        text = wait_until(seen.read_text, seconds=5, what="it has written")
    finally:
        assert service.close() == 0
    assert text.startswith("begin")
    assert text.endswith("end")
    assert f"PROBE_FILE={seen}" in text
    assert WORD not in text
    assert "HEIMDALL_" not in text.upper()
