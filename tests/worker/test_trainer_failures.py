"""Whatever a trainer raises, its job ends, and says why."""

import pytest

from heimdall.domain.job import Reason, Status
from heimdall.worker.chain import chain_of, leaves_of
from heimdall.worker.failures import is_success, message_of, traceback_of
from tests.worker.acts import UnprintableError
from tests.worker.place import Place


@pytest.mark.parametrize(
    ("act", "reason", "message"),
    [
        ("raise_from_itself", Reason.ERROR, "ValueError: round and round"),
        ("raise_in_a_circle", Reason.ERROR, "ValueError: round and round"),
        ("raise_unprintable", Reason.ERROR, "UnprintableError: (its text could not be made: RuntimeError)"),
        ("raise_group", Reason.ERROR, "BaseExceptionGroup: two went wrong (2 sub-exceptions)"),
        ("raise_memory_in_group", Reason.OUT_OF_MEMORY, "ExceptionGroup: tasks (2 sub-exceptions)"),
        ("be_cancelled_by_asyncio", Reason.ERROR, "CancelledError"),
        ("exit_with_one", Reason.ERROR, "The trainer ended itself with exit code 1; its log may say why."),
        ("exit_with_text", Reason.ERROR, "The trainer ended itself: no samples left"),
    ],
)
def test_the_job_fails_with_what_was_raised(place: Place, act: str, reason: Reason, message: str) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act=act))
    assert (job.status, job.reason, job.error_message) == (Status.FAILED, reason, message)
    assert any(level == "ERROR" for level, _ in place.log(job))


@pytest.mark.parametrize("act", ["exit_with_zero", "exit_with_nothing"])
def test_a_trainer_may_end_with_exit_code_0(place: Place, act: str) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act=act, epochs=1))
    assert (job.status, job.current_epoch, job.error_message) == (Status.COMPLETED, 1, None)


def test_a_message_of_megabytes_is_cut_and_the_log_has_all_of_it(place: Place) -> None:
    with place.working():
        job = place.wait(place.submit(kind="act", act="raise_five_megabytes"))
    assert job.error_message is not None
    assert job.error_message.startswith("RuntimeError: size mismatch")
    assert job.error_message.endswith("more characters)")
    assert len(job.error_message) < 5000
    assert max(len(str(event["data"])) for event in place.events(job)) < 1 << 20
    logged = "".join(message for _, message in place.log(job))
    assert logged.count("size mismatch ") >= 400_000


def test_a_chain_gives_each_error_once() -> None:
    first, second, third = ValueError("1"), ValueError("2"), ValueError("3")
    first.__cause__, second.__context__, third.__cause__ = second, third, first
    assert list(chain_of(first)) == [first, second, third]
    group = ExceptionGroup("group", [first, ExceptionGroup("inner", [third])])
    assert set(chain_of(group)) >= {group, first, second, third}
    assert leaves_of(group) == [first, third]


def test_an_error_without_text_has_a_message_and_a_traceback() -> None:
    error = UnprintableError()
    assert message_of(error).startswith("UnprintableError: ")
    assert "UnprintableError" in traceback_of(error)


@pytest.mark.parametrize(("code", "expected"), [(0, True), (None, True), (False, False), (1, False), ("", False)])
def test_which_exits_are_a_success(code: object, expected: bool) -> None:
    assert is_success(SystemExit(code)) is expected
