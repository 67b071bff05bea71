"""From bytes on a file descriptor to log lines."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heimdall.domain.log_lines import log_line
from heimdall.worker.files import AttemptFiles
from heimdall.worker.output import LineBudget, LineSplitter, OutputFollower, leftover_lines
from heimdall.worker.points import thinned


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def split(*pieces: bytes) -> list[str]:
    splitter = LineSplitter()
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.finish()


def test_a_progress_bar_keeps_its_last_state() -> None:
    assert split(b"0%\r50", b"%\r100%\ndone\n") == ["100%", "done"]


def test_a_long_line_is_cut_and_the_next_is_whole() -> None:
    assert split(b"x" * 9000, b"y" * 9000, b"z\nnext\n") == ["x" * 8192, "next"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)), st.integers(1, 7))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[str], size: int) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    assert split(*(data[at : at + size] for at in range(0, len(data), size))) == lines


def test_a_flood_of_lines_is_told_of_in_one() -> None:
    clock = Clock()
    budget = LineBudget(lines_a_second=10, clock=clock)
    assert len(budget.admit([log_line("x") for _ in range(25)])) == 10
    clock.now = 1.0
    admitted = budget.admit([log_line("y")])
    assert [line["message"] for line in admitted] == ["15 lines were dropped: more than 10 in a second.", "y"]


def test_a_job_that_printed_too_much_is_told_so_once() -> None:
    budget = LineBudget(job_bytes=10, clock=Clock())
    admitted = [line["message"] for _ in range(5) for line in budget.admit([log_line("x" * 6)])]
    assert admitted == ["x" * 6, "Further output is dropped: the job has printed all that is kept of one job."]


def test_what_was_not_stored_is_left_over(tmp_path: Path) -> None:
    files = AttemptFiles(tmp_path, "job", 1)
    files.output.parent.mkdir()
    files.output.write_text("stored\nread\n")
    follower = OutputFollower(files, LineBudget())
    part = follower.read()
    assert part is not None
    assert [line["message"] for line in leftover_lines(files)] == ["stored", "read"]
    assert part.after is not None
    part.after()
    with files.output.open("a") as file:
        file.write("Fatal error\nno end")
    assert [line["message"] for line in leftover_lines(files)] == ["Fatal error", "no end"]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=900))
def test_thinning_keeps_the_extremes(values: list[float | None]) -> None:
    points = list(enumerate(values))
    kept = thinned(points, 20)
    assert len(kept) <= max(20, min(len(points), 20))
    assert kept == sorted(kept, key=lambda point: point[0])
    finite = [value for value in values if value is not None]
    if finite:
        shown = [value for _, value in kept if value is not None]
        assert (min(shown), max(shown)) == (min(finite), max(finite))
