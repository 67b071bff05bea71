"""Files of jobs and datasets under write-once keys: a local folder, or an object store by URL."""

from heimdall.artifacts.local import LocalArtifacts

__all__ = ["LocalArtifacts"]
