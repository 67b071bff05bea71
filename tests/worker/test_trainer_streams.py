"""Whatever a trainer does to its streams and says in its log, its job ends as it should and says it."""

import json

import pytest

from heimdall.domain.job import Status
from tests.worker.place import Place, logged_series


@pytest.mark.parametrize("act", ["close_stdout", "remove_stdout", "replace_stdout"])
def test_a_trainer_may_do_what_it_likes_with_its_streams(place: Place, act: str) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act=act))
    assert (job.status, job.current_epoch, job.error_message) == (Status.COMPLETED, 2, None)


def test_a_log_record_without_text_ends_nothing(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="log_badly", epochs=1))
    assert job.status is Status.COMPLETED
    log = place.log(job)
    assert ("WARNING", "after it") in log
    assert any("--- Logging error ---" in message for _, message in log)


def test_a_warning_of_python_is_one_in_the_log(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="warn_by_python", epochs=1))
    (level,) = {level for level, message in place.log(job) if "this is deprecated" in message and "Warning:" in message}
    assert level == "WARNING"


def test_what_loader_processes_log_is_in_the_log(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="load_data", epochs=1), timeout=120)
    assert job.status is Status.COMPLETED
    messages = {message for _, message in place.log(job)}
    assert {f"WARNING: sample {number} in a child: True" for number in range(4)} <= messages
    assert "loaded [0, 1, 2, 3]" in messages


def test_a_child_forked_in_the_middle_of_the_writer_hangs_nowhere(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="fork_while_locked", epochs=1))
    assert (job.status, job.warnings) == (Status.COMPLETED, [])
    messages = {message for _, message in place.log(job)}
    assert {"WARNING: said by the child", "child ended with 7"} <= messages
    assert logged_series(place, job) == ["train_loss"]


def test_a_forked_child_never_ends_or_reports_for_the_job(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="fork_and_leave", epochs=1))
    assert (job.status, job.current_epoch, job.error_message, job.warnings) == (Status.COMPLETED, 1, None, [])
    messages = {message for _, message in place.log(job)}
    assert {"return ended with 0", "raise ended with 1", "finish ended with 1"} <= messages
    assert "ValueError: the child's own: raise" in messages
    assert any("A process that a trainer forked cannot finish an epoch" in message for message in messages)
    assert not any("Another worker" in message for message in messages)


def test_the_end_of_a_flood_is_kept_and_the_rest_is_told(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="flood", epochs=0))
    messages = [message for _, message in place.log(job)]
    assert messages[0] == "line 0"
    assert "line 19999" in messages
    assert any("lines were dropped here" in message for message in messages)


@pytest.mark.parametrize(("act", "status"), [("say_nasty_things", Status.COMPLETED), ("end_nastily", Status.FAILED)])
def test_no_text_breaks_what_is_stored(place: Place, act: str, status: Status) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act=act, epochs=1))
    assert job.status is status
    events = place.events(job)
    text = json.dumps(events, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text
    assert "caf\ufffd" in text
    assert "caf\ufffd" in "".join(message for _, message in place.log(job))
    (job.error_message or "").encode()


def test_following_the_output_survives_a_want_of_descriptors(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="run_out_of_descriptors", epochs=0), timeout=60)
    assert (job.status, job.error_message) == (Status.COMPLETED, None)
    assert ("INFO", "read afterwards") in place.log(job)
