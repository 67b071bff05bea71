"""The examples of the tutorial and of "Write a trainer" run against a real service, as the pages have them."""

import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]
import pytest

from tests.e2e.service import HEIMDALL, RunningService
from tests.e2e.small_jobs import small

DOCS = Path(__file__).parents[2] / "docs"


def code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def python(folder: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def fetched(service: RunningService, job_id: str, name: str, folder: Path) -> Path:
    path = folder / name.rpartition("/")[2]
    answer = service.api.get(f"/jobs/{job_id}/artifacts/{name}")
    assert answer.status_code == 200
    path.write_bytes(answer.content)
    return path


def test_the_script_prints_each_epoch_once(shared_service: RunningService, dataset_id: str, tmp_path: Path) -> None:
    _, script = code_blocks("tutorial/first-job.md", "python")
    script = script.replace("http://127.0.0.1:8001", shared_service.url)
    script = script.replace('{"epochs": 5}', repr(small(dataset_id, epochs=5)))
    *epochs, status = python(tmp_path, script).splitlines()
    assert [line.split()[0] for line in epochs] == ["1", "2", "3", "4", "5"]
    assert status == "completed"


def test_the_model_is_loaded_and_the_predictions_are_as_described(
    shared_service: RunningService, dataset_id: str, tmp_path: Path
) -> None:
    job_id = shared_service.submit(small(dataset_id, epochs=3))
    assert shared_service.wait_ended(job_id)["status"] == "completed"
    names = {entry["name"] for entry in shared_service.api.get(f"/jobs/{job_id}/artifacts").json()["artifacts"]}
    assert {f"checkpoints/{name}.pth" for name in ("best_model", "last", "previous")} <= names
    fetched(shared_service, job_id, "checkpoints/best_model.pth", tmp_path)
    load, _ = code_blocks("tutorial/first-job.md", "python")
    assert python(tmp_path, f"{load}\nprint(model.training, len(checkpoint['model_state_dict']) > 3)") == "False True\n"
    predictions = fetched(shared_service, job_id, "predictions.parquet", tmp_path)
    names_of_columns: list[str] = pq.read_schema(predictions).names  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert names_of_columns == ["index", "split", "lat", "lon", "cov_ee", "cov_en", "cov_nn"]


@pytest.fixture
def installed_trainer(tmp_path: Path) -> Path:
    """Where pip has installed the package of the page, from the files as the page has them."""
    package = tmp_path / "project" / "my_trainers" / "descent"
    package.mkdir(parents=True)
    spec, train, _ = code_blocks("how-to/write-a-trainer.md", "python")
    (project,) = code_blocks("how-to/write-a-trainer.md", "toml")
    (package / "spec.py").write_text(spec)
    (package / "train.py").write_text(train)
    (tmp_path / "project" / "pyproject.toml").write_text(project)
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site]
    done = subprocess.run(
        [*command, tmp_path / "project"], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    return site


def heimdall(service: RunningService, *words: str) -> str:
    done = subprocess.run(
        [HEIMDALL, *words], capture_output=True, text=True, timeout=120, check=False, env=service.environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pause_and_resume(service: RunningService) -> None:
    job_id = service.submit({"epochs": 300}, kind="descent")
    service.wait_job(job_id, lambda job: job["current_epoch"] >= 1, what="an epoch")
    service.act(job_id, "pause")
    paused = service.wait_job(job_id, lambda job: job["status"] == "paused", what="paused")
    assert 1 <= paused["current_epoch"] < 300
    service.act(job_id, "resume")
    job = service.wait_ended(job_id)
    assert (job["status"], job["current_epoch"]) == ("completed", 300), job["error_message"]


def test_the_example_trainer_is_installed_and_runs(installed_trainer: Path, tmp_path: Path) -> None:
    service = RunningService(tmp_path / "data", environment={"PYTHONPATH": str(installed_trainer)})
    try:
        service.start()
        job = service.wait_ended(service.submit({"epochs": 5, "target": 2.5}, kind="descent"))
        assert (job["status"], job["current_epoch"]) == ("completed", 5), job["error_message"]
        assert "train_loss" in heimdall(service, "metrics", job["id"], "--url", service.url)
        assert "identical" in heimdall(service, "verify", job["id"], "--data-dir", str(service.data_dir))
        pause_and_resume(service)
    finally:
        service.close()


def test_every_figure_for_prometheus_is_explained(shared_service: RunningService) -> None:
    text = httpx2.get(f"{shared_service.url}/metrics", timeout=30).text
    explained = dict(re.findall(r"^# HELP (heimdall_\S+) (.*)$", text, flags=re.MULTILINE))
    assert len(explained) > 10
    assert not {name: words for name, words in explained.items() if not re.fullmatch(r"\S+ .*\.", words)}
