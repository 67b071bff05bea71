"""What deleting leaves behind when it is cut short goes later."""

import threading

import pytest

from heimdall.domain.errors import UnavailableError
from heimdall.jobs.deletions import Sweep, remove_files
from tests.worker.place import Place


def test_rows_and_files_of_a_deletion_cut_short_go_and_files_that_came_late_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = place.submit()

    def crash(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("heimdall.store.jobs.delete_slice", crash)
        with pytest.raises(KeyboardInterrupt):
            place.stores.jobs.delete(job.id)
    assert place.stores.history.events(job.id)
    sweep = Sweep(place.stores, place.artifacts)
    for name in ("left", "late"):
        place.artifacts.put(f"{job.id}/{name}", lambda file: None)
        sweep.look()
        assert place.artifacts.keys(job.id) == []
    assert not place.stores.history.events(job.id)
    assert place.stores.jobs.sweep_deleted() == []  # nothing is left to look at


def test_files_stay_known_while_their_store_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    job = place.submit()
    place.artifacts.put(f"{job.id}/left", lambda file: None)

    def away(prefix: str) -> int:
        raise UnavailableError(f"no {prefix}")

    sweep = Sweep(place.stores, place.artifacts, seconds=0.01)
    stop = threading.Event()
    with monkeypatch.context() as broken:
        broken.setattr(place.artifacts, "delete_prefix", away)
        place.stores.jobs.delete(job.id)
        remove_files(place.artifacts, job.id)
        for _ in range(3):
            with pytest.raises(UnavailableError):
                sweep.look()
    assert place.stores.jobs.sweep_deleted() == [job.id]
    thread = threading.Thread(target=sweep.run, args=[stop])
    thread.start()
    while place.stores.jobs.sweep_deleted():
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert place.artifacts.keys(job.id) == []
