"""What a call can end with: the domain's errors where one fits, else one of these."""

from collections.abc import Mapping
from typing import Any

from heimdall.domain.errors import (
    BadPathError,
    ConflictError,
    HeimdallError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)


class ServerUnreachableError(HeimdallError):
    """Nobody answers at the server's address, or the connection broke."""

    status_code = 503
    code = "server_unreachable"


class DownloadError(HeimdallError):
    """A downloaded file is not what the server has: too short, or its checksum differs."""

    code = "download_damaged"


class RefusedError(HeimdallError):
    """Any other answer that is no success: no access, too large, too many requests, a fault of the server."""

    def __init__(self, detail: str, status_code: int, code: str) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.code = code


_BY_STATUS: Mapping[int, type[HeimdallError]] = {
    400: BadPathError,
    404: NotFoundError,
    409: ConflictError,
    503: UnavailableError,
}

# The service explains each of its own answers.
PROXY_WANTS_A_PASSWORD = (
    "A proxy before the service asks for a user and a password; give them in the address: https://user:password@host."
)


def error_of(status: int, problem: Mapping[str, Any]) -> HeimdallError:
    """The exception for an `application/problem+json` answer; its message is the problem's `detail`."""
    unexplained = PROXY_WANTS_A_PASSWORD if status == 401 else f"The server answered {status}."
    detail = str(problem.get("detail") or problem.get("title") or unexplained)
    if status == 422:
        return InvalidInputError(detail, list(problem.get("errors", [])))
    if status in _BY_STATUS:
        error = _BY_STATUS[status](detail)
        error.code = str(problem.get("code", error.code))
        return error
    return RefusedError(detail, status, str(problem.get("code", "refused")))
