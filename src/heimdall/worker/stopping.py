"""Why an attempt must stop: one flag that the training loop reads at every batch."""

from heimdall.domain.errors import LeaseLostError
from heimdall.domain.job import Requested


class StopFlag:
    """Set by the heartbeat, the writer and the SIGTERM handler; `is_set` is a plain attribute, read at every batch."""

    def __init__(self) -> None:
        self.is_set = False
        self.requested: Requested | None = None
        self.is_draining = False
        self.is_lease_lost = False
        self.failure: Exception | None = None

    def see(self, requested: Requested | None) -> None:
        """What the job's row says is requested now. A cancel stays: an answer that was read before it may come late."""
        if self.requested is Requested.CANCEL:
            return
        self.requested = requested
        if requested is Requested.CANCEL:
            self.is_set = True

    def drain(self) -> None:
        """The worker stops: hand the job back at the next batch."""
        self.is_draining = True
        self.is_set = True

    def lose_lease(self) -> None:
        self.is_lease_lost = True
        self.is_set = True

    def fail(self, error: Exception) -> None:
        """Something beside the training broke for good, so that training on would lose work."""
        if self.failure is None:
            self.failure = error
        self.is_set = True

    def check(self) -> None:
        """Raises: LeaseLostError, or the failure."""
        if self.is_lease_lost:
            raise LeaseLostError("Another worker has this job now.")
        if self.failure is not None:
            raise self.failure
