"""The one object a trainer gets: everything it reads of its job and everything it reports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFolder:
    """A ready dataset as a local folder of memory-mappable files."""

    id: str
    name: str
    path: Path
    sha256: str
    unapproved: Sequence[int] = ()  # sample indexes marked `approved: false`, as fixed at the first attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """One finished epoch, given to `TrainingContext.finish_epoch`.

    `metrics` are plain numbers or None (NaN and infinities allowed); `write_checkpoint` writes the checkpoint
    file and must own its data (it runs on another thread while the next epoch trains). `step` is the global
    batch count at the epoch's end. `manifest` describes the checkpoint (sha256 of each part, config, seed,
    versions, device); read it after `write_checkpoint`, which may complete it (hashing belongs to that thread).
    """

    epoch: int  # from 1
    step: int
    metrics: Mapping[str, float | None]
    is_best: bool
    best_epoch: int | None
    best_value: float | None  # at `best_epoch`, of the spec's `best_metric`; `best_val_loss` in the REST API
    keep: bool  # keep this epoch's file for good (every Nth)
    is_last: bool = False  # no epoch follows, though `total_epochs` may say so (early stopping)
    write_checkpoint: Callable[[BinaryIO], None]
    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any])


class TrainingContext(Protocol):
    """Offered to a trainer's `run(context)`. Calls return in microseconds unless said otherwise."""

    @property
    def job_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def config(self) -> Mapping[str, Any]: ...

    @property
    def threads(self) -> int:
        """Intra-op threads of this job, fixed at its first attempt."""
        ...

    @property
    def model_architecture(self) -> str | None:
        """What an earlier attempt chose (`started`), or None."""
        ...

    def join_ranks(self, devices: int) -> int:
        """Be one of several processes that train this job together, one for each of `devices`.

        The first process starts the others, which run the same trainer with contexts that report nothing. Afterwards
        the environment holds what torch.distributed reads (RANK, WORLD_SIZE, MASTER_ADDR …). Returns the number of
        machines: 1, unless torchrun started the job on several.
        """
        ...

    def raise_if_stopped(self) -> None:
        """Call it at every batch: raises StopTraining when the attempt must end now (cancel, drain, lost lease)."""
        ...

    def set_phase(self, phase: str) -> None: ...

    def warn(self, message: str) -> None:
        """Add a line to the job's `warnings` (the same line only once; beyond 100 lines, to its log)."""
        ...

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Record points of series: numbers or scalars of NumPy or torch, at a step from 0 to 2**62 - 1.

        Read in the call; a tensor of an accelerator is copied in the order of its stream, without waiting for it.
        Changing it afterwards changes nothing that was logged. A name is printable text of up to 200 characters.
        Never raises: what cannot be recorded is left out, and a warning of the job says so once.
        """
        ...

    def dataset(self) -> DatasetFolder:
        """The job's dataset as a local folder. Blocks: may fetch it, wait for it, or generate `default`."""
        ...

    def started(
        self, *, dataset_size: int, train_samples: int, val_samples: int, model_architecture: str | None
    ) -> None:
        """The data is loaded: sends training:started."""
        ...

    def checkpoint_to_load(self) -> Path | None:
        """A verified checkpoint file to go on from, or None for a fresh start. Blocks."""
        ...

    def took_over(self, *, epoch: int, step: int) -> None:
        """The checkpoint of `epoch` is loaded: training goes on with the next one."""
        ...

    def finish_epoch(self, report: EpochReport) -> None:
        """Save the checkpoint and record the epoch, in that order, while the next epoch may train already.

        At most one is in flight: waits for the one before.
        """
        ...

    def pause_point(self) -> None:
        """After an epoch that is not the last: when a pause is asked for, wait for the epoch to be safe, save the
        pause checkpoint, end the attempt (raises StopTraining)."""
        ...

    def drain(self) -> None:
        """Wait until everything handed over so far is stored."""
        ...

    def progress(self, current: int, total: int, message: str) -> None:
        """Progress of work without epochs (data generation); sent at most once a second."""
        ...

    def save_artifact(self, name: str, artifact_type: str, write: Callable[[BinaryIO], None]) -> None:
        """Store a file under the job. Blocks until it is durable.

        `artifact_type` is one of checkpoint, config, metrics, predictions, model, adapter, log, other.

        Raises: ValueError: there is no such type.
        """
        ...

    def best_checkpoint(self) -> Path | None:
        """The verified file of the best epoch so far. Blocks."""
        ...

    def publish_dataset(self, folder: Path, *, num_samples: int, sha256: str, quality: Mapping[str, Any]) -> None:
        """For trainers that make a dataset: store the folder's files and make the dataset ready. Blocks."""
        ...

    def scratch(self) -> Path:
        """An empty folder of this attempt on the local disk, removed at its end."""
        ...

    def cache(self, key: str, build: Callable[[Path], None]) -> Path:
        """A folder shared by jobs of this machine, built once: `build(temporary folder)`, then moved in one step."""
        ...
