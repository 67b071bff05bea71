"""Fills a new database with many jobs, through the tables of whichever release runs this file.

    python crowd.py DATABASE_URL NUM_JOBS [NUM_POINTS]
    python crowd.py DATABASE_URL run FIRST END

The first prints the ids of the job with many points and of the job with many series. Jobs are completed, failed,
cancelled and paused ones with an ordinary config, metrics and manifest; every tenth has the tag `tenth`, every
hundredth `hundredth`. The second makes some of them look as if a worker ran them, and prints their ids.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, insert, text, update
from sqlalchemy.types import Boolean, Float, Integer

from heimdall.domain.attempt import SeriesPoints
from heimdall.domain.job import Reason, Status
from heimdall.store import open_database, prepare, tables
from heimdall.store.points import write_points
from heimdall.trainers.localization.spec import SPEC

STATUSES = (Status.COMPLETED, Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PAUSED)
NUM_SERIES, NUM_ATTEMPTS = 50, 6
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SLICE = 50_000
Steps = list[tuple[int, float, float | None]]


def job_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def empty_value(column: Column[Any]) -> Any:
    if isinstance(column.type, (Integer, Float, Boolean)):
        return 0
    return {} if column.name in {"metrics", "non_finite", "manifest"} else [] if column.name == "warnings" else ""


def job_row(number: int) -> dict[str, Any]:
    columns = tables.training_jobs.c
    row = {column.name: None if column.nullable else empty_value(column) for column in columns}
    created = BEGIN + timedelta(seconds=37 * (number * 7919 % 100_003))
    status = STATUSES[number % len(STATUSES)]
    loss = None if number % 7 == 0 else (number * 31 % 9973) / 9973
    row |= {
        "id": job_id(number),
        "job_name": f"Night run {number * 131 % 10_007} of the {('north', 'south', 'west')[number % 3]} array",
        "kind": "synthetic" if number % 20 == 0 else "localization",
        "status": status,
        "reason": Reason.FINISHED if status is Status.COMPLETED else None,
        "priority": number % 5,
        "tags": tags_of(number),
        "notes": "Same seed as last week, other receivers.",
        "created_at": created,
        "updated_at": created + timedelta(hours=number % 11),
        "completed_at": created if status.is_ended else None,
        "config": SPEC.config_model().model_dump(mode="json"),
        "metrics": {f"val_metric_{index}": index / 7 for index in range(14)},
        "current_epoch": 100,
        "total_epochs": 100,
        "progress_percent": 100.0,
        "train_loss": loss,
        "val_loss": loss,
        "manifest": {"machine": {"cpu": "x" * 60, "versions": {f"library-{n}": "1.2.3" for n in range(25)}}},
        "attempt": 1,
        "event_seq": 1,
    }
    return row


def tags_of(number: int) -> list[str]:
    return [name for name, every in (("tenth", 10), ("hundredth", 100)) if number % every == 0]


def put_jobs(connection: Connection, numbers: Iterator[int]) -> None:
    while rows := [job_row(number) for number in islice(numbers, 1_000)]:
        connection.execute(insert(tables.training_jobs), rows)
        tags = [{"tag": tag, "job_id": row["id"]} for row in rows for tag in row["tags"]]
        if tags:
            connection.execute(insert(tables.job_tags), tags)
        if "job_texts" in tables.metadata.tables:  # since revision 0005
            texts = [
                {"job_id": row["id"], "folded": f"{row['job_name']}\n{row['notes']}\n{row['id']}".casefold()}
                for row in rows
            ]
            connection.execute(insert(tables.metadata.tables["job_texts"]), texts)


def put_attempts(connection: Connection, job: str, count: int) -> None:
    rows = [
        {"job_id": job, "number": number, "worker": "w", "host": "h", "started_at": BEGIN, "from_epoch": 10 * number}
        | {"from_step": 100 * (number - 1)}
        for number in range(1, count + 1)
    ]
    connection.execute(insert(tables.attempts), rows)


def set_running(connection: Connection, first: int, end: int) -> None:
    """As if a worker far away ran them."""
    jobs = tables.training_jobs.c
    ids = [job_id(number) for number in range(first, end)]
    connection.execute(
        update(tables.training_jobs)
        .where(jobs.id.in_(ids))
        .values(status=Status.RUNNING, lease_token="far away", worker="far away", reason=None, completed_at=None)
    )
    for one in ids:
        put_attempts(connection, one, 1)


def main() -> None:
    if len(sys.argv) < 3:
        print("This makes the crowd of many_jobs.py.")
        return
    if sys.argv[2] == "run":
        first, end = int(sys.argv[3]), int(sys.argv[4])
        database = open_database(sys.argv[1])
        database.write(lambda connection: set_running(connection, first, end))
        database.close()
        print(json.dumps([job_id(number) for number in range(first, end)]))
        return
    url, num_jobs, num_points = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    prepare(url, "upgrade")
    database = open_database(url)
    database.write(lambda connection: put_jobs(connection, iter(range(num_jobs))))
    heavy, wide = job_id(num_jobs - 1), job_id(num_jobs - 2)
    database.write(lambda connection: put_attempts(connection, heavy, 1))
    for first in range(0, num_points, SLICE):
        steps: Steps = [(step, float(step), step % 977 / 977) for step in range(first, min(first + SLICE, num_points))]
        database.write(lambda c, steps=steps: write_points(c, heavy, 1, [SeriesPoints("loss", steps)]))
    database.write(lambda connection: put_attempts(connection, wide, NUM_ATTEMPTS))
    for number in range(1, NUM_ATTEMPTS + 1):
        steps: Steps = [(step, float(step), 1.0 / (step + 1)) for step in range(100 * (number - 1), 100 * number + 50)]
        named = [SeriesPoints(f"series/{index:02}", steps) for index in range(NUM_SERIES)]
        database.write(lambda c, number=number, named=named: write_points(c, wide, number, named))
    if database.dialect == "postgresql":
        with database.writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    database.close()
    print(json.dumps({"heavy": heavy, "wide": wide}))


if __name__ == "__main__":
    main()
