"""Finds the job or dataset that a word names."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from heimdall.domain.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import DatasetInfo, JobSummary

FULL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
MOST_LISTED = 10


def find_job(client: "HeimdallClient", word: str) -> str:
    """The id of the job that `word` names: a full id, the first characters of one, or a job's name.

    Raises:
        NotFoundError: no such job.
        InvalidInputError: more than one, or a word that can name none.
    """
    check_word(word, "job")
    return word.lower() if FULL_ID.fullmatch(word) else find_named_job(client, word)["id"]


def find_named_job(client: "HeimdallClient", word: str) -> "JobSummary":
    """The same with the job's name and status."""
    check_word(word, "job")
    if FULL_ID.fullmatch(word):
        return client.jobs.get(word.lower())
    named = _all_jobs(client, lambda job: job["id"].startswith(word.lower()) or job["job_name"] == word, search=word)
    if not named:
        raise NotFoundError(f"No job has the id or name {word!r}; `heimdall ls` shows them.")
    if len(named) > 1:
        raise InvalidInputError(f"{word!r} names {len(named)} jobs; use the id of one:{list_jobs_text(named)}")
    return named[0]


def find_jobs_of_dataset(client: "HeimdallClient", dataset_id: str) -> "list[JobSummary]":
    return _all_jobs(client, lambda job: job["dataset_id"] == dataset_id and job["kind"] != "synthetic")


def list_jobs_text(jobs: "Sequence[JobSummary]") -> str:
    """A line for each job: id, name, status, when it was made."""
    lines = [
        f"\n  {job['id']}  {job['job_name']}  {job['status']}  {moment_text(job['created_at'])} UTC"
        for job in jobs[:MOST_LISTED]
    ]
    if len(jobs) > MOST_LISTED:
        lines.append(f"\n  and {len(jobs) - MOST_LISTED} more")
    return "".join(lines)


def moment_text(timestamp: str) -> str:
    """`2026-01-31 16:05`."""
    return timestamp[:16].replace("T", " ")


def find_dataset(client: "HeimdallClient", word: str) -> "DatasetInfo":
    """The dataset that `word` names: its name, its id, or the first characters of the id.

    Raises:
        NotFoundError: no such dataset.
        InvalidInputError: more than one, or a word that can name none.
    """
    check_word(word, "dataset")
    if FULL_ID.fullmatch(word):
        return client.datasets.get(word.lower())
    begun: list[DatasetInfo] = []
    for dataset in client.datasets.all():
        if dataset["name"] == word:
            return dataset
        if dataset["id"].startswith(word.lower()):
            begun.append(dataset)
    if not begun:
        raise NotFoundError(f"No dataset has the id or name {word!r}; `heimdall datasets ls` shows them.")
    if len(begun) > 1:
        names = ", ".join(f"{one['id']} ({one['name']})" for one in begun[:MOST_LISTED])
        raise InvalidInputError(f"{word!r} begins the ids of {len(begun)} datasets; use a name: {names}.")
    return begun[0]


def check_word(word: str, what: str) -> None:
    """Raises: InvalidInputError when it can name nothing."""
    if not word.strip():  # every id begins with it, so that `rm "$JOB"` could delete a job that nobody named
        raise InvalidInputError(f"An empty word names no {what}; was a shell variable empty?")
    try:
        word.encode()
    except UnicodeEncodeError:  # bytes of the terminal that are no UTF-8
        raise InvalidInputError(f"{word!r} names no {what}: it is not text in UTF-8.") from None


def _all_jobs(
    client: "HeimdallClient", is_wanted: "Callable[[JobSummary], bool]", *, search: str | None = None
) -> "list[JobSummary]":
    found: list[JobSummary] = []
    cursor: str | None = None
    while True:
        page = client.jobs.page(q=search, limit=500, cursor=cursor)
        found += [job for job in page["jobs"] if is_wanted(job)]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
