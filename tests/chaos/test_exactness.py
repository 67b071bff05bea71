"""A job that was paused, killed and moved at random ends as the one left alone, bit for bit.

`HEIMDALL_CHAOS_SCHEDULES` sets how many schedules are drawn at least (5 by default; `make chaos` asks for more, and
names in `HEIMDALL_CHAOS_RESULTS` the file that gets a line about it).
"""

import json
import math
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, reject, seed, settings

from tests.chaos.record import Record, assert_same_files, assert_whole_log, record
from tests.chaos.schedules import CASES, SCHEDULES, Blow, Case, strike
from tests.e2e.service import RunningService

NUM_SCHEDULES = int(os.environ.get("HEIMDALL_CHAOS_SCHEDULES", "5"))
SCHEDULES_A_CASE = math.ceil(NUM_SCHEDULES / len(CASES))
# Short runs draw the same schedules every time; long ones new ones.
SEED = 0 if NUM_SCHEDULES <= 5 else random.SystemRandom().randrange(1 << 32)


class Laboratory:
    """A service, a dataset for each architecture, and the undisturbed run of each case."""

    def __init__(self, service: RunningService, folder: Path) -> None:
        self.service = service
        self.folder = folder
        self.datasets: dict[str, str] = {}
        self.references: dict[Case, tuple[str, Record]] = {}
        self.num_begun = 0
        self.blows = Counter[str]()
        self.cases = Counter[str]()  # schedules that held, by case
        self.begun = time.monotonic()

    def submit(self, case: Case) -> str:
        return self.service.submit({**case.config(), "dataset_id": self._dataset(case)}, max_restarts=50)

    def _dataset(self, case: Case) -> str:
        if case.model_architecture not in self.datasets:
            num_samples = 900 if case.model_architecture == "triangulation" else 60
            self.datasets[case.model_architecture] = self.service.generate(case.model_architecture, num_samples)
        return self.datasets[case.model_architecture]

    def reference(self, case: Case) -> tuple[str, Record]:
        if case not in self.references:
            job_id = self.submit(case)
            self.service.wait_ended(job_id)
            self.references[case] = job_id, record(self.service, job_id)
            assert self.references[case][1].status == "completed"
        return self.references[case]

    def disturb(self, case: Case, schedule: list[Blow]) -> None:
        self.num_begun += 1
        reference_id, reference = self.reference(case)
        job_id = self.submit(case)
        struck = [blow for blow in schedule if strike(self.service, job_id, blow)]
        self.service.wait_ended(job_id, seconds=240)
        if not struck:  # it shows nothing: another one is drawn
            self.num_begun -= 1
            reject()
        assert record(self.service, job_id) == reference
        assert_same_files(self.service, job_id, reference_id, self.folder)
        assert_whole_log(self.service, job_id)
        self.blows.update(blow.disturbance.value for blow in struck)
        self.cases[str(case)] += 1

    def add_line(self, path: Path) -> None:
        lines: list[Any] = json.loads(path.read_text()) if path.exists() else []
        line = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": SEED,
            "schedules": self.num_begun,
            "held": self.cases.total(),
            "cases": dict(self.cases),
            "disturbances": dict(self.blows),
            "seconds": round(time.monotonic() - self.begun),
        }
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([*lines, line], indent=2) + "\n")


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    folder = tmp_path_factory.mktemp("chaos")
    service = RunningService(folder / "data", slots=2).start()
    laboratory = Laboratory(service, folder)
    yield laboratory
    if path := os.environ.get("HEIMDALL_CHAOS_RESULTS"):
        laboratory.add_line(Path(path))
    assert service.close() == 0


@pytest.mark.timeout(300 * SCHEDULES_A_CASE)
@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES[:NUM_SCHEDULES])), ids=str)
def test_a_disturbed_job_ends_as_one_left_alone(laboratory: Laboratory, number: int, case: Case) -> None:
    @seed(SEED + number)
    @settings(
        max_examples=SCHEDULES_A_CASE,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # shrinking would run real jobs for hours
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(schedule=SCHEDULES)
    def disturbed(schedule: list[Blow]) -> None:
        note(f"{case}: {schedule}")
        laboratory.disturb(case, schedule)

    disturbed()
