"""One attempt, from its first heartbeat to its last transaction, in a process of its own."""

import faulthandler
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from heimdall.domain.artifact_store import ArtifactStore
from heimdall.domain.attempt import ArtifactType, Outcome
from heimdall.domain.errors import (
    LeaseLostError,
    RequestChangedError,
    UnavailableError,
)
from heimdall.domain.job import Job, Reason, Requested
from heimdall.domain.lifecycle import Action
from heimdall.domain.log_lines import lines_of
from heimdall.domain.ports import Stores
from heimdall.domain.signals import ChangeSignal
from heimdall.sdk.kept_config import read_config
from heimdall.sdk.registry import load_run, spec_of
from heimdall.sdk.spec import TrainerSpec
from heimdall.trainers.synthetic.spec import DEFAULT_CONFIG
from heimdall.worker.checkpoints import Checkpoints
from heimdall.worker.context import Parts, WorkerContext
from heimdall.worker.datasets import JobDatasets
from heimdall.worker.failures import (
    DiskTooSmallError,
    is_link_broken,
    is_stop,
    is_success,
    message_of,
    reason_of,
    traceback_of,
    was_loader_killed,
)
from heimdall.worker.files import AttemptFiles
from heimdall.worker.fork import ending_forks
from heimdall.worker.heartbeat import Heartbeat
from heimdall.worker.line_budget import LineBudget
from heimdall.worker.log_handler import LogHandler, log_to_output_after_fork
from heimdall.worker.output import OutputFollower
from heimdall.worker.patience import patient, patient_artifacts
from heimdall.worker.ranks import Death, Ranks, die_like, end_descendants
from heimdall.worker.reporter import Reporter
from heimdall.worker.spool import Spool
from heimdall.worker.stopping import StopFlag
from heimdall.worker.writer import Part, Writer

logger = logging.getLogger(__name__)

LINK_PATIENCE_SECONDS = 5.0  # for the death behind a broken link to show


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often an attempt does what; tests shorten it."""

    beat_seconds: float = 2.0
    look_seconds: float = 0.5
    flush_seconds: float = 0.2
    system_seconds: float = 10.0
    dataset_lease_seconds: float = 15.0


def run_attempt(
    job_id: str,
    token: str,
    *,
    stores: Stores,
    heartbeat_stores: Stores,
    artifacts: ArtifactStore,
    changes: ChangeSignal,
    data_dir: Path,
    threads: int,
    find_spec: Callable[[str], TrainerSpec] = spec_of,
    default_dataset: Mapping[str, Any] | None = None,
    pace: Pace | None = None,
    before_exit: Callable[[], object] = lambda: None,
) -> NoReturn:
    """Run the job whose lease `token` is and leave the process. Must be called in the main thread.

    `heartbeat_stores` have connections of their own, so that the heartbeat never queues behind other work.
    `default_dataset` is the config of the dataset named `default`, should this job have to make it. `before_exit` is
    called after the last transaction and must be quick.
    """
    faulthandler.enable()
    waiting = patient(stores)
    try:
        job = waiting.jobs.get(job_id)
        fixed = waiting.attempts.fix_manifest(job_id, token, {"threads": threads})
    except LeaseLostError:
        os._exit(0)
    attempt = Attempt(
        job,
        token,
        stores=stores,
        heartbeat_stores=heartbeat_stores,
        artifacts=artifacts,
        changes=changes,
        data_dir=data_dir,
        threads=fixed["threads"],
        find_spec=find_spec,
        default_dataset=default_dataset or DEFAULT_CONFIG.model_dump(mode="json"),
        pace=pace or Pace(),
        before_exit=before_exit,
    )
    attempt.run()


class Attempt:
    """Wires the parts together and decides how the attempt ends."""

    def __init__(
        self,
        job: Job,
        token: str,
        *,
        stores: Stores,
        heartbeat_stores: Stores,
        artifacts: ArtifactStore,
        changes: ChangeSignal,
        data_dir: Path,
        threads: int,
        find_spec: Callable[[str], TrainerSpec],
        default_dataset: Mapping[str, Any],
        pace: Pace,
        before_exit: Callable[[], object],
    ) -> None:
        self._job = job
        self._token = token
        self._stores = patient(stores)
        self._artifacts = patient_artifacts(artifacts)
        self._data_dir = data_dir
        self._threads = threads
        self._find_spec = find_spec
        self._before_exit = before_exit
        self._stop = StopFlag()
        self._files = AttemptFiles(data_dir, job.id, job.attempt)
        self._budget = LineBudget()
        self._writer = Writer(
            stores.attempts,
            job.id,
            token,
            spool=Spool(self._files.spool),
            stop=self._stop,
            flush_seconds=pace.flush_seconds,
        )
        self._heartbeat = Heartbeat(
            heartbeat_stores.attempts,
            job.id,
            token,
            stop=self._stop,
            changes=changes,
            on_held=self._warn,
            beat_seconds=pace.beat_seconds,
            look_seconds=pace.look_seconds,
        )
        self._checkpoints = Checkpoints(job, token, self._stores, self._artifacts, self._writer)
        self._datasets = JobDatasets(
            job,
            token,
            self._stores,
            self._artifacts,
            heartbeats=heartbeat_stores.datasets,
            default_config=default_dataset,
            lease_seconds=pace.dataset_lease_seconds,
        )
        self._reporter = Reporter(
            self._writer,
            OutputFollower(self._files, self._budget),
            began_at=(job.started_at or job.created_at).timestamp(),
            system_seconds=pace.system_seconds,
        )
        self._ranks = Ranks(self._rank_died)
        self._ending = threading.Lock()
        self._context: WorkerContext | None = None

    def run(self) -> NoReturn:
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        root = logging.getLogger()
        handler = LogHandler(self._writer.submit, self._budget)
        root.addHandler(handler)
        logging.captureWarnings(capture=True)
        log_to_output_after_fork(handler)
        os.register_at_fork(after_in_child=self._writer.forget)
        root.setLevel(logging.INFO)
        self._writer.start()
        self._heartbeat.start()
        self._reporter.start()
        self._end_with(self._work())

    def _end_with(self, outcome: Outcome) -> NoReturn:
        while True:
            try:
                self.end(outcome)
            except RequestChangedError:
                self._stop.see(self._ask_again())
                outcome = self._outcome_when_stopped()

    def _asked_to_stop(self, number: int, frame: object) -> None:
        self._stop.drain()

    def end(self, outcome: Outcome) -> None:
        """Store everything, then the outcome, then leave: the last transaction is the last act.

        Raises: RequestChangedError, and nothing has happened then.
        """
        with self._ending:
            try:
                self._reporter.read_output(is_last=True)
                self._flush()
                self._stores.attempts.end(self._job.id, self._token, outcome)
            except LeaseLostError:
                logger.info("Another worker has this job now")
            self._leave()

    def _flush(self) -> None:
        try:
            self._writer.flush(is_last=True)
        except Exception as error:
            if isinstance(error, LeaseLostError) or error is not self._stop.failure:
                raise
            logger.warning("The last records are lost: %s", error)  # the outcome tells why

    def _leave(self) -> NoReturn:
        """`os._exit`, because a normal exit of a process full of libraries takes a second."""
        self._before_exit()
        self._ranks.close()
        shutil.rmtree(self._files.scratch, ignore_errors=True)
        end_descendants()
        os._exit(0)

    def _rank_died(self, death: Death) -> None:
        """Another process of this job died first, so the job ends as that one did.

        Called in a thread of its own: the main thread may wait for the dead for ever.
        """
        logger.error("%s", death)
        if death.reason is not None:
            self._end_with(self._fail(death.reason, death.message))
        with self._ending:
            with suppress(LeaseLostError):
                self._writer.flush()
            die_like(death.code)

    def _work(self) -> Outcome:
        try:
            spec = self._find_spec(self._job.kind)
            self._check_disk()
            context = self._context = self._new_context(spec)
            if not (spec.makes_dataset and self._datasets.is_published()):
                self._train(spec, context)
            return self._finished(context)
        except LeaseLostError:
            self._stop.lose_lease()
            return self._outcome_when_stopped()
        except BaseException as error:  # noqa: BLE001 - a trainer may raise anything
            return self._outcome_of(error)

    def _train(self, spec: TrainerSpec, context: WorkerContext) -> None:
        try:
            with ending_forks():
                load_run(spec)(context)
        except SystemExit as error:
            if not is_success(error):
                raise

    def _outcome_of(self, error: BaseException) -> Outcome:
        if is_stop(error):
            return self._outcome_when_stopped()
        if was_loader_killed(error):
            self._die_with_loader()
        if is_link_broken(error) and (other := self._ranks.wait_for_failure(LINK_PATIENCE_SECONDS)):
            return self._fail(Reason(other["reason"]), other["message"])
        return self._failed(error)

    def _die_with_loader(self) -> NoReturn:
        """A loader process killed from outside counts as the job's own: whoever watches it knows whether that was for
        lack of memory (then it failed) or not (then it goes on from its last epoch)."""
        self._warn("A data loader process of this attempt was killed.")
        self._writer.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    def _new_context(self, spec: TrainerSpec) -> WorkerContext:
        kept = read_config(spec.config_model, self._job.config)
        for line in kept.warnings:
            self._warn(line)
        parts = Parts(
            job=self._job,
            token=self._token,
            run=spec.run,
            config=kept.values,
            threads=self._threads,
            stores=self._stores,
            artifacts=self._artifacts,
            files=self._files,
            cache_dir=self._data_dir / "cache",
            stop=self._stop,
            writer=self._writer,
            heartbeat=self._heartbeat,
            checkpoints=self._checkpoints,
            datasets=self._datasets,
            ranks=self._ranks,
            find_spec=self._find_spec,
            end=self.end,
        )
        return WorkerContext(parts)

    def _check_disk(self) -> None:
        """Raises: DiskTooSmallError, when the disk would be full after a few epochs."""
        kept = [saved for saved in self._stores.attempts.checkpoints(self._job.id) if not saved.is_deleted]
        needed = 3 * kept[0].file.size_bytes if kept else 0
        free = shutil.disk_usage(self._data_dir).free
        if free < needed:
            raise DiskTooSmallError(
                f"The disk has {free // 1_000_000} MB left and three checkpoints of this job take "
                f"{needed // 1_000_000} MB; free some space and retry the job."
            )

    def _finished(self, context: WorkerContext) -> Outcome:
        context.drain()
        if self._job.total_epochs and not context.epoch:
            context.warn("The trainer returned without finishing an epoch: nothing was trained.")
        self._heartbeat.poll()
        self._reporter.read_output()
        self._writer.flush()
        self._save_log()
        is_early = 0 < context.epoch < self._job.total_epochs
        reason = Reason.EARLY_STOPPED if is_early else Reason.FINISHED
        return Outcome(action=Action.FINISH, reason=reason, seen=self._stop.requested)

    def _save_log(self) -> None:
        """`log.txt`: every line so far. Written down first: storing it again must not store other bytes."""
        if self._context is None:
            return
        path = self._context.scratch() / "log.txt"
        with path.open("wb") as file:
            after = 0
            while lines := self._stores.history.logs(self._job.id, after=after, limit=10_000)[0]:
                file.writelines(f"{line['time']} {line['level']} {line['message']}\n".encode() for line in lines)
                after = lines[-1]["line"]

        def copy(target: BinaryIO) -> None:
            with path.open("rb") as source:
                shutil.copyfileobj(source, target)

        self._context.save_artifact("log.txt", ArtifactType.LOG.value, copy)

    def _outcome_when_stopped(self) -> Outcome:
        stop = self._stop
        if stop.is_lease_lost:
            self._leave()
        if stop.failure is not None:
            return self._failed(stop.failure)
        if stop.requested is Requested.CANCEL:
            return Outcome(action=Action.CANCELLED, reason=Reason.CANCELLED_BY_USER, seen=Requested.CANCEL)
        if stop.is_draining:
            self._wait_for_save()
            return Outcome(action=Action.RELEASED, seen=stop.requested)
        return self._fail(Reason.ERROR, "The trainer stopped although nobody had asked it to.")

    def _wait_for_save(self) -> None:
        """An epoch that is being saved still counts: less to do again elsewhere."""
        try:
            self._checkpoints.wait()
        except (OSError, LeaseLostError, UnavailableError) as error:
            logger.warning("The last epoch was not saved: %s", error)

    def _failed(self, error: BaseException) -> Outcome:
        lines = lines_of(traceback_of(error), "ERROR")
        return replace(self._fail(reason_of(error), message_of(error)), log_lines=lines)

    def _fail(self, reason: Reason, message: str) -> Outcome:
        return Outcome(action=Action.FAIL, reason=reason, error_message=message, seen=self._stop.requested)

    def _ask_again(self) -> Requested | None:
        try:
            return self._stores.attempts.requested(self._job.id, self._token)
        except LeaseLostError:
            self._stop.lose_lease()
            return None

    def _warn(self, message: str) -> None:
        first, *rest = message.splitlines()
        del rest
        self._writer.submit(Part(summary={"warnings_add": [first]}, log_lines=lines_of(message, "WARNING")))
