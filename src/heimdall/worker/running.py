"""A process that a slots loop answers for, and how long the loop waits for what."""

from dataclasses import dataclass, field

from heimdall.worker.files import AttemptFiles
from heimdall.worker.processes import JobProcess
from heimdall.worker.verdict import MemoryKills


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the loop waits for what; tests shorten it."""

    look_seconds: float = 1.0  # between two looks when nothing wakes the loop
    announce_seconds: float = 3.0
    unable_seconds: float = 10.0  # after a job could not be started for want of this machine's disk
    cancel_seconds: float = 10.0  # for a cancelled batch to end, then SIGTERM
    terminate_seconds: float = 5.0  # after SIGTERM, then SIGKILL
    drain_seconds: float = 10.0  # for jobs to hand themselves back when the loop stops
    stopped_seconds: float = 15.0  # for a process stopped by a signal to be continued
    exit_seconds: float = 3.0  # for a process to leave after its attempt gave up the lease


@dataclass(slots=True, kw_only=True)
class Running:
    """A process of ours (started or adopted) and the attempt it works on."""

    job_id: str
    token: str
    attempt: int
    process: JobProcess
    files: AttemptFiles
    devices: list[str] = field(default_factory=list[str])
    memory: MemoryKills
    is_recorded: bool = True  # the attempt's row names the process
    cancel_seen_at: float | None = None
    lease_gone_at: float | None = None
    stopped_at: float | None = None
