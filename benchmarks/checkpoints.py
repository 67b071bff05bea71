"""What checkpoints cost: training of convnext_atto with a checkpoint every epoch, beside the same without any.

The checkpoints are a job's own: snapshot, durable file, checksums, one transaction in SQLite, retention. Measured is
the steady state, in which the file of one epoch is written while the next one trains.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from heimdall.artifacts import LocalArtifacts
from heimdall.datasets.reader import open_dataset
from heimdall.domain.attempt import WorkerInfo
from heimdall.domain.job import Job, NewJob
from heimdall.domain.ports import Stores
from heimdall.sdk import DatasetFolder, EpochReport
from heimdall.sdk.testing import FakeContext
from heimdall.store import open_database, open_stores, prepare
from heimdall.trainers.localization.data import select, survey
from heimdall.trainers.localization.spec import TrainingConfig
from heimdall.trainers.localization.train import build_task
from heimdall.trainers.loop import Loop
from heimdall.trainers.synthetic.spec import GenerateConfig
from heimdall.trainers.synthetic.train import generate_into
from heimdall.worker.checkpoints import Checkpoints
from heimdall.worker.processes import JOB_ENVIRONMENT
from heimdall.worker.spool import Spool
from heimdall.worker.stopping import StopFlag
from heimdall.worker.writer import Writer
from pairs import paired, save

BAR = 1.05
NUM_SAMPLES = 200  # an epoch takes 2 s or more on two cores
PAIRS = 31
THREADS = os.cpu_count() or 1
CONFIG = TrainingConfig(
    model_architecture="convnext_atto",
    pretrained=False,
    epochs=1000,
    batch_size=16,
    num_workers=0,
    n_mels=32,
    n_fft=512,
    hop_length=256,
    min_snr_db=0.0,
    early_stop_patience=0,
)


class Saving(FakeContext):
    """Hands each epoch to `checkpoints`, as a job's context does."""

    checkpoints: Checkpoints

    def finish_epoch(self, report: EpochReport) -> None:
        self.checkpoints.save(report)


class Switched(Loop):
    """One loop for both sides: two of them differ by where their memory lies."""

    saves = True

    def _report(self) -> None:
        if self.saves:
            super()._report()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        generate_into(
            data,
            GenerateConfig(name="checkpoints", num_samples=NUM_SAMPLES),
            progress=lambda *_: None,
            raise_if_stopped=lambda: None,
        )
        ratio, cpu_ratio, size_bytes = measure(Path(folder), data)
    megabytes = size_bytes / 1e6
    print(f"epoch of {ratio.theirs:.2f} s, checkpoint of {megabytes:.1f} MB: with / without {ratio} (bar {BAR})")
    print(f"processor time with / without {cpu_ratio:.3f}")
    figures = {
        "samples": NUM_SAMPLES,
        "threads": THREADS,
        "epoch_seconds": ratio.theirs,
        "checkpoint_bytes": size_bytes,
    }
    save("checkpoints", {"bar": BAR, **figures, "ratio": ratio, "processor_ratio": cpu_ratio})


def measure(folder: Path, data: Path) -> Any:
    """The ratio of the times, of the processor's times, and the size of a checkpoint."""
    url = f"sqlite:///{folder / 'heimdall.db'}"
    prepare(url, "upgrade")
    database = open_database(url)
    stores = open_stores(database)
    job = claimed(stores)
    writer = Writer(stores.attempts, job.id, job.lease_token or "", spool=Spool(folder / "spool"), stop=StopFlag())
    writer.start()
    context = Saving(folder=folder, config=CONFIG.model_dump(), threads=THREADS)
    context.checkpoints = Checkpoints(job, stores, LocalArtifacts(folder / "files", cache=folder / "cache"), writer)
    loop = open_loop(context, data)

    processor: dict[bool, list[float]] = {True: [], False: []}

    def timed(*, saves: bool) -> float:
        """Seconds of an epoch in the steady state; the processor's seconds go to `processor`."""
        loop.saves = saves
        loop.run_epoch(loop.epoch + 1)  # not measured: its file is written in what is
        wall, cpu = time.perf_counter(), time.process_time()
        loop.run_epoch(loop.epoch + 1)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        context.checkpoints.wait()
        processor[saves].append(cpu)
        return wall

    ratio = paired(lambda: timed(saves=True), lambda: timed(saves=False), pairs=PAIRS)
    pairs = zip(processor[True][1:], processor[False][1:], strict=True)
    cpu_ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    size_bytes = stores.attempts.checkpoints(job.id)[0].file.size_bytes
    writer.abandon()
    database.close()
    return ratio, cpu_ratio, size_bytes


def open_loop(context: FakeContext, data: Path) -> Switched:
    found = survey(open_dataset(data))
    dataset = DatasetFolder(id="checkpoints", name="checkpoints", path=data, sha256="")
    selection = select(found.mean_snr_db, dataset, CONFIG)
    task = build_task(context, CONFIG, "convnext_atto", folder=dataset, found=found, selection=selection)
    loop = Switched(context, CONFIG, task)
    loop.prepare()
    return loop


def claimed(stores: Stores) -> Job:
    new = NewJob(
        id=str(uuid4()),
        job_name="benchmark",
        kind="localization",
        config=CONFIG.model_dump(mode="json"),
        total_epochs=1000,
    )
    stores.jobs.create(new)
    stores.jobs.dispatch(new.id, str(uuid4()))
    job = stores.attempts.claim(WorkerInfo(name="benchmark", host="here", slots=1), free_gpus=0)
    assert job is not None
    return job


if __name__ == "__main__":
    if not JOB_ENVIRONMENT.items() <= os.environ.items():  # threads that wait must not spin, as in a job
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **JOB_ENVIRONMENT})
    main()
