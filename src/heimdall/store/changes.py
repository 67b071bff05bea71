"""Which jobs changed since a reader asked last, by a number in their rows that no clock makes.

SQLite has one writer at a time, so each change takes the next number and numbers appear in order. On PostgreSQL a
change takes the number of its transaction; transactions commit in any order, so a reader remembers which ones were
still open when it read, and asks from the oldest of these the next time.
"""

from sqlalchemy import ColumnElement, Connection, func, select

from heimdall.domain.records import ChangeMark
from heimdall.store.tables import training_jobs

jobs = training_jobs.c


def next_change(connection: Connection) -> ColumnElement[int]:
    """The number of a change of a job in this transaction."""
    if connection.dialect.name == "postgresql":
        return func.txid_current()
    others = training_jobs.alias().c
    return select(func.coalesce(func.max(others.changed), 0) + 1).scalar_subquery()


def changes_since(connection: Connection, mark: ChangeMark | None) -> tuple[dict[str, int], ChangeMark]:
    """event_seq of the jobs that changed since `mark`, of all without one, and the next mark.

    More than those that changed may be among them, never fewer.
    """
    if connection.dialect.name == "postgresql":
        return _since_transaction(connection, mark)
    return _since_number(connection, mark)


def _since_transaction(connection: Connection, mark: ChangeMark | None) -> tuple[dict[str, int], ChangeMark]:
    snapshot = func.txid_current_snapshot()
    oldest, end = connection.execute(select(func.txid_snapshot_xmin(snapshot), func.txid_snapshot_xmax(snapshot))).one()
    statement = select(jobs.id, jobs.event_seq)
    if mark is not None:
        # Numbers beyond this snapshot came with rows that were copied from another database.
        statement = statement.where(jobs.changed >= mark.number, jobs.changed < end)
    found = {row.id: row.event_seq for row in connection.execute(statement)}
    return found, ChangeMark(oldest, None)


def _since_number(connection: Connection, mark: ChangeMark | None) -> tuple[dict[str, int], ChangeMark]:
    """As long as the job of the mark is there, every later change has a larger number than it had."""
    newest = select(jobs.changed, jobs.id).order_by(jobs.changed.desc(), jobs.id).limit(1)
    row = connection.execute(newest).one_or_none()
    statement = select(jobs.id, jobs.event_seq)
    if mark is not None and _is_there(connection, mark.job_id):
        statement = statement.where(jobs.changed > mark.number)
    found = {row.id: row.event_seq for row in connection.execute(statement)}
    return found, ChangeMark(0, None) if row is None else ChangeMark(row.changed, row.id)


def _is_there(connection: Connection, job_id: str | None) -> bool:
    return connection.execute(select(jobs.id).where(jobs.id == job_id)).first() is not None
