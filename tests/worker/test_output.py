"""From bytes on a file descriptor to log lines."""

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heimdall.domain.log_lines import log_line
from heimdall.worker.files import AttemptFiles
from heimdall.worker.line_budget import SPENT, LineBudget
from heimdall.worker.line_splitter import CUT, LineSplitter
from heimdall.worker.output import OutputFollower, leftover_lines
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
    assert split(b"x" * 9000, b"y" * 9000, b"z\nnext\n") == ["x" * 8192 + CUT, "next"]


def test_a_bar_that_ends_its_states_keeps_the_newest_one() -> None:
    states = [b"bar %04d/1000 %s\r" % (number, b"#" * 40) for number in range(1, 1001)]
    assert split(*states, b"\ndone\n") == [states[-1].decode().strip("\r"), "done"]
    assert split(b"".join(states), b"\ndone\n") == [states[-1].decode().strip("\r"), "done"]
    assert split(b"".join(states)) == [states[-1].decode().strip("\r")]


def test_what_is_cut_off_a_line_is_counted() -> None:
    splitter = LineSplitter()
    splitter.feed(b"x" * 10_000 + b"\n" + b"y" * 9000)
    splitter.feed(b"y" * 1000 + b"\n")
    assert splitter.skipped_bytes == 2 * (10_000 - 8192)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)), st.integers(1, 7))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[str], size: int) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    assert split(*(data[at : at + size] for at in range(0, len(data), size))) == lines


def messages(lines: list[dict[str, Any]]) -> list[str]:
    return [line["message"] for line in lines]


def numbered(start: int, end: int) -> list[dict[str, Any]]:
    return [log_line(str(number)) for number in range(start, end)]


def test_of_a_flood_the_first_and_the_newest_lines_are_kept() -> None:
    clock = Clock()
    budget = LineBudget(lines_a_second=10, clock=clock)
    assert messages(budget.admit(numbered(0, 25))) == [str(number) for number in range(9)]
    assert budget.holds_lines
    clock.now = 1.0
    notice = "15 lines were dropped here: the job printed more than 10 lines in a second."
    assert messages(budget.admit([log_line("y")])) == [notice, "24", "y"]
    assert not budget.holds_lines


def test_the_notice_comes_without_a_further_line() -> None:
    clock = Clock()
    budget = LineBudget(lines_a_second=10, clock=clock)
    budget.admit(numbered(0, 25))
    assert budget.admit([]) == []
    clock.now = 1.0
    assert len(budget.admit([])) == 2
    budget.admit(numbered(0, 25))
    assert messages(budget.finish())[1:] == ["24"]
    assert budget.finish() == []


def test_a_job_that_printed_too_much_is_told_so_once_and_its_last_lines_stay() -> None:
    budget = LineBudget(job_bytes=10, lines_a_second=20, clock=Clock())
    admitted = [message for number in range(5) for message in messages(budget.admit([log_line(f"line {number}")]))]
    assert admitted == ["line 0", SPENT]
    notice = "2 lines were dropped here: the job printed more than all that is kept of one job."
    assert messages(budget.finish()) == [notice, "line 3", "line 4"]


def test_lines_that_are_dropped_cost_as_much_as_those_kept() -> None:
    budget = LineBudget(lines_a_second=10, job_bytes=1000, clock=Clock())
    for _ in range(20):
        budget.admit([log_line("x" * 49)])
    assert (budget.num_bytes, budget.is_spent) == (1000, True)


def test_the_file_of_a_chatty_job_stays_small_and_its_end_is_kept(tmp_path: Path) -> None:
    files = AttemptFiles(tmp_path, "job", 1)
    files.output.parent.mkdir()
    budget = LineBudget()
    follower = OutputFollower(files, budget)
    line = b"a line of output that nobody will ever read " * 2
    kept: list[str] = []
    largest = 0
    with files.output.open("ab", buffering=0) as file:
        for _ in range(50):
            file.write((line + b"\n") * (4_000_000 // len(line)))
            part = follower.read()
            if part is not None:
                kept += messages(part.log_lines)
                if part.after is not None:
                    part.after()
            largest = max(largest, files.output.stat().st_blocks * 512)
        file.write(b"Traceback: the reason\n")
    part = follower.read(is_last=True)
    assert part is not None
    kept += messages(part.log_lines)
    assert budget.is_spent
    assert largest < 16_000_000
    assert kept[-1] == "Traceback: the reason"
    assert kept.count(SPENT) == 1
    assert "dropped here" in kept[-101]


def test_what_is_printed_faster_than_it_is_read_is_passed_over(tmp_path: Path) -> None:
    files = AttemptFiles(tmp_path, "job", 1)
    files.output.parent.mkdir()
    files.output.write_bytes(b"first\n" + (b"x" * 999 + b"\n") * 50_000 + b"last\n")
    budget = LineBudget()
    part = OutputFollower(files, budget).read(is_last=True)
    assert part is not None
    kept = messages(part.log_lines)
    assert (kept[0], kept[-1]) == ("first", "last")
    assert any("bytes were dropped here" in message for message in kept)
    assert abs(budget.num_bytes - 50_000_011) < 2000
    assert files.output.stat().st_blocks * 512 < 16_000_000


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
