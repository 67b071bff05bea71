"""The one HTTP client of the service, for the command line and for scripts."""

from heimdall.client.client import HeimdallClient
from heimdall.client.errors import DownloadError, RefusedError, ServerUnreachableError

__all__ = ["DownloadError", "HeimdallClient", "RefusedError", "ServerUnreachableError"]
