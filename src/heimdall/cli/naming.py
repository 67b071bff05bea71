"""Finds the job or dataset that a word names."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from heimdall.domain.errors import InvalidInputError, NotFoundError
from heimdall.domain.naming import MOST_LISTED, NamedJob, check_word, is_named, the_only_one

if TYPE_CHECKING:
    from heimdall.client import HeimdallClient
    from heimdall.client.shapes import DatasetInfo, JobSummary

FULL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def find_job(client: "HeimdallClient", word: str) -> str:
    """The id of the job that `word` names: a full id, the first characters of one, or a job's name.

    Raises:
        NotFoundError: no such job.
        InvalidInputError: more than one, or a word that can name none.
    """
    check_word(word, "job")
    return word.lower() if FULL_ID.fullmatch(word) else find_named_job(client, word).id


def find_named_job(client: "HeimdallClient", word: str) -> NamedJob:
    """The same with the job's name and status."""
    check_word(word, "job")
    if FULL_ID.fullmatch(word):
        return _named(client.jobs.get(word.lower()))
    found = _all_jobs(client, lambda job: is_named(word, job["id"], job["job_name"]), search=word)
    return the_only_one(word, found)


def find_jobs_of_dataset(client: "HeimdallClient", dataset_id: str) -> list[NamedJob]:
    return _all_jobs(client, lambda job: job["dataset_id"] == dataset_id and job["kind"] != "synthetic")


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


def _all_jobs(
    client: "HeimdallClient", is_wanted: "Callable[[JobSummary], bool]", *, search: str | None = None
) -> list[NamedJob]:
    found: list[NamedJob] = []
    cursor: str | None = None
    while True:
        page = client.jobs.page(q=search, limit=500, cursor=cursor)
        found += [_named(job) for job in page["jobs"] if is_wanted(job)]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _named(job: "JobSummary") -> NamedJob:
    return NamedJob(job["id"], job["job_name"], job["status"], job["created_at"])
