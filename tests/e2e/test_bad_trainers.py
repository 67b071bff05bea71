"""Packages of trainers that cannot be used stand beside one that can, in the environment of a real service."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.service import HEIMDALL, RunningService
from tests.plugin import SPEC, install

NO_SCHEMA = "from collections.abc import Callable" + SPEC.replace("epochs: int = 1", "odd: Callable = print")
LEFT_OUT = {
    "broken.spec:SPEC": "ModuleNotFoundError: No module named 'a_library_that_is_gone'",
    "exits.spec:SPEC": "SystemExit: 3",
    "mute.spec:SPEC": "Mute",
    "no_schema.spec:SPEC": "PydanticInvalidForJsonSchema: Cannot generate a JsonSchema",
    "pretender.spec:SPEC": "the kind 'localization' is that of a trainer of Heimdall's own; choose another",
    "stranger.spec:SPEC": "it is not a TrainerSpec but dict",
    "syntax.spec:SPEC": "SyntaxError",
    "twin_a.spec:SPEC": "twin_b.spec:SPEC has the kind 'twin' too",
    "twin_b.spec:SPEC": "twin_a.spec:SPEC has the kind 'twin' too",
}
MUTE = """
class Mute(RuntimeError):
    def __str__(self):
        raise ValueError
raise Mute
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("plugins")
    install(folder, "good")
    install(folder, "unready", preload=("unready.train",), train="import another_library_that_is_gone\n")
    install(folder, "broken", spec="import a_library_that_is_gone\n")
    install(folder, "exits", spec="raise SystemExit(3)\n")
    install(folder, "mute", spec=MUTE)
    install(folder, "no_schema", spec=NO_SCHEMA.format(kind="no_schema", package="no_schema", preload=()))
    install(folder, "pretender", kind="localization")
    install(folder, "stranger", spec="SPEC = {'kind': 'stranger'}\n")
    install(folder, "syntax", spec="def\n")
    install(folder, "twin_a", kind="twin")
    install(folder, "twin_b", kind="twin")
    data_dir = tmp_path_factory.mktemp("data")
    service = RunningService(data_dir, environment={"PYTHONPATH": str(folder), "PLUGINS": str(folder)})
    service.start()
    yield service
    assert service.close() == 0


def expected_in(reasons: dict[str, str]) -> bool:
    return reasons.keys() == LEFT_OUT.keys() and all(LEFT_OUT[name] in reason for name, reason in reasons.items())


def test_good_ones_work_and_a_bad_one_fails_its_own_jobs_alone(service: RunningService) -> None:
    bad = service.submit({}, kind="unready")
    good = service.submit({}, kind="good")
    assert service.wait_ended(good)["status"] == "completed"
    job = service.wait_ended(bad)
    assert (job["status"], job["reason"]) == ("failed", "error")
    assert "another_library_that_is_gone" in job["error_message"]


def test_the_list_of_trainers_and_readiness_name_them(service: RunningService) -> None:
    answer = service.api.get("/trainers")
    assert [trainer["kind"] for trainer in answer.json()] == ["good", "localization", "synthetic", "unready"]
    assert "Radio" in answer.json()[1]["title"]
    reasons = json.loads(answer.headers["X-Heimdall-Left-Out"])
    assert expected_in(reasons), reasons
    ready = httpx2.get(f"{service.url}/readyz").json()
    assert ready["status"] == "degraded"
    assert set(ready["down"]) == {f"trainer {name}" for name in LEFT_OUT} | {"module unready.train"}


def test_a_job_of_one_is_refused_with_the_reason(service: RunningService) -> None:
    answer = service.api.post("/jobs", json={"kind": "twin", "config": {}})
    assert answer.status_code == 422
    assert "twin_a.spec:SPEC" in answer.json()["detail"]


def test_the_log_and_doctor_name_them(service: RunningService, tmp_path: Path) -> None:
    log = service.log
    assert all(f"The trainer {name} is left out: " in log for name in LEFT_OUT)
    assert "The fork server cannot import unready.train: ModuleNotFoundError" in log
    command = [HEIMDALL, "doctor", "--json", "--data-dir", str(tmp_path)]
    doctor = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False)
    assert (doctor.returncode, doctor.stderr) == (1, "")
    trainers = next(finding for finding in json.loads(doctor.stdout) if finding["check"] == "trainers")
    assert not trainers["ok"]
    assert all(name in trainers["detail"] for name in LEFT_OUT)
    assert "Usable: good, localization, synthetic, unready." in trainers["detail"]
