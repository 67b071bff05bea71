"""Keys of the artifact store and names of a job's artifacts: relative, `/`-separated, never climbing."""

from heimdall.domain.errors import BadPathError

PARTIAL_SUFFIX = ".partial"  # of files that are still being written


def checked_key(key: str) -> str:
    """`key` itself.

    Raises:
        BadPathError: it is empty, absolute, holds `.`/`..`, a backslash, a NUL or an empty part.
    """
    parts = key.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\\" in key or "\0" in key:
        raise BadPathError("The path leaves its folder; use the names that the artifact list shows.")
    return key
