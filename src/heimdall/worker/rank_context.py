"""The TrainingContext of every rank but the first: it knows what rank 0 told it, and reports nothing."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from setproctitle import setproctitle

from heimdall.sdk.context import DatasetFolder, EpochReport
from heimdall.sdk.registry import load_function
from heimdall.worker.caches import build_once
from heimdall.worker.failures import (
    is_link_broken,
    is_stop,
    is_success,
    message_of,
    reason_of,
    traceback_of,
    was_loader_killed,
)
from heimdall.worker.job_streams import flush_streams
from heimdall.worker.rank_link import RankLink, connect
from heimdall.worker.ranks import Orders

LINK_PATIENCE_SECONDS = 5.0


def follow() -> NoReturn:
    """Train as a rank of the job that the environment leads to, and leave the process."""
    rank = int(os.environ["RANK"])
    link = connect()
    orders = Orders.from_text(link.orders())
    setproctitle(f"heimdall rank {rank} of {orders.job_id}")
    code = 0
    try:
        load_function(orders.run)(RankContext(orders))
        link.note_end(rank)
    except BaseException as error:  # noqa: BLE001 - a trainer may raise anything; rank 0 hears of it
        code = _explain(error, rank, link)
    flush_streams()
    os._exit(code)


def _explain(error: BaseException, rank: int, link: RankLink) -> int:
    """Tell rank 0 why this rank ends; its exit code."""
    if is_stop(error) or is_success(error):
        link.note_end(rank)
        return 0
    if is_link_broken(error) and _has_left(link):
        return 0
    if was_loader_killed(error):
        flush_streams()
        os.kill(os.getpid(), signal.SIGKILL)
    print(traceback_of(error), file=sys.stderr)  # noqa: T201 - the output is the log
    link.note_end(rank, reason=reason_of(error).value, message=message_of(error))
    return 1


def _has_left(link: RankLink) -> bool:
    """Whether rank 0 has ended in good order. When another rank died, this one is killed while it waits."""
    deadline = time.monotonic() + LINK_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if link.has_left:
            return True
        time.sleep(0.05)
    return False


class RankContext:
    """See `heimdall.sdk.TrainingContext`. What rank 0 decides reaches a rank through the training loop."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    @property
    def job_id(self) -> str:
        return self._orders.job_id

    @property
    def attempt(self) -> int:
        return self._orders.attempt

    @property
    def config(self) -> Mapping[str, Any]:
        return self._orders.config

    @property
    def threads(self) -> int:
        return self._orders.threads

    @property
    def model_architecture(self) -> str | None:
        return self._orders.model_architecture

    def join_ranks(self, devices: int) -> int:
        return int(os.environ["WORLD_SIZE"]) // devices

    def raise_if_stopped(self) -> None: ...

    def set_phase(self, phase: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def dataset(self) -> DatasetFolder:
        assert self._orders.dataset is not None, "rank 0 has no dataset"
        return self._orders.dataset

    def started(
        self, *, dataset_size: int, train_samples: int, val_samples: int, model_architecture: str | None
    ) -> None: ...

    def checkpoint_to_load(self) -> None: ...

    def took_over(self, *, epoch: int, step: int) -> None: ...

    def finish_epoch(self, report: EpochReport) -> None: ...

    def pause_point(self) -> None: ...

    def drain(self) -> None: ...

    def progress(self, current: int, total: int, message: str) -> None: ...

    def save_artifact(self, name: str, artifact_type: str, write: Callable[[BinaryIO], None]) -> None: ...

    def best_checkpoint(self) -> None: ...

    def publish_dataset(self, folder: Path, *, num_samples: int, sha256: str, quality: Mapping[str, Any]) -> None: ...

    def scratch(self) -> Path:
        return Path(tempfile.mkdtemp())

    def cache(self, key: str, build: Callable[[Path], None]) -> Path:
        return build_once(self._orders.cache_dir, key, build)
