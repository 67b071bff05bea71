"""A client that does not read: it costs a bounded amount of memory, slows nobody, and hears why it was closed."""

import resource
import threading
from contextlib import ExitStack

import httpx2
import pytest

from tests.api.installation import Installation
from tests.api.sockets import log_of, open_socket
from tests.api.worker import Run
from tests.e2e.service import wait_until

NUM_EVENTS, EVENT_CHARACTERS = 1_500, 20_000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heimdall.api.live.session.SEND_PATIENCE_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_log_reader_that_does_not_read_is_closed_and_can_come_back(
    port: int, installation: Installation, run: Run
) -> None:
    path = f"/ws/training/{run.job.id}?after="
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_socket(port, f"{path}0", max_queue=1, ping_interval=None) as slow:
        slow.receive()
        writing = threading.Thread(target=run.flood, args=[NUM_EVENTS, EVENT_CHARACTERS])
        writing.start()
        with open_socket(port, f"{path}0", max_size=None, max_queue=None) as quick:  # its thread reads all the while
            writing.join()
            run.finish()
            assert quick.rest()[2:] == log_of(installation, run.job.id)
            assert quick.close_code == 1000
        wait_until(lambda: installation.app.state.hub.num_sockets == 0, seconds=30, what="the server gives up on it")
        seen = slow.rest()
        assert slow.close_code == 4408
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < 250_000, "the log of 30 MB is held many times over"
    seq = seen[-1]["seq"]
    with open_socket(port, f"{path}{seq}", max_size=None) as back:
        assert back.rest()[2:] == log_of(installation, run.job.id)[seq:]


def test_a_watcher_of_everything_that_does_not_read_is_closed(port: int, installation: Installation, run: Run) -> None:
    with open_socket(port, "/ws", max_queue=1, ping_interval=None) as slow:
        slow.until("connected")
        slow.send({"event": "subscribe", "events": ["training:metrics"]})
        slow.until("subscribed")
        everything = installation.app.state.hub.everything
        run.flood(NUM_EVENTS, EVENT_CHARACTERS)
        assert everything.window.newest - everything.window.base < 500  # what is kept for all readers together
        wait_until(lambda: installation.app.state.hub.num_sockets == 0, seconds=30, what="the server gives up on it")
        slow.rest()
        assert slow.close_code == 4408


def test_a_status_reader_that_does_not_read_slows_nobody(port: int, run: Run) -> None:
    with open_socket(port, f"/ws/training/{run.job.id}", max_queue=1, ping_interval=None) as sleeper:
        sleeper.receive()
        with open_socket(port, f"/ws/training/{run.job.id}") as reader:
            for _ in range(3):
                run.finish_epoch()
            run.finish()
            assert reader.rest()[-1]["status"] == "completed"
        assert sleeper.rest()[-1]["status"] == "completed"


@pytest.mark.usefixtures("impatient")
def test_fifty_clients_that_do_not_read_hold_up_nobody(port: int, installation: Installation, run: Run) -> None:
    """They cost no memory of their own; lists, health and those who read go on meanwhile."""
    hub = installation.app.state.hub
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ExitStack() as stack:
        log, everything = f"/ws/training/{run.job.id}?after=0", "/ws"
        slow = [
            stack.enter_context(open_socket(port, path, max_queue=1, ping_interval=None))
            for path in [log, everything] * 25
        ]
        for client in slow[1::2]:
            client.send({"event": "subscribe", "events": ["training:metrics"]})
        reader = stack.enter_context(open_socket(port, log, max_size=None))
        writing = threading.Thread(target=run.flood, args=[NUM_EVENTS, EVENT_CHARACTERS])
        writing.start()
        base, num_answers = f"http://localhost:{port}", 0
        while writing.is_alive():
            for path in ("/healthz", "/api/v1/training/jobs"):
                assert httpx2.get(base + path, timeout=10).status_code == 200
                num_answers += 1
        run.finish()
        assert reader.rest()[2:] == log_of(installation, run.job.id)
        wait_until(lambda: hub.num_sockets == 0, seconds=60, what="the server gives up on them")
        for client in slow:
            client.rest()
        assert {client.close_code for client in slow} == {4408}
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert num_answers >= 4
    assert grown_kib < 400_000, "the log of 30 MB is held for each of them"
