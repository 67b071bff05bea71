"""What can go wrong, one class a case. The message is one sentence a person can act on."""

from collections.abc import Iterable
from typing import Any


class HeimdallError(Exception):
    """Base of all errors this product raises on purpose."""

    status_code = 500
    code = "internal"


class NotFoundError(HeimdallError):
    status_code = 404
    code = "not_found"


class JobNotFoundError(NotFoundError):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Training job {job_id} not found")
        self.job_id = job_id


class DatasetNotFoundError(NotFoundError):
    code = "dataset_not_found"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"Dataset {dataset_id} not found")
        self.dataset_id = dataset_id


class ArtifactNotFoundError(NotFoundError):
    code = "artifact_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"Artifact {name} not found")
        self.name = name


class ConflictError(HeimdallError):
    """Not possible in the present status."""

    status_code = 409
    code = "conflict"

    @classmethod
    def of(cls, action: str, status: str, allowed: Iterable[str]) -> "ConflictError":
        names = ", ".join(sorted(allowed))
        return cls(f"Cannot {action} a job that is {status}; this is possible from: {names}.")


class InvalidInputError(HeimdallError):
    """A value that cannot be accepted. `errors` lists `{"loc": [...], "msg": "..."}`, an empty `loc` for the whole."""

    status_code = 422
    code = "invalid_input"

    def __init__(self, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.errors = errors or [{"loc": [], "msg": detail}]


class BadPathError(HeimdallError):
    """A path that leaves its folder."""

    status_code = 400
    code = "bad_path"


class UnavailableError(HeimdallError):
    """A part the request needs is down."""

    status_code = 503
    code = "unavailable"


class BrokerUnavailableError(UnavailableError):
    code = "broker_unavailable"


class ArtifactsRefusedError(HeimdallError):
    """The object store answers and says no: trying again helps nobody."""

    status_code = 503
    code = "unavailable"


class LeaseLostError(HeimdallError):
    """The attempt no longer holds its job: write nothing more, stop. (Of a dataset: DatasetLeaseLostError.)"""

    code = "lease_lost"


class DatasetLeaseLostError(HeimdallError):
    """Another job makes this dataset now. The attempt may hold its own job all the same."""

    code = "dataset_lease_lost"


class RequestChangedError(HeimdallError):
    """What the user asks of the job changed meanwhile: read it again and decide again."""

    code = "request_changed"


class InvalidConfigError(HeimdallError):
    """A trainer cannot run this config here; the job fails with reason `invalid_config`."""

    status_code = 422
    code = "invalid_config"


class CheckpointDamagedError(HeimdallError):
    """A checkpoint is missing or does not match its checksum."""

    status_code = 409
    code = "checkpoint_damaged"


class StartRefusedError(HeimdallError):
    """The service cannot start like this; the message says what to do. The process ends with code 2."""

    status_code = 503
    code = "start_refused"


class DatabaseRefusedError(StartRefusedError):
    """The database cannot be used as it is."""

    code = "database_refused"


class DatabaseOutdatedError(DatabaseRefusedError):
    """The database's tables are of an older version; `heimdall migrate` brings them up to date."""

    code = "database_outdated"
