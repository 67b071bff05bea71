"""PostgreSQL for tests: the one that runs on this machine, or a cluster of the test's own to restart."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.e2e.service import free_port
from tests.services_here import skip_without

SHARED = "root@127.0.0.1:5432"


def need_postgres() -> None:
    try:
        psycopg.connect(f"postgresql://{SHARED}/postgres").close()
    except psycopg.OperationalError as error:
        skip_without("postgres", error)


class OwnPostgres:
    """A cluster with a port and a folder of its own. Only root can make one: the server runs as user postgres."""

    def __init__(self) -> None:
        self.address = ("127.0.0.1", free_port())
        self.place = f"root@127.0.0.1:{self.address[1]}"
        self._bin = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._folder = Path(tempfile.mkdtemp(prefix="heimdall-postgres-"))  # pytest's folders are closed to others
        shutil.chown(self._folder, "postgres")
        self._run("initdb", "--username=root", "--auth=trust", "--no-sync")

    def start(self) -> "OwnPostgres":
        options = f"-p {self.address[1]} -k {self._folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "start", "--wait", "--log", str(self._folder / "log"), "--options", options)
        return self

    def stop(self, mode: str = "fast") -> None:
        """`immediate`: as after a crash; what was committed is recovered at the next start."""
        self._run("pg_ctl", "stop", "--wait", "--mode", mode)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._bin / program), "-D", str(self._folder / "data"), *words]
        as_user = ["runuser", "-u", "postgres", "--"]
        # To a file: a server that was started keeps the output open.
        with (self._folder / "out").open("ab") as out:
            done = subprocess.run([*as_user, *command], stdout=out, stderr=out, cwd=self._folder, check=False)
        assert done.returncode == 0, (self._folder / "out").read_text()
