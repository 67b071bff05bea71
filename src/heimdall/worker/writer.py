"""The one way into the database for everything an attempt records: ordered, numbered, never in training's way."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from heimdall.domain.attempt import Artifact, Batch, Checkpoint, EpochRow, SeriesPoints
from heimdall.domain.errors import LeaseLostError, UnavailableError
from heimdall.domain.events import EventName, NewEvent
from heimdall.domain.log_lines import add_lines
from heimdall.domain.plain import plain_json
from heimdall.domain.ports import AttemptStore
from heimdall.worker.points import LivePoints, Row, by_series
from heimdall.worker.spool import Spool
from heimdall.worker.stopping import StopFlag

logger = logging.getLogger(__name__)

POINTS_A_BATCH = 5000
LONGEST_RETRY_SECONDS = 2.0
SPOOL_BYTES = 256 * 1024 * 1024
LATE_BYTES = 32 * 1024 * 1024  # in memory because the disk is full, too
EXPENDABLE = frozenset({EventName.METRICS, EventName.LOG, EventName.SYSTEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What belongs together: stored in one transaction, in the order submitted."""

    events: list[NewEvent] = field(default_factory=list[NewEvent])
    log_lines: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    epoch_row: EpochRow | None = None
    checkpoint: Checkpoint | None = None
    artifacts: dict[str, Artifact | None] = field(default_factory=dict[str, "Artifact | None"])
    after: Callable[[], None] | None = None  # called once it is stored


@dataclass(slots=True)
class _Draft:
    """A batch being put together."""

    parts: list[Part] = field(default_factory=list[Part])
    points: list[SeriesPoints] = field(default_factory=list[SeriesPoints])

    def has_checkpoint(self) -> bool:
        return any(part.checkpoint for part in self.parts)


class Writer:
    """One thread stores what other threads submit, every `flush_seconds`, as numbered batches.

    While the database is away batches wait in the spool and are stored in order when it is back. When the disk of
    the spool is full as well, they wait in memory, and beyond 32 MiB the training waits with them. A batch whose
    commit was left in doubt is sent again under its number, which the store recognises.
    """

    def __init__(
        self,
        attempts: AttemptStore,
        job_id: str,
        token: str,
        *,
        spool: Spool,
        stop: StopFlag,
        flush_seconds: float = 0.2,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        self._attempts = attempts
        self._job_id = job_id
        self._token = token
        self._spool = spool
        self._stop = stop
        self._flush_seconds = flush_seconds
        self._spool_bytes = spool_bytes
        self.rows: deque[Row] = deque()  # logged points; append is all that training does
        self._live = LivePoints()
        self._parts: list[Part] = []
        self._changed = threading.Condition()
        self._num_submitted = 0
        self._num_stored = 0
        self._stored_at: dict[int, tuple[int, list[Callable[[], None]]]] = {}  # batch → (ticket, callbacks)
        self._number = 0
        self._is_hurried = False
        self._has_ended = False
        self._is_abandoned = False
        self.is_full = False  # nothing more fits: the training must wait
        self._is_last = False
        self._retry_at = 0.0
        self._next_live_at = 0.0
        self._num_failures = 0
        self._num_dropped = 0
        self._calm = threading.Event()  # never set
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_away(self) -> bool:
        return self._num_failures > 0

    def submit(self, part: Part) -> int:
        """Hand a part over; the number to wait for. Returns at once."""
        with self._changed:
            if not self._has_ended:
                self._parts.append(part)
            self._num_submitted += 1
            return self._num_submitted

    def wait_for(self, ticket: int) -> None:
        """Block until that part is stored, however long the database is away.

        Raises: LeaseLostError, or what broke the writer.
        """
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._num_stored >= ticket or self._has_ended)
            is_stored = self._num_stored >= ticket
        if not is_stored:
            self._stop.check()
            raise LeaseLostError("The writer has ended.")

    def flush(self, *, is_last: bool = False) -> None:
        """Block until everything handed over so far is stored; at the last, live streams get every point too.

        Raises: as `wait_for`.
        """
        self._is_last = self._is_last or is_last
        self.wait_for(self.submit(Part()))

    def wait_for_room(self) -> None:
        """Block while neither the database nor the disk takes anything, or until the attempt must stop."""
        if self.is_full:
            logger.warning("The database and the disk take nothing more; training waits until they do.")
        while self.is_full and not self._stop.is_set:
            self._calm.wait(self._flush_seconds)

    def abandon(self) -> None:
        """End the thread; what is not stored yet is not stored."""
        self._is_abandoned = True
        self._thread.join()

    def forget(self) -> None:
        """In a forked child, which has neither the thread nor the right to store anything."""
        self._changed = threading.Condition()  # somebody may have held it at the fork
        self._has_ended = True
        self._parts = []
        self.rows.clear()
        self._stop.failure = RuntimeError("A process that a trainer forked cannot finish an epoch; its parent can.")

    def _work(self) -> None:
        try:
            while not self._is_abandoned:
                self._rest()
                self._collect()
                self._store()
                self.is_full = self._spool.late_bytes > LATE_BYTES
        except LeaseLostError:
            self._stop.lose_lease()
        except Exception as error:  # noqa: BLE001 - whatever broke the writer must end the job, not vanish in a thread
            self._stop.fail(error)
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _rest(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_hurried, self._flush_seconds)
            self._is_hurried = False
        if self.is_away:
            # Being in a hurry does not bring the database back.
            self._calm.wait(min(self._flush_seconds, max(0.0, self._retry_at - time.monotonic())))

    def _collect(self) -> None:
        """Turn what was handed over into batches. Points logged before a part are stored no later than it."""
        with self._changed:
            parts, self._parts = self._parts, []
            ticket = self._num_submitted
        rows = [self.rows.popleft() for _ in range(len(self.rows))]
        drafts = self._drafts(rows, parts)
        for draft in drafts[:-1]:
            self._enqueue(draft, self._num_stored)
        self._enqueue(drafts[-1], ticket)

    def _drafts(self, rows: list[Row], parts: list[Part]) -> list[_Draft]:
        """At most so many points and at most one checkpoint in a batch."""
        a_batch = max(1, POINTS_A_BATCH // max((len(values) for _, _, values in rows), default=1))
        slices = [rows[at : at + a_batch] for at in range(0, len(rows), a_batch)] or [[]]
        drafts = [_Draft(points=by_series(some)) for some in slices]
        for part in parts:
            if part.checkpoint and drafts[-1].has_checkpoint():
                drafts.append(_Draft())
            drafts[-1].parts.append(part)
        return drafts

    def _enqueue(self, draft: _Draft, ticket: int) -> None:
        self._live.add(draft.points)
        batch = self._batch(draft)
        if self._spool.size_bytes > self._spool_bytes:
            batch = self._slimmed(batch)
        callbacks = [part.after for part in draft.parts if part.after]
        if _is_empty(batch):
            self._ride_along(ticket, callbacks)
            return
        self._number += 1
        self._stored_at[self._number] = (ticket, callbacks)
        self._spool.append(replace(batch, number=self._number))

    def _ride_along(self, ticket: int, callbacks: list[Callable[[], None]]) -> None:
        """Nothing to store: it counts as stored with the newest batch that waits."""
        if len(self._spool):
            _, waiting = self._stored_at[self._number]
            self._stored_at[self._number] = (ticket, waiting + callbacks)
        else:
            self._settle(ticket, callbacks)

    def _batch(self, draft: _Draft) -> Batch:
        batch = Batch(number=0, points=draft.points)
        for part in draft.parts:
            if part.log_lines:
                add_lines(batch.events, part.log_lines)
            batch.events.extend(NewEvent(event.name, plain_json(event.data)) for event in part.events)
            _merge_summary(batch.summary, plain_json(part.summary))
            if part.epoch_row:
                batch.epoch_rows.append(part.epoch_row)
            batch.artifacts.update(part.artifacts)
        batch.events.extend(self._live_events())
        return replace(batch, checkpoint=next((part.checkpoint for part in draft.parts if part.checkpoint), None))

    def _live_events(self) -> list[NewEvent]:
        """At most one per flush, however often writers are in a hurry; at the last all."""
        if self._is_last:
            self._is_last = False
            return self._live.all_events()
        now = time.monotonic()
        if now < self._next_live_at:
            return []
        event = self._live.next_event()
        if event is None:
            return []
        self._next_live_at = now + self._flush_seconds
        return [event]

    def _slimmed(self, batch: Batch) -> Batch:
        """Only what must never be lost: the disk is not the place for an endless outage."""
        events = [event for event in batch.events if event.name not in EXPENDABLE]
        self._num_dropped += sum(len(series.points) for series in batch.points) + len(batch.events) - len(events)
        return replace(batch, events=events, points=[])

    def _store(self) -> None:
        while len(self._spool):
            if self.is_away and time.monotonic() < self._retry_at:
                return
            batch = self._spool.head()
            try:
                self._attempts.write(self._job_id, self._token, batch)
            except UnavailableError as error:
                self._note_failure(error)
                return
            self._num_failures = 0
            self._spool.pop()
            self._settle(*self._stored_at.pop(batch.number))
        self._report_dropped()

    def _note_failure(self, error: Exception) -> None:
        if not self._num_failures:
            logger.warning("The database is away; training goes on and its records wait: %s", error)
        pause = min(LONGEST_RETRY_SECONDS, self._flush_seconds * 2**self._num_failures)
        self._num_failures += 1
        self._retry_at = time.monotonic() + pause

    def _report_dropped(self) -> None:
        if self._num_dropped:
            dropped, self._num_dropped = self._num_dropped, 0
            message = f"The database was away for too long: {dropped} points and log events were dropped."
            self.submit(Part(summary={"warnings_add": [message]}))

    def _settle(self, ticket: int, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            callback()
        with self._changed:
            self._num_stored = max(self._num_stored, ticket)
            self._changed.notify_all()


def _is_empty(batch: Batch) -> bool:
    contents = (batch.events, batch.summary, batch.epoch_rows, batch.checkpoint, batch.points, batch.artifacts)
    return not any(contents)


def _merge_summary(into: dict[str, Any], new: dict[str, Any]) -> None:
    added = [*into.get("warnings_add", []), *new.get("warnings_add", [])]
    into.update(new)
    if added:
        into["warnings_add"] = added
