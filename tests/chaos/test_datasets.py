"""A dataset whose job was killed, moved and deleted at random holds the same bytes as one made in peace."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, note, reject, seed, settings

from tests.chaos.record import assert_whole_log
from tests.chaos.schedules import DATASET_SAMPLES, DATASET_SCHEDULES, Blow, Disturbance, disturb
from tests.chaos.test_exactness import NUM_SCHEDULES, SEED
from tests.e2e.service import ENDED, RunningService, wait_until

SCHEDULES = math.ceil(NUM_SCHEDULES / 2)
CONFIG: dict[str, Any] = {"num_samples": DATASET_SAMPLES, "seed": 9}


class Generation:
    """One dataset that is wanted, and the job that makes it just now."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.name = str(uuid4())
        self.ask()

    def ask(self) -> None:
        answer = self.service.api.post("/synthetic/generate", json={**CONFIG, "name": self.name})
        assert answer.status_code == 202, answer.text
        self.job_id: str = answer.json()["job_id"]
        self.dataset_id: str = answer.json()["dataset_id"]

    @property
    def has_ended(self) -> bool:
        return self.service.job(self.job_id)["status"] in ENDED

    def strike(self, blow: Blow) -> bool:
        """Whether it hit a job that had not ended."""
        time.sleep(blow.delay_seconds)  # any moment may be hit: the delay is drawn, not waited for
        if self.has_ended:
            return False
        if blow.disturbance is not Disturbance.DELETE:
            return disturb(self.service, self.job_id, blow.disturbance)
        assert self.service.api.delete(f"/jobs/{self.job_id}").status_code == 204
        if self.service.api.get(f"/synthetic/datasets/{self.dataset_id}").status_code == 200:  # it was ready by then
            assert self.service.api.delete(f"/synthetic/datasets/{self.dataset_id}").status_code == 204
        self.assert_gone()
        self.ask()
        return True

    def assert_gone(self) -> None:
        assert self.service.api.get(f"/jobs/{self.job_id}").status_code == 404
        assert self.service.api.get(f"/synthetic/datasets/{self.dataset_id}").status_code == 404
        prefixes = (self.job_id, f"datasets/{self.dataset_id}")
        wait_until(lambda: not any(map(self.service.keys, prefixes)), seconds=150, what="its files are gone")

    def dataset(self) -> dict[str, Any]:
        """Once its job has completed: what of it must not depend on what happened."""
        job = self.service.wait_ended(self.job_id, seconds=240)
        assert (job["status"], job["reason"], job["error_message"]) == ("completed", "finished", None)
        assert_whole_log(self.service, self.job_id)
        found = self.service.api.get(f"/synthetic/datasets/{self.dataset_id}").json()
        assert (found["status"], found["job_id"]) == ("ready", self.job_id)
        return {name: found[name] for name in ("num_samples", "sha256", "size_bytes", "quality")}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder: Path = tmp_path_factory.mktemp("chaos-datasets")
    service = RunningService(folder / "data", slots=2).start()
    yield service
    assert service.close() == 0


@pytest.mark.timeout(300 * SCHEDULES)
def test_a_dataset_made_in_disorder_is_the_one_made_in_peace(service: RunningService) -> None:
    reference = Generation(service).dataset()
    assert reference["num_samples"] == DATASET_SAMPLES

    @seed(SEED)
    @settings(
        max_examples=SCHEDULES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(schedule=DATASET_SCHEDULES)
    def disordered(schedule: list[Blow]) -> None:
        note(str(schedule))
        generation = Generation(service)
        hits = [generation.strike(blow) for blow in schedule]
        if not any(hits):  # it shows nothing: another one is drawn
            reject()
        assert generation.dataset() == reference

    disordered()
