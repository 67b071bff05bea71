"""A data folder holds all of a service's data, whatever it is called, and shows it to nobody else."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import httpx2
import pytest

from heimdall.bootstrap.data_folder import open_data_folder
from tests.e2e.service import HEIMDALL, RunningService, free_port, wait_until
from tests.e2e.test_start_refused import ended
from tests.services_here import skip_without


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_an_older_release_left_open_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert ended(tmp_path, HEIMDALL, "migrate", HEIMDALL_DATA_DIR=str(folder)).returncode == 0
    assert (mode(folder), mode(folder / "heimdall.db")) == (0o700, 0o600)
    for name in ("heimdall.db-wal", "heimdall.db.before-0002", "demo.log"):
        (folder / name).touch()
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    found = ended(tmp_path, HEIMDALL, "doctor", HEIMDALL_DATA_DIR=str(folder))
    assert "close it: chmod go= " in " ".join(found.stdout.split()).replace("│ │", "")
    assert mode(folder) == 0o755  # doctor only looks
    service = RunningService(folder)
    try:
        service.start(warm=False)
        assert mode(folder) == 0o700
        files = [folder / f"heimdall.db{end}" for end in ("", "-wal", "-shm", ".before-0002")]
        assert [mode(file) for file in files] == [0o600] * 4
    finally:
        assert service.close() == 0


def test_a_folder_that_serves_others_too_stays_open_and_shows_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o1777)  # as /tmp is
    (tmp_path / "artifacts").mkdir(mode=0o755)
    open_data_folder(tmp_path)
    assert mode(tmp_path) == 0o1777
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts", "attempts", "cache"]
    assert {mode(path) for path in tmp_path.iterdir()} == {0o700}
    assert "Other users of this machine can look into" in caplog.text


def test_other_users_see_nothing_of_a_running_service(tmp_path: Path) -> None:
    """Tried as another user."""
    if os.geteuid():
        skip_without("mount", "only root can become another user")
    open_parents(tmp_path)
    service = RunningService(tmp_path / "data")
    try:
        service.start()
        service.generate("few", 20)
        seen = subprocess.run(
            ["find", "-L", service.data_dir, "-readable"], user=65534, group=65534, extra_groups=[], cwd="/",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert seen.stdout == ""
    finally:
        assert service.close() == 0


def open_parents(folder: Path) -> None:
    """pytest's folders are closed to others."""
    for parent in (folder, *folder.parents):
        if mode(parent) & 0o005 != 0o005:
            parent.chmod(mode(parent) | 0o005)


@pytest.mark.parametrize("is_empty", [False, True], ids=["missing", "empty"])
def test_a_database_that_was_lost_is_not_taken_for_new(tmp_path: Path, is_empty: bool) -> None:
    folder = tmp_path / "data"
    artifacts = folder / "artifacts"
    (artifacts / "some-job").mkdir(parents=True)
    if is_empty:
        (folder / "heimdall.db").touch()
    for command in (["up", "--port", "0"], ["migrate"], ["tokens", "ls"]):
        done = ended(tmp_path, HEIMDALL, *command, HEIMDALL_DATA_DIR=str(folder))
        assert done.returncode == 2, done
        assert f"The database {folder}/heimdall.db is {'empty' if is_empty else 'missing'}, though" in done.stderr
        assert (folder / "heimdall.db").exists() == is_empty


def test_a_first_start_that_was_killed_early_can_be_repeated(tmp_path: Path) -> None:
    """It leaves an empty file at most."""
    folder = tmp_path / "data"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "heimdall.db").touch()
    assert ended(tmp_path, HEIMDALL, "migrate", HEIMDALL_DATA_DIR=str(folder)).returncode == 0


@pytest.mark.parametrize("way", ["moved", "replaced"])
def test_a_server_without_its_data_folder_is_not_ready(tmp_path: Path, way: str) -> None:
    service = RunningService(tmp_path / "data", slots=0)
    service.start(warm=False)
    try:
        shutil.move(service.data_dir, tmp_path / "away")
        if way == "replaced":
            shutil.copytree(tmp_path / "away", service.data_dir)
        answer = wait_until(lambda: not_ready(service), seconds=30, what="it is not ready")
        assert answer is not None
        assert "database" in answer["detail"]
    finally:
        shutil.rmtree(service.data_dir, ignore_errors=True)
        shutil.move(tmp_path / "away", service.data_dir)
        wait_until(lambda: not not_ready(service), seconds=30, what="it is ready again")
        assert service.close() == 0


def not_ready(service: RunningService) -> dict[str, str] | None:
    answer = httpx2.get(f"{service.url}/readyz", timeout=30)
    return answer.json() if answer.status_code == 503 else None


def test_the_start_line_can_be_opened(tmp_path: Path) -> None:
    """An IPv6 address stands in brackets."""
    port = free_port()
    log = tmp_path / "log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEIMDALL_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [HEIMDALL, "up", "--host", "::1", "--port", str(port), "--data-dir", tmp_path / "d"],
            stdout=out, stderr=out, env=kept,
        )  # fmt: skip
    try:
        wait_until(lambda: f"http://[::1]:{port}" in log.read_text(), seconds=60, what="it says where it listens")
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.parametrize("name", ["runs?a", "runs%41 #b"])
def test_an_odd_name(tmp_path: Path, name: str) -> None:
    """The job writes to the same database as the server, and a folder of nearly the same name has another."""
    service = RunningService(tmp_path / name)
    try:
        service.start()
        service.generate("few", 20)
    finally:
        assert service.close() == 0
    other = RunningService(tmp_path / f"{name}2")
    try:
        other.start(warm=False)
        assert other.api.get("/jobs").json()["total"] == 0
    finally:
        assert other.close() == 0
    assert (tmp_path / name / "heimdall.db").exists()
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}2"}
