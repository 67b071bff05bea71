"""How many GPUs a job asks for."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Strict

from heimdall.domain.errors import InvalidInputError
from heimdall.domain.job import NewJob
from heimdall.jobs.request import JobRequest, asked_gpus, new_job
from heimdall.sdk import TrainerSpec


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


class OddConfig(BaseModel):
    """What another trainer's fields of these names may hold."""

    epochs: int | None = 1
    devices: str | int | None = "auto"
    accelerator: str = "gpu"
    dataset_id: int | None = 5
    kernel: Annotated[tuple[int, int], Strict()] = (3, 3)
    limit: float = 0.0


def odd_spec(**fields: Any) -> TrainerSpec:
    return TrainerSpec(kind="odd", title="Odd", description="Odd.", config_model=OddConfig, run="odd:run", **fields)


def raising(config: object) -> Any:
    raise RuntimeError("caf\udce9")


def warning_oddly(config: object) -> list[Any]:
    return ["x" * 5_000_000, 5]


def new_odd_job(monkeypatch: pytest.MonkeyPatch, spec: TrainerSpec, config: dict[str, Any]) -> NewJob:
    monkeypatch.setattr("heimdall.jobs.request.spec_of", {"odd": spec}.get)
    return new_job(JobRequest(kind="odd", config=config))


@pytest.mark.parametrize("devices", ["auto", None, -1, 1])
def test_a_field_of_another_trainer_may_mean_anything(devices: object, monkeypatch: pytest.MonkeyPatch) -> None:
    job = new_odd_job(monkeypatch, odd_spec(), {"devices": devices})
    assert (job.gpus, asked_gpus(job.gpus, job.config), job.dataset_id, job.total_epochs) == (1, 0, None, 1)


@pytest.mark.parametrize("epochs", [None, -1, 10**23])
def test_a_number_of_epochs_that_cannot_be_stored_is_refused(epochs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="'odd' gives no number of epochs for this config: "):
        new_odd_job(monkeypatch, odd_spec(), {"epochs": epochs})


def test_a_strict_field_takes_what_json_can_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_odd_job(monkeypatch, odd_spec(), {"kernel": [5, 5]}).config["kernel"] == [5, 5]


def test_a_value_that_the_job_could_not_read_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="JSON cannot hold the value of limit"):
        new_odd_job(monkeypatch, odd_spec(), {"limit": float("inf")})


def test_more_devices_than_any_machine_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match=r"config\.devices: must be at most 1024"):
        new_odd_job(monkeypatch, odd_spec(), {"devices": 10**20})


def test_a_trainers_own_check_of_a_config_may_go_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert new_odd_job(monkeypatch, odd_spec(warnings=raising), {}).warnings == [
        "The trainer 'odd' could not check this config: RuntimeError: caf\ufffd"
    ]
    long, number = new_odd_job(monkeypatch, odd_spec(warnings=warning_oddly), {}).warnings
    assert (len(long) < 1100, number) == (True, "5")
    with pytest.raises(InvalidInputError, match="RuntimeError: caf\ufffd"):
        new_odd_job(monkeypatch, odd_spec(total_epochs=raising), {})
