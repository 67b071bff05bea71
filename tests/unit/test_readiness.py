"""A probe tells of what hangs without hanging."""

import threading
import time

from heimdall.bootstrap.readiness import Probe
from heimdall.domain.errors import ArtifactsRefusedError


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
