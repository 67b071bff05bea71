"""Walks a running service through a pause and a resume, and checks each promise on the way.

    .venv/bin/python scripts/test_pause_resume.py [--url http://127.0.0.1:8001]

Where the service wants a token: HEIMDALL_TOKEN holds one of role operator. Exits with 0 when every check holds, with 1
at the first one that does not; that one is told with what the service answered last.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

EPOCHS = 12
CONFIG = {"epochs": EPOCHS, "batch_size": 32, "num_workers": 0, "early_stop_patience": 0, "seed": 7}
PAUSE_CHECKPOINT = "checkpoints/pause_checkpoint.pth"
SHOWN_CHARACTERS = 600


class CheckError(Exception):
    """A promise that did not hold."""


class Walk:
    def __init__(self, url: str, seconds: float) -> None:
        token = os.environ.get("HEIMDALL_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._api = httpx2.Client(base_url=f"{url}/api/v1/training", timeout=30, headers=headers)
        self._seconds = seconds
        self._num_checks = 0
        self._came = "no answer"

    def check(self, holds: object, what: str) -> None:
        if not holds:
            raise CheckError(f"{what}; what came last: {self._came}")
        self._num_checks += 1
        print(f"  ok  {what}")

    def send(self, method: str, path: str, status: int, **arguments: Any) -> httpx2.Response:
        answer = self.ask(method, path, **arguments)
        self.check(answer.status_code == status, f"{method} {path} answers {status}")
        return answer

    def read(self, path: str, **arguments: Any) -> Any:
        """The JSON of a GET that a check needs and that is none itself."""
        answer = self.ask("GET", path, **arguments)
        if not answer.is_success:
            raise CheckError(f"GET {path} answers 200; what came last: {self._came}")
        return answer.json()

    def ask(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        answer = self._api.request(method, path, **arguments)
        self._came = f"{method} {path}: {answer.status_code} {detail_of(answer)}"
        return answer

    def job(self, job_id: str) -> dict[str, Any]:
        return self.read(f"/jobs/{job_id}")["job"]

    def wait(self, job_id: str, reached: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._seconds
        while not reached(job := self.job(job_id)):
            if time.monotonic() > deadline or (job["status"] in {"failed", "cancelled"}):
                raise CheckError(f"{what}; the job is {job['status']}: {job['error_message']}")
            time.sleep(0.05)
        self.check(True, what)
        return job

    def run(self) -> int:
        job_id = self.create()
        paused = self.pause(job_id)
        self.verify_checkpoint(job_id, paused)
        self.resume(job_id, paused)
        self.completion(job_id)
        return self._num_checks

    def create(self) -> str:
        print("Create")
        job = self.send("POST", "/jobs", 201, json={"job_name": "pause and resume", "config": CONFIG}).json()
        self.check(job["status"] == "queued" and job["celery_task_id"], "the new job is queued under a task id")
        self.wait(job["id"], lambda seen: seen["current_epoch"] >= 2, "it has trained two epochs")
        return job["id"]

    def pause(self, job_id: str) -> dict[str, Any]:
        print("Pause")
        asked = self.send("POST", f"/jobs/{job_id}/pause", 200).json()
        self.check(
            asked["status"] == "running" and asked["requested"] == "pause", "it stays running until its state is saved"
        )
        self.send("POST", f"/jobs/{job_id}/pause", 200)
        paused = self.wait(job_id, lambda seen: seen["status"] == "paused", "it pauses at the end of the epoch")
        self.check(paused["requested"] is None, "the request is cleared")
        num_epochs = paused["current_epoch"] - asked["current_epoch"]
        # The answer counts epochs that are saved: while one is being saved, the next one runs already.
        had_begun = self.had_begun(job_id)
        self.check(num_epochs <= 1 or (num_epochs == 2 and had_begun), "within the epoch that was running")
        self.check(paused["pause_checkpoint_path"] == PAUSE_CHECKPOINT, "the pause checkpoint is named")
        self.send("POST", f"/jobs/{job_id}/pause", 200)  # asked for twice
        return paused

    def had_begun(self, job_id: str) -> bool:
        """Whether the epoch that the job paused after had begun when the pause was asked for."""
        newest = self.read(f"/jobs/{job_id}/metrics", params={"limit": 1})[-1]
        began_at = datetime.fromisoformat(newest["timestamp"]) - timedelta(seconds=newest["duration_seconds"])
        events = self.read(f"/jobs/{job_id}/events", params={"limit": 10_000})["events"]
        asked_at = [event["timestamp"] for event in events if event["event"] == "training:requested"][-1]
        return began_at <= datetime.fromisoformat(asked_at)

    def verify_checkpoint(self, job_id: str, paused: dict[str, Any]) -> None:
        print("Verify the pause checkpoint")
        listed = {entry["kind"]: entry for entry in self.read(f"/jobs/{job_id}/checkpoints")}
        self.check("pause" in listed, "the checkpoint list has it")
        self.check(listed["pause"]["epoch"] == paused["current_epoch"], "it is of the epoch the job stopped at")
        data = self.send("GET", f"/jobs/{job_id}/artifacts/{PAUSE_CHECKPOINT}", 200).content
        self.check(len(data) == listed["pause"]["size_bytes"], "its size is the listed one")
        self.check(hashlib.sha256(data).hexdigest() == listed["pause"]["sha256"], "its checksum is the listed one")
        self.verify_content(data, paused)

    def verify_content(self, data: bytes, paused: dict[str, Any]) -> None:
        try:
            import torch  # noqa: PLC0415 - the script runs without it, with one check less
        except ImportError:
            print("  --  torch is not installed here: the content was not looked into")
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pth"
            path.write_bytes(data)
            saved = torch.load(path, weights_only=True)
        self.check(saved["epoch"] == paused["current_epoch"], "it loads with weights_only=True and holds that epoch")
        self.check(saved["model_state_dict"] and saved["optimizer_state_dict"], "it holds weights and optimizer state")

    def resume(self, job_id: str, paused: dict[str, Any]) -> None:
        print("Resume")
        resumed = self.send("POST", f"/jobs/{job_id}/resume", 200).json()
        self.check(resumed["status"] == "queued", "it is queued again")
        self.check(resumed["resume_epoch"] == paused["current_epoch"] + 1, "it goes on with the next epoch")
        self.check(resumed["celery_task_id"] != paused["celery_task_id"], "under a new task id")
        self.wait(job_id, lambda seen: seen["current_epoch"] > paused["current_epoch"], "it trains on")
        self.check(self.job(job_id)["pause_checkpoint_path"] is None, "the pause checkpoint is used up")

    def completion(self, job_id: str) -> None:
        print("Completion")
        done = self.wait(job_id, lambda seen: seen["status"] == "completed", "it completes")
        self.check(done["progress_percent"] == 100 and done["current_epoch"] == EPOCHS, "all epochs are done")
        self.check((done["attempt"], done["restarts"]) == (2, 0), "in two attempts, none of them a restart")
        rows = self.read(f"/jobs/{job_id}/metrics", params={"limit": 1000})
        self.check([row["epoch"] for row in rows] == list(range(1, EPOCHS + 1)), "every epoch has one row")
        events = self.read(f"/jobs/{job_id}/events", params={"limit": 10_000})["events"]
        self.check([event["seq"] for event in events] == list(range(1, len(events) + 1)), "the log has no hole")
        self.send("POST", f"/jobs/{job_id}/resume", 409)


def detail_of(answer: httpx2.Response) -> str:
    """A problem's sentence, else the beginning of what came."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "application/problem+json":
        return str(answer.json().get("detail"))
    if kind == "application/json" or kind.startswith("text/"):
        return answer.text[:SHOWN_CHARACTERS]
    return f"{len(answer.content)} bytes of {kind or 'no type'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8001", help="the service to walk through")
    parser.add_argument("--seconds", type=float, default=180, help="how long a step may take")
    arguments = parser.parse_args()
    try:
        num_checks = Walk(arguments.url, arguments.seconds).run()
    except CheckError as failure:
        print(f"FAIL  {failure}", file=sys.stderr)
        return 1
    except (httpx2.HTTPError, ValueError) as failure:  # nobody answers, or with something that is no JSON
        print(f"FAIL  the service at {arguments.url} does not answer as it should: {failure}", file=sys.stderr)
        return 1
    print(f"All {num_checks} checks hold.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
