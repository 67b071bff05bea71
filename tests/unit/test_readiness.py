"""A probe tells of what hangs without hanging."""

import threading
import time
from pathlib import Path

from heimdall.artifacts import RemoteArtifacts
from heimdall.bootstrap.readiness import Probe, artifact_probe
from heimdall.domain.errors import ArtifactsRefusedError
from tests.services.s3 import S3Server


def test_what_hangs_is_not_waited_for_and_not_asked_twice() -> None:
    asked: list[int] = []
    may_answer = threading.Event()

    def ask() -> None:
        asked.append(1)
        may_answer.wait()

    probe = Probe(ask)
    began = time.monotonic()
    assert not probe.answers(0.05)
    assert not probe.answers(0.05)
    assert time.monotonic() - began < 5
    assert len(asked) == 1
    may_answer.set()
    assert probe.answers(5)
    assert probe.answers(5)
    assert len(asked) >= 2


def test_what_refuses_does_not_answer() -> None:
    def refuse() -> None:
        raise ArtifactsRefusedError("The object store refuses.")

    assert not Probe(refuse).answers(5)


def test_a_bucket_that_is_not_there_is_not_ready(s3_server: S3Server, tmp_path: Path) -> None:
    there, not_there = s3_server.store(s3_server.new_bucket()), s3_server.store("no-such-bucket")
    assert artifact_probe(RemoteArtifacts(there, cache=tmp_path)).answers(5)
    assert not artifact_probe(RemoteArtifacts(not_there, cache=tmp_path)).answers(5)
