"""The commands of the page "Back up and restore" bring an installation back after a crash."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.e2e.service import HEIMDALL, RunningService, wait_until
from tests.e2e.small_jobs import slow
from tests.services.postgres import SHARED, need_postgres
from tests.services_here import skip_without

PAGE = Path(__file__).parents[2] / "docs/how-to/back-up.md"
NUM_EPOCHS = 12


def commands(part: str, database: str) -> str:
    """The page's block for this part (`Back up`, `Restore`) and database (`SQLite`, `PostgreSQL`)."""
    text = PAGE.read_text().partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^With {database}.*?^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE} has no commands for {part}, {database}"
    return found[1]


@pytest.fixture
def database_url() -> Iterator[str]:
    """A database of PostgreSQL of the test's own, in the spelling that PostgreSQL's tools do not know."""
    need_postgres()
    name = f"heimdall_{uuid4().hex[:12]}"
    with psycopg.connect(f"postgresql://{SHARED}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield f"postgresql+psycopg://{SHARED}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class Place:
    """A folder with an installation in `heimdall-data` and backups in `backup`."""

    def __init__(self, folder: Path, database_url: str | None) -> None:
        self.folder = folder
        self.kind = "PostgreSQL" if database_url else "SQLite"
        self._url = database_url
        self._environment = {"HEIMDALL_DATABASE_URL": database_url} if database_url else {}
        self.service = RunningService(folder / "heimdall-data", environment=self._environment)

    def run(self, part: str) -> None:
        script = commands(part, self.kind).replace("/backup", str(self.folder / "backup"))
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=os.environ | self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def stored_epoch(self, job_id: str) -> int:
        """The job's epoch in the database itself, read as the service would read it."""
        question = "SELECT current_epoch FROM training_jobs WHERE id = "
        if self._url is None:
            with closing(sqlite3.connect(self.service.database)) as connection:
                return connection.execute(f"{question}?", [job_id]).fetchone()[0]
        with psycopg.connect(self._url.replace("+psycopg", "")) as connection:
            found = connection.execute(f"{question}%s", [job_id]).fetchone()
            assert found is not None
            return found[0]

    def crash(self, job_id: str) -> None:
        """Server and job die at once."""
        self.service.kill()
        assert self.service.kill_job(job_id)
        wait_until(lambda: job_id not in self.service.job_processes(), seconds=30, what="the job's process is gone")

    def verify(self, job_id: str) -> str:
        command = [HEIMDALL, "verify", job_id, "--data-dir", str(self.service.data_dir)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | self._environment
        )
        return done.stdout + done.stderr


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_backup_made_while_training_is_restored_after_a_crash(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    for program in ("sqlite3", "rsync"):
        if shutil.which(program) is None:
            skip_without("backup", f"{program} is not installed")
    place = Place(tmp_path, request.getfixturevalue("database_url") if database == "postgresql" else None)
    service = place.service
    try:
        service.start()
        dataset_id = service.generate("few", 300)
        job_id = service.submit(slow(dataset_id, epochs=NUM_EPOCHS))
        service.wait_job(job_id, lambda job: job["current_epoch"] >= 2, what="two epochs are done")
        place.run("Back up")
        saved_by = place.stored_epoch(job_id)
        service.wait_job(job_id, lambda job: job["current_epoch"] >= saved_by + 2, what="it is ahead of the backup")
        place.crash(job_id)
        place.run("Restore")
        assert 2 <= place.stored_epoch(job_id) <= saved_by
        service.start()
        job = service.wait_ended(job_id)
        assert (job["status"], job["current_epoch"]) == ("completed", NUM_EPOCHS), job["error_message"]
        rows = service.api.get(f"/jobs/{job_id}/metrics").json()
        assert [row["epoch"] for row in rows] == list(range(1, NUM_EPOCHS + 1))
        assert place.verify(job_id) == f"epoch {NUM_EPOCHS}: identical\n"
    finally:
        service.close()
