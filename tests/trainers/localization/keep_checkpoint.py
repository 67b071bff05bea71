"""Keeps a checkpoint of this release for the tests of later ones.

A real job of a real service makes it. Run `python -m tests.trainers.localization.keep_checkpoint` once with the code of
the release that is to be kept, and commit the folder `checkpoints/VERSION` that it makes: `job.pth`, the checkpoint of
epoch 2 of 4, and `job.json`, with the config as the job's row holds it, what its dataset was made from, and the losses
of its epochs.
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.e2e.service import RunningService

KEPT = Path(__file__).parent / "checkpoints"
EPOCH = 2
DATASET: dict[str, Any] = {"num_samples": 60, "use_random_receivers": False, "seed": 5}
CONFIG: dict[str, Any] = {
    "model_architecture": "triangulation", "epochs": 4, "batch_size": 16, "num_workers": 0, "min_snr_db": 0.0,
    "accelerator": "cpu", "lr_scheduler": "plateau", "early_stop_patience": 3, "keep_every": EPOCH, "seed": 7,
}  # fmt: skip


def keep(service: RunningService, folder: Path) -> None:
    accepted = service.api.post("/synthetic/generate", json={**DATASET, "name": "kept"}).json()
    service.wait_ended(accepted["job_id"])
    job_id = service.submit({**CONFIG, "dataset_id": accepted["dataset_id"]})
    job = service.wait_ended(job_id)
    assert job["status"] == "completed", job["error_message"]
    file = service.api.get(f"/jobs/{job_id}/artifacts/checkpoints/epoch_{EPOCH:04d}.pth").raise_for_status()
    (folder / "job.pth").write_bytes(file.content)
    rows = service.api.get(f"/jobs/{job_id}/metrics").json()
    losses = [{key: row[key] for key in ("epoch", "train_loss", "val_loss")} for row in rows]
    kept = {"epoch": EPOCH, "config": job["config"], "dataset": DATASET, "losses": losses}
    (folder / "job.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else KEPT / version("heimdall")
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as data:
        service = RunningService(Path(data)).start()
        try:
            keep(service, folder)
        finally:
            service.close()


if __name__ == "__main__":
    main()
