"""What an exception of a trainer means for its job."""

import re
import traceback

from heimdall.domain.errors import CheckpointDamagedError, InvalidConfigError, InvalidInputError
from heimdall.domain.job import Reason
from heimdall.domain.text import clean, cut
from heimdall.sdk.stopping import StopTraining
from heimdall.worker.chain import chain_of, leaves_of, text_of
from heimdall.worker.checkpoints import DiskFullError, is_disk_full

LOADER_KILLED = re.compile(r"DataLoader worker .* killed by signal: (Killed|Terminated)")
LINK_BROKEN = re.compile(r"gloo|Connection (closed|reset) by peer|Broken pipe|NCCL")
MAX_MESSAGE_CHARS = 4000  # it stands in every list of jobs; the log has all of it


class DiskTooSmallError(Exception):
    """The job would fill the disk."""


def was_loader_killed(error: BaseException) -> bool:
    """Whether PyTorch raised this because SIGKILL or SIGTERM ended one of its loader processes."""
    return any(isinstance(seen, RuntimeError) and LOADER_KILLED.search(text_of(seen)) for seen in chain_of(error))


def is_link_broken(error: BaseException) -> bool:
    """Whether another rank of this job could not be reached: it may have died a moment ago."""
    return any(
        "DistError" in {kind.__name__ for kind in type(leaf).__mro__}
        or (isinstance(leaf, RuntimeError) and LINK_BROKEN.search(text_of(leaf)) is not None)
        for leaf in leaves_of(error)
    )


def is_stop(error: BaseException) -> bool:
    """Whether the trainer only stops as asked, also when a task group of its own wraps that."""
    return all(isinstance(leaf, StopTraining) for leaf in leaves_of(error))


def is_success(error: BaseException) -> bool:
    """`sys.exit()` and `sys.exit(0)` are how many scripts end."""
    return isinstance(error, SystemExit) and (error.code is None or (type(error.code) is int and error.code == 0))


def reason_of(error: BaseException) -> Reason:
    reasons = (_reason_of_one(leaf) for leaf in leaves_of(error))
    return next((reason for reason in reasons if reason is not Reason.ERROR), Reason.ERROR)


def _reason_of_one(error: BaseException) -> Reason:
    if isinstance(error, MemoryError) or type(error).__name__ in {"OutOfMemoryError", "OutOfMemoryException"}:
        return Reason.OUT_OF_MEMORY
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in text_of(error):
        return Reason.OUT_OF_MEMORY
    if isinstance(error, InvalidConfigError | InvalidInputError):
        return Reason.INVALID_CONFIG
    if isinstance(error, CheckpointDamagedError):
        return Reason.CHECKPOINT_DAMAGED
    return Reason.ERROR


def message_of(error: BaseException) -> str:
    """One line for people, of at most some 4,000 characters; our own errors are sentences already."""
    if isinstance(error, MemoryError):
        return "The job ran out of memory; use a smaller batch size or model."
    if is_disk_full(error) and not isinstance(error, DiskFullError):
        return "The disk is full; free some space and retry the job."
    text = cut(" ".join(clean(text_of(error)).split()), MAX_MESSAGE_CHARS)
    if isinstance(error, SystemExit):
        return _exit_message(error, text)
    if str(type(error).__module__).startswith("heimdall."):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _exit_message(error: SystemExit, text: str) -> str:
    if isinstance(error.code, int):
        return f"The trainer ended itself with exit code {int(error.code)}; its log may say why."
    return f"The trainer ended itself: {text}" if text else "The trainer ended itself with sys.exit()."


def traceback_of(error: BaseException) -> str:
    """As Python prints it; where that fails, which an odd exception can bring about, its message."""
    try:
        return clean("".join(traceback.format_exception(error)).rstrip())
    except Exception as why:  # noqa: BLE001 - the parts of an exception of any class may raise anything
        return f"{message_of(error)} (its traceback could not be made: {type(why).__name__})"
