"""A job from claim to its end."""

import json

from tests.worker.place import Place

from heimdall.domain.job import Reason, Status


def test_a_job_runs_to_its_end(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(epochs=4))
    assert (job.status, job.reason, job.error_message) == (Status.COMPLETED, Reason.FINISHED, None)
    assert (job.current_epoch, job.progress_percent, job.best_epoch) == (4, 100.0, 4)
    assert job.checkpoint_path == "checkpoints/best_model.pth"
    assert job.non_finite == {"odd": "NaN"}
    rows, total = place.stores.history.metrics(job.id)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert total == 4
    events = place.events(job)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"] == "training:completed"
    names = {artifact.name: artifact for artifact in place.stores.history.artifacts(job.id)}
    assert {"checkpoints/best_model.pth", "checkpoints/last.pth", "checkpoints/previous.pth", "metrics.json"} <= set(
        names
    )
    final = json.loads(place.artifacts.fetch(names["metrics.json"].file).read_text())
    assert final["epoch"] == 4
    series = {one.name: one.points for one in place.stores.history.series(job.id)}
    assert series["train_loss"] == 20
