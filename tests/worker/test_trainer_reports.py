"""A trainer may hand over numbers of any library and wrong ones; its job goes on."""

from heimdall.domain.job import Status
from tests.worker.place import Place, logged_series


def test_numbers_of_numpy_are_stored_as_plain_ones(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="report_of_numpy", epochs=0))
    assert (job.status, job.current_epoch, job.best_epoch, job.best_val_loss) == (Status.COMPLETED, 1, 1, 0.25)
    assert logged_series(place, job) == ["loss"]
    (row,) = place.stores.history.metrics(job.id)[0]
    assert (row["epoch"], row["val_loss"], row["good"]) == (1, 0.25, 1.0)
    assert "bad" not in row
    (saved,) = place.stores.attempts.checkpoints(job.id)
    assert (saved.step, saved.manifest) == (7, {"seed": 3, "caf\ufffd": [[0.0, 0.0], [1]]})
    assert [line.partition(" was left out: ")[0] for line in job.warnings] == [
        "The metric 'bad'",
        "The metric 'epoch'",
        "The metric 'int'",
    ]


def test_wrong_calls_warn_and_the_job_completes(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="log_wrongly"))
    assert (job.status, job.current_epoch, job.error_message) == (Status.COMPLETED, 2, None)
    assert logged_series(place, job) == ["right", "train_loss"]
    assert len(job.warnings) == len(set(job.warnings))
    for words in ("step", "'loss'", "empty", "no phase 'dancing'", "current must be a number"):
        assert any(words in line for line in job.warnings), words


def test_warnings_have_a_bound(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="warn_without_end", epochs=1))
    assert job.status is Status.COMPLETED
    assert len(job.warnings) == 101
    assert max(len(line) for line in job.warnings) < 1100
    assert "more than 100 warnings" in job.warnings[-1]
    assert any(message.startswith("warning 299 ") for _, message in place.log(job))


def test_a_metric_that_is_no_number_any_more_warns_once(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="report_nan", epochs=0))
    assert (job.status, job.warnings) == (Status.COMPLETED, ["The metric 'val_loss' became NaN in epoch 1."])


def test_an_epoch_that_is_no_number_fails_with_a_sentence(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="report_text_for_epoch"))
    assert (job.status, job.error_message) == (
        Status.FAILED,
        "TypeError: EpochReport.epoch must be a number, not str.",
    )


def test_a_trainer_that_trains_nothing_warns(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="return_at_once"))
    assert (job.status, job.current_epoch) == (Status.COMPLETED, 0)
    assert job.warnings == ["The trainer returned without finishing an epoch: nothing was trained."]


def test_an_architecture_of_any_kind_is_a_short_text(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="describe_itself_oddly", epochs=1))
    assert (job.status, job.error_message) == (Status.COMPLETED, None)
    assert (job.model_architecture or "").startswith("convnext\ufffd")
    assert len(job.model_architecture or "") < 1100
