"""One running service for all tests of the command line, and a way to type commands at it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from heimdall.cli import main
from tests.e2e.service import RunningService


@dataclass(frozen=True, slots=True)
class Typed:
    code: int
    out: str
    err: str


class Terminal(Protocol):
    def __call__(self, *words: str) -> Typed: ...


@pytest.fixture
def heimdall(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Terminal]:
    """Types `heimdall …` in an empty folder, output into a pipe."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def type_words(*words: str) -> Typed:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        shown = capsys.readouterr()
        return Typed(int(ended.value.code or 0), shown.out, shown.err)

    yield type_words
    root.handlers[:] = handlers  # `serve` sets the process's log up, onto a stream that ends with the test
    root.setLevel(level)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    running = RunningService(tmp_path_factory.mktemp("service") / "data")
    try:
        yield running.start()
    finally:
        running.api.close()
        assert running.stop() == 0


@pytest.fixture
def at_service(service: RunningService, heimdall: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Types at the running service."""
    monkeypatch.setenv("HEIMDALL_URL", service.url)
    return heimdall


@pytest.fixture(scope="session")
def dataset_id(service: RunningService) -> str:
    """A small ready dataset named `small`."""
    body: dict[str, Any] = {"name": "small", "num_samples": 200, "use_random_receivers": False, "seed": 7}
    started = service.api.post("/synthetic/generate", json=body).json()
    assert service.wait_ended(started["job_id"])["status"] == "completed"
    return started["dataset_id"]


@pytest.fixture(scope="session")
def finished_job(service: RunningService, dataset_id: str) -> dict[str, Any]:
    """A job named `finished` that completed two epochs."""
    config = {"dataset_id": dataset_id, "epochs": 2, "num_workers": 0, "model_architecture": "triangulation"}
    job = service.wait_ended(service.submit(config, job_name="finished", tags=["one"]))
    assert job["status"] == "completed", job["error_message"]
    return job
