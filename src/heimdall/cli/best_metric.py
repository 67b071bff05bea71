"""What "best" means for a job: its trainer names the metric."""

from collections.abc import Sequence

from heimdall.client.shapes import JobSummary, TrainerInfo


def best_metric_in(trainers: Sequence[TrainerInfo], job: JobSummary) -> str:
    """The metric that the job's trainer names, else the loss that decides."""
    named = next((one.get("best_metric") for one in trainers if one["kind"] == job["kind"]), None)
    return named or ("train_loss" if job["val_loss"] is None else "val_loss")
