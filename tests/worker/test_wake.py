"""Wake-ups: none is missed, none is needed."""

import threading
from pathlib import Path

from heimdall.store import open_database, prepare
from heimdall.wake import DataVersionSignal, InProcessWake, PollingSignal
from tests.worker.test_output import Clock


def test_a_wake_up_sent_before_the_wait_is_heard_once() -> None:
    wake = InProcessWake()
    wake.send("job", "task")
    assert wake.wait(0.0)
    assert not wake.wait(0.0)


def test_every_waiting_thread_hears() -> None:
    wake = InProcessWake()
    heard: list[bool] = []
    threads = [threading.Thread(target=lambda: heard.append(wake.wait(10.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    wake.send("job", "task")
    for thread in threads:
        thread.join()
    assert heard == [True, True, True]


def test_closing_ends_a_wait() -> None:
    wake = InProcessWake()
    thread = threading.Thread(target=wake.wait, args=[60.0])
    thread.start()
    wake.close()
    thread.join(timeout=5.0)
    assert not thread.is_alive()


def test_a_commit_of_another_connection_is_heard(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a?b.db'}".replace("?", "%3F")
    prepare(url, "upgrade")
    database = open_database(url)
    signal = DataVersionSignal(Path(database.url.database or ""))
    try:
        signal.poll()
        assert not signal.poll()
        with database.writer.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE new (x)")
        assert signal.poll()
        assert not signal.poll()
    finally:
        signal.close()
        database.close()


def test_polling_keeps_its_pace() -> None:
    clock = Clock()
    signal = PollingSignal(1.0, clock=clock)
    assert [signal.poll(), signal.poll()] == [True, False]
    clock.now = 1.0
    assert [signal.poll(), signal.poll()] == [True, False]
