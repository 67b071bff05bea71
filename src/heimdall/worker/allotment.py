"""Which GPUs a job gets. While it runs, nobody else gets them."""

from collections.abc import Sequence

from heimdall.domain.attempt import Outcome
from heimdall.domain.job import Job, Reason, devices_of
from heimdall.domain.lifecycle import Action


def allot(job: Job, free: Sequence[str]) -> list[str]:
    """Some of `free`: as many as the job must have, or as its config can use when it takes a GPU only if there is one.

    A job with neither sees none, so that two jobs never share a GPU by accident.
    """
    if job.gpus:
        return list(free[: job.gpus])
    if job.config.get("accelerator") != "auto":
        return []
    wanted = devices_of(job.config)
    return list(free[:wanted]) if wanted <= len(free) else []


def refusal(job: Job, num_gpus: int) -> Outcome:
    """The end of a job that could never run here."""
    message = (
        f"The job needs {job.gpus} GPU(s) and this machine, the only one here, has {num_gpus}; lower devices or "
        "resources.gpus, or set accelerator to cpu."
    )
    return Outcome(action=Action.FAIL, reason=Reason.INVALID_CONFIG, error_message=message)
