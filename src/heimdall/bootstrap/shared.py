"""What several processes on several machines must share before they may start."""

from heimdall.domain.errors import StartRefusedError
from heimdall.settings import Settings


def require_shared(settings: Settings, command: str) -> None:
    """Raises: StartRefusedError naming what is missing."""
    if not settings.has_shared_database:
        raise StartRefusedError(
            f"`heimdall {command}` needs a database that many processes can share: set HEIMDALL_DATABASE_URL to "
            "postgresql://…; on one machine `heimdall up` needs none."
        )
    if not settings.artifacts_url:
        raise StartRefusedError(
            f"`heimdall {command}` needs one place for files that all processes reach: set HEIMDALL_ARTIFACTS_URL to "
            "s3://bucket/prefix or to the file:// address of a shared folder; on one machine `heimdall up` needs none."
        )
