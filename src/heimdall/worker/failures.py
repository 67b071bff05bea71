"""What an exception of a trainer means for its job."""

import re

from heimdall.domain.errors import CheckpointDamagedError, InvalidConfigError, InvalidInputError
from heimdall.domain.job import Reason
from heimdall.worker.checkpoints import DiskFullError, is_disk_full

LOADER_KILLED = re.compile(r"DataLoader worker .* killed by signal: (Killed|Terminated)")
LINK_BROKEN = re.compile(r"gloo|Connection (closed|reset) by peer|Broken pipe|NCCL")


class DiskTooSmallError(Exception):
    """The job would fill the disk."""


def was_loader_killed(error: BaseException) -> bool:
    """Whether PyTorch raised this because SIGKILL or SIGTERM ended one of its loader processes."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RuntimeError) and LOADER_KILLED.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def is_link_broken(error: BaseException) -> bool:
    """Whether another rank of this job could not be reached: it may have died a moment ago."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "DistError" in names or (isinstance(error, RuntimeError) and LINK_BROKEN.search(str(error)) is not None)


def reason_of(error: BaseException) -> Reason:
    if isinstance(error, MemoryError) or type(error).__name__ in {"OutOfMemoryError", "OutOfMemoryException"}:
        return Reason.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error):
        return Reason.OUT_OF_MEMORY
    if isinstance(error, InvalidConfigError | InvalidInputError):
        return Reason.INVALID_CONFIG
    if isinstance(error, CheckpointDamagedError):
        return Reason.CHECKPOINT_DAMAGED
    return Reason.ERROR


def message_of(error: BaseException) -> str:
    """One line for people; our own errors are sentences already."""
    if isinstance(error, MemoryError):
        return "The job ran out of memory; use a smaller batch size or model."
    text = " ".join(str(error).split())
    if is_disk_full(error) and not isinstance(error, DiskFullError):
        return "The disk is full; free some space and retry the job."
    if type(error).__module__.startswith("heimdall."):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
