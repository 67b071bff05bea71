"""From POST to the first training batch, on a warm server with a ready dataset."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

from pairs import save

PORT = 8978
API = f"http://127.0.0.1:{PORT}/api/v1/training"
BARS = {"triangulation": 0.5, "convnext_atto": 1.0}
NUM_RUNS = 15
SMALL = {"n_mels": 32, "n_fft": 512, "hop_length": 256, "pretrained": False}


def call(method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{API}{path}", data=data, method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_warm() -> None:
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5) as answer:
                if "warming" not in json.load(answer)["down"]:
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)


def wait_ended(job_id: str) -> dict[str, Any]:
    """Looks rarely, because looking takes a processor from what is measured."""
    while (job := call("GET", f"/jobs/{job_id}")["job"])["status"] not in {"completed", "failed", "cancelled"}:
        time.sleep(1.5)
    if job["status"] != "completed":
        raise RuntimeError(job["error_message"])
    return job


def seconds_to_first_batch(architecture: str, dataset_id: str) -> tuple[float, float]:
    """From the request to the first batch's begin (phase training) and to its end (first point of `train_loss`)."""
    config = {"model_architecture": architecture, "epochs": 1, "num_workers": 0, "dataset_id": dataset_id}
    if architecture != "triangulation":
        config |= SMALL
    sent = time.time()
    job_id = call("POST", "/jobs", {"config": config})["id"]
    time.sleep(1.5)
    job = wait_ended(job_id)
    events = call("GET", f"/jobs/{job['id']}/events?types=training:phase")["events"]
    begun = next(event["timestamp"] for event in events if event["data"]["phase"] == "training")
    buckets = call("GET", f"/jobs/{job['id']}/series/train_loss?max_points=10000")["buckets"]
    return to_unix(begun) - sent, to_unix(buckets[0]["time"]) - sent


def to_unix(moment: Any) -> float:
    return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else float(moment)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        heimdall = Path(sys.executable).with_name("heimdall")
        command = [heimdall, "up", "--port", str(PORT), "--data-dir", folder]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_warm()
            made = call("POST", "/synthetic/generate", {"name": "bench", "num_samples": 48})
            wait_ended(made["job_id"])
            figures: dict[str, Any] = {"bars_seconds": BARS, "num_runs": NUM_RUNS}
            for architecture, bar in BARS.items():
                seconds_to_first_batch(architecture, made["dataset_id"])
                runs = [seconds_to_first_batch(architecture, made["dataset_id"]) for _ in range(NUM_RUNS)]
                figures[architecture] = {}
                for name, seconds in zip(("begin", "end"), zip(*runs, strict=True), strict=True):
                    low, middle, high = statistics.quantiles(seconds, n=4)
                    spread = f"{low:.3f} to {high:.3f}; bar {bar} s"
                    print(f"{architecture}, {name} of the first batch: {middle:.3f} s ({spread})")
                    figures[architecture][name] = {"median": middle, "lower_quartile": low, "upper_quartile": high}
            save("first_batch", figures)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
