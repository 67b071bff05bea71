"""Files of jobs and datasets under write-once keys: a local folder, or an object store by URL."""

from heimdall.artifacts.local import LocalArtifacts
from heimdall.artifacts.remote import RemoteArtifacts, open_object_store

__all__ = ["LocalArtifacts", "RemoteArtifacts", "open_object_store"]
