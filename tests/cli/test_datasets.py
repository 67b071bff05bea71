"""Datasets are named by name, and go only when somebody says so who knows what is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.cli.screen import AtTerminal
from tests.e2e.service import HEIMDALL, RunningService

SMALL = ("epochs=1", "num_workers=0", "--priority", "-50", "--json")


@pytest.fixture
def spare(service: RunningService) -> str:
    """A dataset of its own for one test."""
    existing = service.api.get("/synthetic/datasets").json()["datasets"]
    return service.generate(f"spare-{len(existing)}", 120)


def name_of(service: RunningService, dataset_id: str) -> str:
    return service.api.get(f"/synthetic/datasets/{dataset_id}").json()["name"]


def test_a_name_stands_wherever_an_id_does(at_service: Terminal, dataset_id: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dataset_id: small\n")
    for words in (("dataset_id=small",), ("--dataset", "small"), ("-f", str(path)), ("--dataset", dataset_id[:13])):
        typed = at_service("submit", *words, *SMALL)
        assert typed.code == 0, typed.err
        job = json.loads(typed.out)
        assert job["config"]["dataset_id"] == dataset_id
        copy = json.loads(at_service("clone", job["id"], "--dataset", "small", "--json").out)
        assert copy["config"]["dataset_id"] == dataset_id
        assert [at_service("rm", one["id"]).code for one in (job, copy)] == [0, 0]
    assert json.loads(at_service("datasets", "show", dataset_id[:13], "--json").out)["name"] == "small"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--dataset", "nothing"), 3, "No dataset has the id or name 'nothing'; `heimdall datasets ls` shows them."),
        (("dataset_id=nothing",), 2, "Dataset nothing "),
        (("--dataset", "small", "dataset_id=small"), 2, "The dataset is given twice"),
        (("--kind", "synthetic", "name=x", "num_samples=100", "--dataset", "small"), 2, "do not train on a dataset"),
    ],
)
def test_what_names_no_dataset(
    at_service: Terminal, dataset_id: str, words: tuple[str, ...], code: int, told: str
) -> None:
    typed = at_service("submit", *words)
    assert (typed.code, typed.out) == (code, "")
    assert told in typed.err


def test_on_a_terminal_rm_names_the_jobs_that_lose_it_and_asks(service: RunningService, spare: str) -> None:
    config = {"dataset_id": spare, "epochs": 1, "num_workers": 0, "model_architecture": "triangulation"}
    job_id = service.submit(config, job_name="trained on it", priority=9)
    assert service.wait_ended(job_id)["status"] == "completed"
    name = name_of(service, spare)
    with AtTerminal([HEIMDALL, "datasets", "rm", name, "--url", service.url], 110) as terminal:
        screen = terminal.read_until(lambda screen: "[y/N]" in screen.text)
        assert f"1 job used the dataset {name}:" in screen.text
        assert f"{job_id}  trained on it  completed" in screen.text
        assert "can no longer be cloned, retried or verified" in screen.text
        terminal.type("n\n")
        assert terminal.read_to_end() == 1
    assert name_of(service, spare) == name
    with AtTerminal([HEIMDALL, "datasets", "rm", name, "--url", service.url], 110) as terminal:
        terminal.read_until(lambda screen: "[y/N]" in screen.text)
        terminal.type("y\n")
        assert terminal.read_to_end() == 0
        assert f"Deleted {name} ({spare})." in terminal.screen.text
    assert service.api.get(f"/synthetic/datasets/{spare}").status_code == 404


def test_a_pipe_and_yes_are_not_asked(at_service: Terminal, service: RunningService, spare: str) -> None:
    name = name_of(service, spare)
    assert at_service("datasets", "rm", name).out == f"Deleted {name} ({spare}).\n"


def test_rm_of_jobs_asks_with_their_names_even_when_the_output_goes_elsewhere(
    service: RunningService, finished_job: dict[str, Any], tmp_path: Path
) -> None:
    job_id = service.act(finished_job["id"], "clone", {"job_name": "to go", "priority": 9})["id"]
    status = service.wait_ended(job_id)["status"]
    output = tmp_path / "output"
    words = ["sh", "-c", f'"$@" > {output}', "sh", HEIMDALL, "rm", "to go", "--json", "--url", service.url]
    with AtTerminal(words, 110) as terminal:
        screen = terminal.read_until(lambda screen: "[y/N]" in screen.text)
        assert f"{job_id}  to go  {status}" in screen.text
        terminal.type("y\n")
        assert terminal.read_to_end() == 0
    assert json.loads(output.read_text()) == {"deleted": [job_id]}
