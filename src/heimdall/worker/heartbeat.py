"""Says that the attempt lives and learns what is asked of it, on a thread of its own."""

import faulthandler
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from heimdall.domain.errors import DatasetLeaseLostError, LeaseLostError, UnavailableError
from heimdall.domain.ports import AttemptStore
from heimdall.domain.signals import ChangeSignal
from heimdall.worker.stopping import StopFlag

logger = logging.getLogger(__name__)

AWAY_SECONDS = 0.2  # a database that is away is not waited for any longer
SLOWEST_SECONDS = 10.0


class Heartbeat:
    """Raises the counter every `beat_seconds`; polls for a request every `look_seconds` when something was written."""

    def __init__(
        self,
        attempts: AttemptStore,
        job_id: str,
        token: str,
        *,
        stop: StopFlag,
        changes: ChangeSignal,
        on_held: Callable[[str], None] = lambda stack: None,
        beat_seconds: float = 2.0,
        look_seconds: float = 0.5,
    ) -> None:
        self._attempts = attempts
        self._job_id = job_id
        self._token = token
        self._stop = stop
        self._changes = changes
        self._beat_seconds = beat_seconds
        self._look_seconds = look_seconds
        self._watchdog = InterpreterWatchdog(on_held)
        self._wake = threading.Event()
        self._done = threading.Condition()
        self._num_asked = 0  # polls asked for,
        self._num_done = 0  # those tried since,
        self._num_learned = 0  # and those of them that the database answered
        self._poll_seconds = 0.0  # how long the newest answer took
        self._is_away = False
        self._is_closed = False
        self._next_beat = 0.0
        self.also: Callable[[], None] | None = None  # keeps a dataset's lease alive beside the job's
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def poll(self, timeout: float = 2.0) -> bool:
        """Learn what is requested now; False when the database did not say (the flag holds what was known before).

        Only a poll that begins after the call counts. A database that has just answered slowly may be as slow again.
        """
        with self._done:
            self._num_asked += 1
            mine = self._num_asked
            self._wake.set()
            longest = max(timeout, min(3 * self._poll_seconds, SLOWEST_SECONDS))
            self._done.wait_for(lambda: self._num_done >= mine, AWAY_SECONDS if self._is_away else longest)
            return self._num_learned >= mine

    def close(self) -> None:
        self._is_closed = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._is_closed:
                self._watchdog.expect_return(self._look_seconds)
                self._wake.wait(self._look_seconds)
                self._wake.clear()
                self._watchdog.returned()
                self._try_step()
        except LeaseLostError:
            self._stop.lose_lease()
        finally:
            self._answer(sys.maxsize, is_learned=False)  # to every poll from now on
            self._watchdog.close()

    def _try_step(self) -> None:
        with self._done:
            asked = self._num_asked
        try:
            self._step(is_asked=asked > self._num_done)
        except LeaseLostError:
            raise
        except Exception as error:  # without a heartbeat the job would be taken from a worker that lives
            if not self._is_away:
                is_known = isinstance(error, UnavailableError)
                logger.warning("The heartbeat fails and tries on: %s", error, exc_info=not is_known)
            self._is_away = True
            self._answer(asked, is_learned=False)
        else:
            self._is_away = False
            self._answer(asked, is_learned=True)

    def _step(self, *, is_asked: bool) -> None:
        begun = time.monotonic()
        if begun >= self._next_beat:
            self._stop.see(self._attempts.heartbeat(self._job_id, self._token))
            self._next_beat = begun + self._beat_seconds
            self._beat_also()
        elif is_asked or self._changes.poll():
            self._stop.see(self._attempts.requested(self._job_id, self._token))
        else:
            return
        self._poll_seconds = time.monotonic() - begun

    def _answer(self, asked: int, *, is_learned: bool) -> None:
        with self._done:
            self._num_done = asked
            if is_learned:
                self._num_learned = asked
            self._done.notify_all()

    def _beat_also(self) -> None:
        also = self.also
        if also is None:
            return
        try:
            also()
        except DatasetLeaseLostError as error:  # the trainer is refused when it publishes
            logger.warning("%s", error)
            self.also = None


class InterpreterWatchdog:
    """Notices code that holds the interpreter for long, with the stack that held it.

    The stack is written by a C thread of faulthandler's, which needs no interpreter.
    """

    def __init__(self, on_held: Callable[[str], None], *, limit_seconds: float = 5.0) -> None:
        self._on_held = on_held
        self._limit_seconds = limit_seconds
        self._stack = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._due = 0.0

    def expect_return(self, wait_seconds: float) -> None:
        faulthandler.dump_traceback_later(wait_seconds + self._limit_seconds, file=self._stack)
        self._due = time.monotonic() + wait_seconds

    def returned(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        held_seconds = time.monotonic() - self._due
        if held_seconds < self._limit_seconds:
            return
        self._stack.seek(0)
        stack = self._stack.read().decode("utf-8", "replace").strip()
        self._stack.seek(0)
        self._stack.truncate()
        where = f":\n{stack}" if stack else "."
        self._on_held(f"The interpreter was held for {held_seconds:.1f} s, in which no heartbeat was sent{where}")

    def close(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        self._stack.close()
