"""What may happen to a job, and when."""

import time
from dataclasses import dataclass
from enum import StrEnum

from hypothesis import strategies as st

from tests.e2e.service import ENDED, RunningService, wait_until

EPOCHS = 12


class Disturbance(StrEnum):
    PAUSE = "pause and resume"
    KILL_TRAINER = "kill -9 the job's process"
    KILL_SERVER = "kill -9 the server (API and slots loop)"
    KILL_BOTH = "kill -9 the job's process and its server"
    RESTART_SERVER = "stop and start the server"
    KILL_FORK_SERVER = "kill -9 the fork server"
    DELETE = "delete the job and ask for the dataset again"


@dataclass(frozen=True, slots=True)
class Blow:
    """`disturbance` comes `delay_seconds` after `after_epoch` epochs are complete."""

    disturbance: Disturbance
    after_epoch: int
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Case:
    """One corner of the matrix, as config fields."""

    model_architecture: str
    num_workers: int
    lr_scheduler: str

    def __str__(self) -> str:
        return f"{self.model_architecture}-{self.num_workers}-{self.lr_scheduler}"

    def config(self) -> dict[str, object]:
        return {
            "model_architecture": self.model_architecture,
            "num_workers": self.num_workers,
            "lr_scheduler": self.lr_scheduler,
            "epochs": EPOCHS,
            "batch_size": 16,
            "warmup_epochs": 2,
            "early_stop_patience": 6,
            "early_stop_delta": 0.0,
            "n_mels": 32,
            "n_fft": 512,
            "hop_length": 256,
            "pretrained": False if self.model_architecture != "triangulation" else None,
            "min_snr_db": 0.0,
            "seed": 11,
        }


_MATRIX = [
    Case(architecture, num_workers, scheduler)
    for architecture in ("triangulation", "convnext_atto")
    for num_workers in (0, 2)
    for scheduler in ("cosine", "step", "plateau")
]
# In such an order that the first few already hold every architecture, number of workers and scheduler.
CASES = [_MATRIX[5 * number % len(_MATRIX)] for number in range(len(_MATRIX))]
BLOWS = st.builds(
    Blow,
    st.sampled_from([disturbance for disturbance in Disturbance if disturbance is not Disturbance.DELETE]),
    after_epoch=st.integers(0, EPOCHS - 2),
    delay_seconds=st.floats(0, 0.4),
)
# Hypothesis tries the simplest example first, which here would be two pauses at the start, in every case again.
SIMPLEST = Blow(Disturbance.PAUSE, after_epoch=0, delay_seconds=0.0)
SCHEDULES = (
    st.lists(BLOWS, min_size=2, max_size=4)
    .filter(lambda blows: blows != [SIMPLEST, SIMPLEST])
    .map(lambda blows: sorted(blows, key=lambda blow: blow.after_epoch))
)

# A dataset job has no epochs and cannot be paused; it takes about `DATASET_SECONDS`.
DATASET_SAMPLES = 150_000
DATASET_SECONDS = 4.0
DATASET_SCHEDULES = st.lists(
    st.builds(
        Blow,
        st.sampled_from([disturbance for disturbance in Disturbance if disturbance is not Disturbance.PAUSE]),
        after_epoch=st.just(0),
        delay_seconds=st.floats(0, DATASET_SECONDS),
    ),
    min_size=1,
    max_size=3,
)


def strike(service: RunningService, job_id: str, blow: Blow) -> bool:
    """Wait for the moment and do it. Whether it hit: a job may have ended meanwhile, or have no process just then."""
    job = service.wait_job(
        job_id,
        lambda job: job["current_epoch"] >= blow.after_epoch or job["status"] in ENDED,
        seconds=180,
        what=f"the job reaches epoch {blow.after_epoch}",
    )
    time.sleep(blow.delay_seconds)  # any moment of an epoch may be hit: the delay is drawn, not waited for
    if blow.disturbance is Disturbance.PAUSE:
        return pause_and_resume(service, job_id)
    return disturb(service, job_id, blow.disturbance) and job["status"] not in ENDED


def disturb(service: RunningService, job_id: str, disturbance: Disturbance) -> bool:
    """Whether there was something to hit."""
    match disturbance:
        case Disturbance.KILL_TRAINER:
            return service.kill_job(job_id)
        case Disturbance.KILL_SERVER:
            service.kill()
            service.start(warm=False)
        case Disturbance.KILL_BOTH:
            service.kill_job(job_id)
            service.kill()
            service.start(warm=False)
        case Disturbance.RESTART_SERVER:
            service.stop()
            service.start(warm=False)
        case Disturbance.KILL_FORK_SERVER:
            service.kill_fork_server()
        case Disturbance.PAUSE | Disturbance.DELETE:
            raise AssertionError(f"{disturbance} needs more than a blow")
    return True


def pause_and_resume(service: RunningService, job_id: str) -> bool:
    """Pause as soon as the job runs. Whether it paused: in its last epoch it completes instead."""

    def asked() -> bool:
        answer = service.api.post(f"/jobs/{job_id}/pause")
        assert answer.status_code in {200, 409}, answer.text
        return answer.status_code == 200 or service.job(job_id)["status"] in ENDED

    wait_until(asked, seconds=90, what="the job can be paused")
    job = service.wait_job(
        job_id, lambda seen: seen["status"] == "paused" or seen["status"] in ENDED, what="the job pauses"
    )
    if job["status"] == "paused":
        answer = service.api.post(f"/jobs/{job_id}/resume")
        assert answer.status_code == 200, answer.text
        assert answer.json()["resume_epoch"] == job["current_epoch"] + 1
    return job["status"] == "paused"
