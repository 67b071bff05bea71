"""A response's body as a file that is either complete or not there."""

import hashlib
import os
import tempfile
from pathlib import Path

import httpx2

from heimdall.client.errors import DownloadError


def save(response: httpx2.Response, path: Path, *, sha256: str | None = None) -> None:
    """Write beside `path` under another name, check, then move into place.

    Raises:
        DownloadError: the checksum differs; `path` is as it was before.
        OSError: it cannot be written; the error names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        if sha256 is not None and digest.hexdigest() != sha256:
            raise DownloadError("the checksum of what arrived differs from the server's; try again.")
        part.replace(path)
    except OSError as error:  # of a full disk the system names no file, and else the one under the other name
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        part.unlink(missing_ok=True)
