"""Routes that create, list, change and steer jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

from heimdall.client.shapes import ActionAnswer, Job, JobDetails, JobPage
from heimdall.client.transport import Transport, given

ROOT = "/api/v1/training/jobs"


class JobRoutes:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        config: Mapping[str, Any],
        *,
        kind: str = "localization",
        job_name: str | None = None,
        priority: int | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        max_restarts: int | None = None,
        gpus: int | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """What is left out takes the server's default. With the same `idempotency_key` it creates only once.

        Raises: InvalidInputError, with `errors` naming the fields.
        """
        body = given(
            {
                "kind": kind,
                "config": dict(config),
                "job_name": job_name,
                "priority": priority,
                "tags": tags and list(tags),
                "notes": notes,
                "max_restarts": max_restarts,
                "resources": None if gpus is None else {"gpus": gpus},
            }
        )
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        return self._transport.post(ROOT, json=body, headers=headers)

    def page(
        self,
        *,
        status: Sequence[str] | None = None,
        kind: str | None = None,
        tag: str | None = None,
        q: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> JobPage:
        return self._transport.get(
            ROOT, status=status, kind=kind, tag=tag, q=q, sort=sort, limit=limit, offset=offset, cursor=cursor
        )

    def details(self, job_id: str) -> JobDetails:
        """Raises: NotFoundError."""
        return self._transport.get(f"{ROOT}/{job_id}")

    def get(self, job_id: str) -> Job:
        """Raises: NotFoundError."""
        return self.details(job_id)["job"]

    def update(
        self,
        job_id: str,
        *,
        job_name: str | None = None,
        notes: str | None = None,
        tags: Sequence[str] | None = None,
        priority: int | None = None,
    ) -> Job:
        """Change what is given. Raises: ConflictError when the job runs and its priority is to change."""
        body = {"job_name": job_name, "notes": notes, "tags": tags, "priority": priority}
        return self._transport.patch(f"{ROOT}/{job_id}", json=given(body))

    def delete(self, job_id: str) -> None:
        """Stop the job if it runs and remove all it left. Takes up to 15 s. Raises: NotFoundError."""
        self._transport.send("DELETE", f"{ROOT}/{job_id}")

    def pause(self, job_id: str) -> ActionAnswer:
        """Ask for a pause at the end of the epoch. Raises: ConflictError."""
        return self._transport.post(f"{ROOT}/{job_id}/pause")

    def resume(self, job_id: str, *, from_last_good: bool = False) -> ActionAnswer:
        """Go on; `from_last_good` passes over a damaged pause checkpoint. Raises: ConflictError."""
        return self._transport.post(f"{ROOT}/{job_id}/resume", json={"from": "last_good"} if from_last_good else None)

    def cancel(self, job_id: str) -> ActionAnswer:
        """End the job. Raises: NotFoundError; ConflictError when it has ended."""
        return self._transport.post(f"{ROOT}/{job_id}/cancel")

    def retry(self, job_id: str) -> ActionAnswer:
        """Queue a failed or cancelled job again. Raises: NotFoundError; ConflictError when its status forbids it."""
        return self._transport.post(f"{ROOT}/{job_id}/retry")

    def clone(self, job_id: str, overrides: Mapping[str, Any] | None = None) -> Job:
        """A new job with the same config; `overrides` is a body as for `create`, of what shall differ."""
        return self._transport.post(f"{ROOT}/{job_id}/clone", json=dict(overrides or {}))
