"""`heimdall demo`: starts the service, trains a model on generated data, shows what came out."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from heimdall.cli.options import DataDir, Port

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import Job

DATASET = "demo"
# The seven fixed receivers and a small area: enough to see the model beat a guess within two minutes on two cores.
GENERATOR = {"use_random_receivers": False, "seed": 42}
CONFIG = {"model_architecture": "triangulation", "batch_size": 128, "num_workers": 0, "warmup_epochs": 1}
SHOWN_METRICS = {
    "train_loss": "",
    "val_loss": "",
    "val_rmse": "km",
    "val_rmse_good_geom": "km",
    "val_p50_km": "km",
    "val_p68_km": "km",
    "val_p95_km": "km",
    "val_accuracy": "",
    "val_coverage_68": "",
    "train_rmse": "km",
}
NO_METRICS = ("epoch", "attempt", "timestamp", "duration_seconds")


def demo(
    *,
    port: Port = None,
    data_dir: DataDir = None,
    samples: Annotated[int, typer.Option(min=100, help="Samples to generate, once.")] = 6000,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train.")] = 12,
    stop: Annotated[bool, typer.Option("--exit", help="Stop the service after the table.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service running, also without a terminal.")] = False,
) -> None:
    """Start the service, train a model on generated data and show what came out.

    On a terminal the service then runs until Ctrl-C; in a pipe it stops, unless --keep is given.
    """
    from heimdall import bootstrap
    from heimdall.cli.demo_service import DemoService
    from heimdall.cli.exits import ExitCode
    from heimdall.cli.terminal import is_terminal

    settings = bootstrap.load_settings(port=port, data_dir=data_dir)
    with DemoService(settings) as service:
        already = "already " if service.was_running else ""
        where = f"{service.client.base_url}, its data in {settings.data_dir.resolve()}"
        print(f"The service {already}runs at {where}.", flush=True)
        job = _train(service.client, samples=samples, epochs=epochs)
        _print_result(service.client, job)
        if job["status"] != "completed":
            raise typer.Exit(ExitCode.FAILED)
        if service.was_running:
            print("The service keeps running, as it was not started by the demo.")
        elif keep or (is_terminal() and not stop):
            base = f"{service.client.base_url}/api/v1/training"
            print(f"Job as JSON:  curl {base}/jobs/{job['id']}")
            print(f"All routes:   {service.client.base_url}/docs")
            print("The service is still running; press Ctrl-C to stop it.", flush=True)
            service.wait()
        else:
            because = (
                ""
                if stop
                else ", as the output is not a terminal (--keep, or DEMO_KEEP=1 make demo, leaves it running)"
            )
            print(f"The service stops now{because}.")
            print(f"Start it again with:  heimdall up --data-dir {shlex.quote(str(settings.data_dir))}")


def _train(client: "HeimdallClient", *, samples: int, epochs: int) -> "Job":
    from heimdall.cli.watching import watch_job

    dataset_id = _dataset(client, samples)
    config = {**CONFIG, "dataset_id": dataset_id, "epochs": epochs}
    job = client.jobs.create(config, kind="localization", job_name="Demo", tags=["demo"])
    print(f"Training job {job['id']}", flush=True)
    watch_job(client, job["id"], after=0, has_own_service=True)
    return client.jobs.get(job["id"])


def _dataset(client: "HeimdallClient", samples: int) -> str:
    """The demo's dataset of that size, made when it is not there yet."""
    from heimdall.cli.watching import watch_job
    from heimdall.domain.errors import UnavailableError

    name = f"{DATASET}-{samples}"
    found = client.datasets.find(name)
    if found is not None and found["status"] == "ready":
        print(f"The dataset {name} is there already.", flush=True)
        return found["id"]
    if found is not None:  # left over from a demo that was stopped
        client.datasets.delete(found["id"])
    print(f"Generating the dataset {name}", flush=True)
    started = client.datasets.generate(name=name, num_samples=samples, fields=GENERATOR)
    watch_job(client, started["job_id"], after=0, has_own_service=True)
    if client.datasets.get(started["dataset_id"])["status"] != "ready":
        raise UnavailableError(f"The dataset was not made; `heimdall logs {started['job_id']}` says why.")
    return started["dataset_id"]


def _print_result(client: "HeimdallClient", job: "Job") -> None:
    from heimdall.cli.output import print_table

    rows_by_epoch = {row["epoch"]: row for row in client.records.metrics(job["id"], limit=1000)}
    best = rows_by_epoch.get(job["best_epoch"])
    if best is not None:
        own = [name for name in best if name not in (*SHOWN_METRICS, *NO_METRICS)]
        rows = [(name, best.get(name), SHOWN_METRICS.get(name, "")) for name in (*SHOWN_METRICS, *own)]
        print_table([f"best epoch ({best['epoch']})", "value", "unit"], [row for row in rows if row[1] is not None])
