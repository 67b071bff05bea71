"""How many GPUs a job asks for."""

from typing import Any

import pytest

from heimdall.domain.errors import InvalidInputError
from heimdall.jobs.request import JobRequest, asked_gpus, new_job


@pytest.mark.parametrize(
    ("config", "asked", "needed"),
    [
        ({}, 0, 0),
        ({}, 2, 2),
        ({"devices": 2}, 0, 0),
        ({"devices": 2}, 2, 2),
        ({"accelerator": "gpu"}, 0, 1),
        ({"accelerator": "gpu", "devices": 2}, 0, 2),
        ({"accelerator": "gpu", "devices": 2}, 4, 4),
        ({"accelerator": "cpu", "devices": 2}, 0, 0),
    ],
)
def test_a_job_that_must_have_gpus_asks_for_as_many_as_it_has_devices(
    config: dict[str, Any], asked: int, needed: int
) -> None:
    assert new_job(JobRequest(config=config, gpus=asked)).gpus == needed


def test_fewer_gpus_than_devices_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"trains on 2 devices and asks for 1 GPU\(s\); ask for 2 or more"):
        new_job(JobRequest(config={"accelerator": "gpu", "devices": 2}, gpus=1))


def test_a_clone_asks_for_what_its_own_config_needs() -> None:
    job = new_job(JobRequest(config={"accelerator": "gpu", "devices": 2}))
    assert asked_gpus(job.gpus, job.config) == 0
    explicit = new_job(JobRequest(config={"devices": 2}, gpus=2))
    assert asked_gpus(explicit.gpus, explicit.config) == 2


def test_what_is_known_of_a_request_is_a_warning_of_its_job() -> None:
    config = {"model_architecture": "triangulation", "n_mels": 64}
    warnings = new_job(JobRequest(config=config, warnings=["mixup is ignored."])).warnings
    assert (warnings[0], len(warnings)) == ("mixup is ignored.", 2)
