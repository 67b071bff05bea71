"""The OpenAPI document is true: requests made from it meet no 5xx and no status it does not name."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from heimdall.jobs.request import JobRequest
from tests.api.installation import Installation

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ARGUMENTS = ["--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--seed", "7", "--mode", "all"]


def document_of(port: int) -> dict[str, Any]:
    return httpx2.get(f"http://localhost:{port}/openapi.json").json()


def test_the_older_spelling_is_left_out(port: int) -> None:
    paths = document_of(port)["paths"]
    assert "/api/v1/training/jobs" in paths
    assert not [path for path in paths if path.startswith("/v1")]


def test_every_error_is_a_problem(port: int) -> None:
    for path, operations in document_of(port)["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and status != "416":
                    assert "application/problem+json" in answer["content"], (path, method, status)


def test_every_reference_resolves(port: int) -> None:
    document = document_of(port)
    schemas = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]}
    assert used <= schemas
    assert "HTTPValidationError" not in schemas


def test_operation_ids_are_unique(port: int) -> None:
    paths = document_of(port)["paths"].values()
    ids = [operation["operationId"] for operations in paths for operation in operations.values()]
    assert len(ids) == len(set(ids))


def job_ids(installation: Installation) -> list[str]:
    """Jobs in several statuses, and one that does not exist."""
    done = installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 2})).id)
    done.start()
    done.log("a line")
    done.points("loss", dict.fromkeys(range(100), 1.0))
    done.finish_epoch()
    done.save("config.yaml", b"epochs: 2")
    done.finish()
    running = installation.worker.claim_job(installation.jobs.create(JobRequest(config={"epochs": 2})).id)
    running.finish_epoch()
    queued = installation.jobs.create(JobRequest(config={"epochs": 2}))
    return [done.job.id, running.job.id, queued.id, str(uuid4())]


def test_requests_made_from_the_document(port: int, installation: Installation, tmp_path: Path) -> None:
    """With ids of real jobs, so that it gets past the 404; the endless stream is left out, it has tests of its own."""
    ids = job_ids(installation)
    document = document_of(port)
    del document["paths"]["/api/v1/training/jobs/{job_id}/events/stream"]
    for operations in document["paths"].values():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "job_id":  # the others are not to be deleted early
                    parameter["schema"] = {"type": "string", "enum": ids[2:] if method == "delete" else ids}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "run", file, "--url", f"http://localhost:{port}", "--checks", CHECKS, *ARGUMENTS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    num_requests = re.search(r"([0-9]+) generated", done.stdout)
    assert num_requests is not None
    assert int(num_requests[1]) > 500
