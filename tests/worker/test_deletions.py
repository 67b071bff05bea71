"""What deleting leaves goes by the sweep, whatever is in its way."""

import threading
from collections.abc import Callable

import pytest

from heimdall.domain.errors import ArtifactsRefusedError, UnavailableError
from heimdall.jobs.deletions import Sweep
from tests.worker.place import Place, wait_until


def test_rows_and_files_of_a_deleted_job_go_and_files_that_came_late_too(place: Place) -> None:
    job = place.submit()
    place.stores.jobs.delete(job.id)
    assert place.stores.history.events(job.id)
    sweep = Sweep(place.stores, place.artifacts, seconds=0.0)
    for name in ("left", "late"):
        place.artifacts.put(f"{job.id}/{name}", lambda file: None)
        sweep.sweep(threading.Event())
        assert place.artifacts.keys(job.id) == []
    assert not place.stores.history.events(job.id)
    assert place.stores.jobs.deleted() == []


def test_each_deletion_is_tried_again_only_when_it_is_due(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(place.artifacts, "delete_prefix", tried.append)
    sweep = Sweep(place.stores, place.artifacts, seconds=3600.0)
    ids: list[str] = []
    for _ in range(3):
        job = place.submit()
        place.stores.jobs.delete(job.id)
        ids.append(job.id)
        sweep.sweep(threading.Event())
    assert tried == ids


def test_what_the_store_refuses_is_passed_over_and_tried_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    refused, other = place.submit(), place.submit()
    removed = place.artifacts.delete_prefix
    is_refusing = True

    def refuse(prefix: str) -> int:
        if prefix == refused.id and is_refusing:
            raise ArtifactsRefusedError(f"The object store refuses the deletion of {prefix}.")
        return removed(prefix)

    monkeypatch.setattr(place.artifacts, "delete_prefix", refuse)
    emptied = threading.Event()

    def note(_sweep: Sweep, _stop: threading.Event) -> None:
        emptied.set()

    monkeypatch.setattr(Sweep, "empty_events", note)
    for job in (refused, other):
        place.artifacts.put(f"{job.id}/left", lambda file: None)
        place.stores.jobs.delete(job.id)
    sweep = Sweep(place.stores, place.artifacts, seconds=0.01)
    with Running(sweep):
        wait_until(lambda: place.stores.jobs.deleted() == [refused.id])
        assert emptied.wait(5.0)
        is_refusing = False
        wait_until(lambda: place.stores.jobs.deleted() == [])
    assert place.artifacts.keys(refused.id) == []


def test_rows_go_and_files_stay_known_while_their_store_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    job = place.submit()
    place.artifacts.put(f"{job.id}/left", lambda file: None)

    def away(prefix: str) -> int:
        raise UnavailableError(f"no {prefix}")

    with monkeypatch.context() as broken:
        broken.setattr(place.artifacts, "delete_prefix", away)
        place.stores.jobs.delete(job.id)
        sweep = Sweep(place.stores, place.artifacts, seconds=0.0)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                sweep.sweep(threading.Event())
    assert not place.stores.history.events(job.id)
    assert place.stores.jobs.deleted() == [job.id]
    with Running(Sweep(place.stores, place.artifacts, seconds=0.01)):
        wait_until(lambda: place.stores.jobs.deleted() == [])
    assert place.artifacts.keys(job.id) == []


class Running:
    """The sweep in its thread."""

    def __init__(self, sweep: Sweep) -> None:
        self._stop = threading.Event()
        self._wake: Callable[[], None] = sweep.wake
        self._thread = threading.Thread(target=sweep.run, args=[self._stop])

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._wake()
        self._thread.join()
