"""Calls of a job's process wait for a database that is away instead of failing the job."""

from dataclasses import replace
from typing import Any

import pytest

from heimdall.domain.errors import JobNotFoundError, UnavailableError
from heimdall.worker import patience
from heimdall.worker.patience import patient
from tests.worker.place import Place


class Line:
    """The real store behind a line that is cut for the first calls."""

    def __init__(self, store: Any, *, num_cuts: int) -> None:
        self._store = store
        self.num_cuts = num_cuts

    def get(self, job_id: str) -> Any:
        if self.num_cuts:
            self.num_cuts -= 1
            raise UnavailableError("The line is cut.")
        return self._store.get(job_id)


def test_a_call_is_made_until_the_database_answers(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.01)
    job = place.submit()
    line = Line(place.stores.jobs, num_cuts=3)
    waiting = patient(replace(place.stores, jobs=line))
    assert waiting.jobs.get(job.id).id == job.id
    assert line.num_cuts == 0
    with pytest.raises(JobNotFoundError):  # an answer, though not a pleasant one
        waiting.jobs.get("00000000-0000-0000-0000-000000000000")
