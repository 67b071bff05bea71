"""A job of this data folder by id, beginning of an id, or name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heimdall.bootstrap import job as bootstrap_job
from heimdall.bootstrap.configuration import load
from heimdall.bootstrap.job import find_job, open_existing
from heimdall.domain.errors import InvalidInputError, NotFoundError
from heimdall.domain.job import NewJob
from heimdall.domain.ports import JobStore
from heimdall.store import open_database, open_stores, prepare


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[JobStore]:
    """Four jobs: a, b, and two named ab."""
    url = f"sqlite:///{tmp_path}/heimdall.db"
    prepare(url, mode="upgrade")
    database = open_database(url)
    store = open_stores(database).jobs
    for number, name in enumerate(["a", "b", "ab", "ab"]):
        store.create(NewJob(id=f"{number}{number}-0", job_name=name, kind="synthetic", config={}, total_epochs=1))
    yield store
    database.close()


@pytest.mark.parametrize("num_jobs", [1, 500])
def test_words_that_name_one(jobs: JobStore, num_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap_job, "PAGE_JOBS", num_jobs)
    assert find_job(jobs, "a").id == "00-0"
    assert find_job(jobs, "11").id == "11-0"
    assert find_job(jobs, "22-0").id == "22-0"


def test_words_that_name_none_or_several(jobs: JobStore) -> None:
    with pytest.raises(InvalidInputError, match="names 2 jobs"):
        find_job(jobs, "ab")
    with pytest.raises(NotFoundError):
        find_job(jobs, "-0")


@pytest.mark.parametrize("word", ["", " ", "\udcff"])
def test_an_empty_word_names_none(jobs: JobStore, word: str) -> None:
    with pytest.raises(InvalidInputError, match=" names no job"):
        find_job(jobs, word)


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="name its folder with --data-dir"):
        open_existing(load({"data_dir": tmp_path}))
    with pytest.raises(NotFoundError, match="name it with --database-url"):
        open_existing(load({"database_url": f"sqlite:///{tmp_path}/other.db"}))
    assert list(tmp_path.iterdir()) == []
