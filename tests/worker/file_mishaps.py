# pyright: reportPrivateUsage=false
"""What befalls the files of a job while it trains."""

import errno
import io
import logging
from collections.abc import Callable, Sequence
from typing import BinaryIO

from heimdall.domain.attempt import Outcome, StoredFile
from heimdall.domain.errors import ArtifactsRefusedError
from heimdall.domain.job import Requested
from heimdall.sdk import TrainingContext
from heimdall.worker.context import Parts, WorkerContext


def worker_parts(context: TrainingContext) -> Parts:
    assert isinstance(context, WorkerContext)
    return context._parts


def undeletable(context: TrainingContext) -> None:
    """Old files cannot be deleted for a while."""
    parts = worker_parts(context)
    delete = parts.artifacts.delete
    refusals = iter(range(2))

    def refuse_twice(keys: Sequence[str]) -> None:
        if next(refusals, None) is not None:
            raise OSError(errno.EBUSY, "busy")
        delete(keys)

    parts.artifacts.delete = refuse_twice


def refused_deletes(context: TrainingContext) -> None:
    """The credentials allow everything but deleting."""

    def refuse(keys: Sequence[str]) -> None:
        raise ArtifactsRefusedError(f"The object store refuses the deletion of {keys[0]}.")

    worker_parts(context).artifacts.delete = refuse


def refuse_to_give_up(context: TrainingContext) -> None:
    """The database makes a mistake when the lease of a dataset is given up."""

    def refuse(dataset_id: str, token: str, status: str) -> None:
        raise ValueError("a mistake")

    worker_parts(context).stores.datasets.give_up = refuse


def damaged_best(context: TrainingContext) -> None:
    path = context.best_checkpoint()
    assert path is not None
    path.write_bytes(b"rotten")
    assert context.best_checkpoint() is None


def put_twice(context: TrainingContext) -> None:
    """The first upload of the log fails, and that is logged."""
    parts = worker_parts(context)
    put = parts.artifacts.put
    logging.getLogger("trainer").warning("a line")

    def fail_once(key: str, write: Callable[[BinaryIO], None]) -> StoredFile:
        if key.endswith("log.txt"):
            first, second = io.BytesIO(), io.BytesIO()
            write(first)
            logging.getLogger("trainer").warning("the store was away")
            parts.writer.flush()
            write(second)
            assert first.getvalue() == second.getvalue() != b""
        return put(key, write)

    parts.artifacts.put = fail_once


def pause_meanwhile(context: TrainingContext) -> None:
    """A pause is asked for just before the first outcome of this attempt is recorded."""
    parts = worker_parts(context)
    end = parts.end
    once = iter([Requested.PAUSE])

    def ask_and_end(outcome: Outcome) -> None:
        for requested in once:
            parts.stores.jobs.request(context.job_id, requested)
        end(outcome)

    object.__setattr__(parts, "end", ask_and_end)
