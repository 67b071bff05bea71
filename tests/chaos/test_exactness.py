"""A job that was paused, killed and moved at random ends as the one left alone, bit for bit.

`HEIMDALL_CHAOS_SCHEDULES` sets how many schedules are drawn (5 by default; `make chaos` asks for more).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.chaos.record import Record, assert_same_files, assert_whole_log, record
from tests.chaos.schedules import CASES, SCHEDULES, Blow, Case, strike
from tests.e2e.service import RunningService

NUM_SCHEDULES = int(os.environ.get("HEIMDALL_CHAOS_SCHEDULES", "5"))


class Laboratory:
    """A service, a dataset for each architecture, and the undisturbed run of each case."""

    def __init__(self, service: RunningService, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.datasets = {"triangulation": self._generate("many", 900), "convnext_atto": self._generate("few", 60)}
        self.references: dict[Case, tuple[str, Record]] = {}

    def _generate(self, name: str, num_samples: int) -> str:
        body = {"name": name, "num_samples": num_samples, "use_random_receivers": False, "seed": 5}
        accepted = self.service.api.post("/synthetic/generate", json=body).json()
        assert self.service.wait_ended(accepted["job_id"])["status"] == "completed"
        return accepted["dataset_id"]

    def submit(self, case: Case) -> str:
        dataset_id = self.datasets[case.model_architecture]
        return self.service.submit({**case.config(), "dataset_id": dataset_id}, max_restarts=50)

    def reference(self, case: Case) -> tuple[str, Record]:
        if case not in self.references:
            job_id = self.submit(case)
            self.service.wait_ended(job_id)
            self.references[case] = job_id, record(self.service, job_id)
            assert self.references[case][1].status == "completed"
        return self.references[case]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("chaos")
    service = RunningService(folder / "data", slots=2).start()
    yield Laboratory(service, folder)
    assert service.close() == 0


@pytest.mark.timeout(300 * NUM_SCHEDULES)
@settings(
    max_examples=NUM_SCHEDULES,
    deadline=None,
    derandomize=NUM_SCHEDULES <= 5,
    database=None,
    phases=[Phase.generate],  # shrinking would run real jobs for hours
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(case=st.sampled_from(CASES), schedule=SCHEDULES)
def test_a_disturbed_job_ends_as_one_left_alone(laboratory: Laboratory, case: Case, schedule: list[Blow]) -> None:
    service = laboratory.service
    note(f"{case}: {schedule}")
    reference_id, reference = laboratory.reference(case)
    job_id = laboratory.submit(case)
    for blow in schedule:
        strike(service, job_id, blow)
    service.wait_ended(job_id, seconds=240)
    assert record(service, job_id) == reference
    assert_same_files(service, job_id, reference_id, laboratory.folder)
    assert_whole_log(service, job_id)
