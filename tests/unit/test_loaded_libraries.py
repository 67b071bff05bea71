"""An installation loads the libraries of the services it uses, and no others. In fresh processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = ("aio_pika", "amqp", "celery", "kombu", "psycopg", "torch")
PROGRAM = """
import json, sys
from pathlib import Path
from heimdall.bootstrap.configuration import load
import heimdall.bootstrap.server
from heimdall.bootstrap.changes import live_signal, open_publisher, open_wake
from heimdall.store import open_database

settings = load({"data_dir": sys.argv[1]})
opened = [open_wake(settings, has_slots=False), live_signal(settings)]
database = open_database(settings.resolved_database_url)
publisher = open_publisher(settings)
for part in opened:
    part.close()
publisher.close(1)
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""
NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"HEIMDALL_DATABASE_URL": f"postgresql://{NOWHERE}/x"}, ["psycopg"]),
        ({"HEIMDALL_BROKER_URL": f"amqp://{NOWHERE}/"}, ["aio_pika", "amqp", "celery", "kombu"]),
    ],
    ids=["embedded", "postgres", "broker"],
)
def test_only_what_is_used_is_loaded(environment: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "heimdall.db").touch()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *LIBRARIES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    assert json.loads(done.stdout) == expected
