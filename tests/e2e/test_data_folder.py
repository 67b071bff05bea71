"""A data folder holds all of a service's data, whatever it is called, and shows it to nobody else."""

from pathlib import Path

import pytest

from tests.e2e.service import RunningService


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
