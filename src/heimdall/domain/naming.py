"""Which of several jobs a word names, for every command that takes one."""

from collections.abc import Sequence
from dataclasses import dataclass

from heimdall.domain.errors import InvalidInputError, NotFoundError

MOST_LISTED = 10


@dataclass(frozen=True, slots=True)
class NamedJob:
    id: str
    job_name: str
    status: str
    created_at: str  # ISO 8601 in UTC

    @property
    def line(self) -> str:
        return f"{self.id}  {self.job_name}  {self.status}  {moment_text(self.created_at)} UTC"


def moment_text(timestamp: str) -> str:
    """`2026-01-31 16:05`."""
    return timestamp[:16].replace("T", " ")


def check_word(word: str, what: str) -> None:
    """Raises: InvalidInputError when it can name nothing."""
    if not word.strip():  # every id begins with it, so that `rm "$JOB"` could delete a job that nobody named
        raise InvalidInputError(f"An empty word names no {what}; was a shell variable empty?")
    try:
        word.encode()
    except UnicodeEncodeError:  # bytes of the terminal that are no UTF-8
        raise InvalidInputError(f"{word!r} names no {what}: it is not text in UTF-8.") from None


def is_named(word: str, job_id: str, job_name: str) -> bool:
    """Whether a word is the beginning of a job's id, or its name."""
    return job_id.startswith(word.lower()) or job_name == word


def the_only_one(word: str, named: Sequence[NamedJob]) -> NamedJob:
    """Raises: NotFoundError for none; InvalidInputError for several, listing them."""
    if not named:
        raise NotFoundError(f"No job has the id or name {word!r}; `heimdall ls` shows them.")
    if len(named) > 1:
        raise InvalidInputError(f"{word!r} names {len(named)} jobs; use the id of one:{lines_of(named)}")
    return named[0]


def lines_of(jobs: Sequence[NamedJob]) -> str:
    """A line for each, each begun anew, the first ones of many."""
    lines = [f"\n  {job.line}" for job in jobs[:MOST_LISTED]]
    if len(jobs) > MOST_LISTED:
        lines.append(f"\n  and {len(jobs) - MOST_LISTED} more")
    return "".join(lines)
