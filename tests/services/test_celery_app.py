"""Celery's own tools on the queue, and what they may not do."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from kombu.connection import Connection

from heimdall.wake.rabbitmq import CeleryWake

CELERY = Path(sys.executable).with_name("celery")


def celery(*words: str, broker_url: str) -> "subprocess.CompletedProcess[str]":
    command = [CELERY, "-A", "heimdall.celery_app", *words]
    environment = os.environ | {"HEIMDALL_BROKER_URL": broker_url}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_queue_can_be_purged(broker_url: str) -> None:
    wake = CeleryWake(broker_url, has_slots=False)
    wake.send("job", str(uuid4()))
    wake.close()
    done = celery("purge", "--force", broker_url=broker_url)
    assert done.returncode == 0, done.stderr
    with Connection(broker_url) as connection:
        channel: Any = connection.channel()
        assert channel.queue_declare("training", passive=True).message_count == 0


def test_a_bare_celery_worker_is_refused(broker_url: str) -> None:
    done = celery("worker", "--pool", "solo", broker_url=broker_url)
    assert done.returncode != 0
    assert "Start `heimdall worker` instead" in done.stderr


def test_without_a_broker_it_says_so() -> None:
    done = celery("purge", "--force", broker_url="")
    assert done.returncode != 0
    assert "set HEIMDALL_BROKER_URL" in done.stdout + done.stderr
