"""The certificate says where a job's machine changed, and how far its bits can be compared."""

from datetime import UTC, datetime
from typing import Any

from heimdall.api.training.translate import certificate
from heimdall.domain.attempt import Checkpoint, StoredFile
from heimdall.domain.job import Job, Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, OTHER = {"threads": 1, "device": "cpu"}, {"threads": 2, "device": "cpu"}


def saved(attempt: int, epoch: int, machine: dict[str, Any]) -> Checkpoint:
    file = StoredFile(key=f"{attempt}/{epoch}", size_bytes=1, sha256=f"{attempt}{epoch}")
    manifest = {"machine": machine}
    return Checkpoint(
        attempt=attempt, epoch=epoch, step=epoch, file=file, val_loss=None, manifest=manifest, created_at=NOW
    )


def certified(checkpoints: list[Checkpoint]) -> dict[str, Any]:
    job = Job(
        id="a",
        job_name="a",
        kind="localization",
        status=Status.COMPLETED,
        created_at=NOW,
        updated_at=NOW,
        config={},
        current_epoch=max((checkpoint.epoch for checkpoint in checkpoints), default=0),
        total_epochs=9,
    )
    return certificate(job, checkpoints)


def test_one_machine_is_comparable_to_the_end() -> None:
    found = certified([saved(2, 3, ONE), saved(1, 2, ONE), saved(1, 1, ONE)])
    assert (found["comparable_until_epoch"], found["machine_changes"]) == (3, [])
    assert [link["follows_sha256"] for link in found["checkpoints"]] == [None, "11", "12"]


def test_another_machine_ends_what_can_be_compared() -> None:
    found = certified([saved(1, 1, ONE), saved(1, 2, ONE), saved(2, 3, OTHER), saved(3, 4, ONE)])
    assert found["comparable_until_epoch"] == 2
    assert found["machine_changes"] == [
        {"epoch": 3, "was": {"threads": 1}, "is": {"threads": 2}},
        {"epoch": 4, "was": {"threads": 2}, "is": {"threads": 1}},
    ]


def test_an_abandoned_tail_of_another_machine_does_not_count() -> None:
    found = certified([saved(1, 1, ONE), saved(1, 2, OTHER), saved(2, 2, ONE)])
    assert (found["comparable_until_epoch"], found["machine_changes"]) == (2, [])
    assert len(found["checkpoints"]) == 3


def test_a_job_without_checkpoints_has_an_empty_chain() -> None:
    assert certified([])["comparable_until_epoch"] == 0
