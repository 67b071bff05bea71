"""DatasetStore: the rows of datasets, their lease while they are made, and which samples are approved."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, RowMapping, Select, and_, delete, func, insert, or_, select, update

from heimdall.domain.attempt import JobLease
from heimdall.domain.dataset import DEFAULT_DATASET, Dataset, DatasetResult, DatasetStatus
from heimdall.domain.errors import ConflictError, DatasetLeaseLostError, DatasetNotFoundError
from heimdall.domain.job import Phase, Status
from heimdall.store.columns import to_json
from heimdall.store.deletion import delete_dataset
from heimdall.store.engine import Database, reads, writes
from heimdall.store.files import insert_if_new
from heimdall.store.lease import lock_leased
from heimdall.store.tables import dataset_unapproved, datasets, frozen_unapproved, training_jobs

UNFINISHED = (DatasetStatus.GENERATING, DatasetStatus.FAILED, DatasetStatus.CANCELLED)
HOLDING = tuple(status for status in Status if status.holds_dataset)
BEFORE_TRAINING = (Phase.STARTING, Phase.PREPARING_DATA, Phase.GENERATING)


def dataset_of(row: RowMapping) -> Dataset:
    return Dataset(**row)


def insert_dataset(connection: Connection, dataset: Dataset) -> bool:
    """False when the name is taken."""
    return insert_if_new(connection, datasets, asdict(dataset))


def find_dataset(connection: Connection, name: str) -> Dataset | None:
    row = connection.execute(select(datasets).where(datasets.c.name == name)).mappings().one_or_none()
    return None if row is None else dataset_of(row)


def lock_dataset(connection: Connection, dataset_id: str) -> Dataset | None:
    """The dataset as it is now. Whoever ties a job to a dataset, or deletes one, takes this lock first."""
    statement = select(datasets).where(datasets.c.id == dataset_id).with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else dataset_of(row)


def end_generation(connection: Connection, job_id: str, status: DatasetStatus) -> None:
    """The job that made a dataset has ended without publishing it."""
    statement = update(datasets).where(datasets.c.job_id == job_id, datasets.c.status == DatasetStatus.GENERATING)
    connection.execute(statement.values(status=status, lease_token=None))


class SqlDatasetStore:
    def __init__(self, database: Database) -> None:
        self.database = database

    @reads
    def get(self, connection: Connection, dataset_id: str) -> Dataset:
        row = connection.execute(select(datasets).where(datasets.c.id == dataset_id)).mappings().one_or_none()
        if row is None:
            raise DatasetNotFoundError(dataset_id)
        return dataset_of(row)

    @reads
    def find(self, connection: Connection, name: str) -> Dataset | None:
        return find_dataset(connection, name)

    @reads
    def page(self, connection: Connection, *, limit: int, offset: int) -> tuple[list[Dataset], int]:
        order = (datasets.c.created_at.desc(), datasets.c.id.desc())
        rows = connection.execute(select(datasets).order_by(*order).limit(limit).offset(offset)).mappings()
        total = connection.execute(select(func.count()).select_from(datasets)).scalar_one()
        return [dataset_of(row) for row in rows], total

    @writes
    def open(self, connection: Connection, dataset: Dataset) -> Dataset:
        insert_dataset(connection, dataset)
        row = connection.execute(select(datasets).where(datasets.c.name == dataset.name)).mappings().one()
        return dataset_of(row)

    @writes
    def take_lease(
        self,
        connection: Connection,
        dataset_id: str,
        holder: JobLease,
        *,
        token: str,
        seen: tuple[str | None, int] | None,
    ) -> bool:
        lock_leased(connection, holder.job_id, holder.token)
        if seen is None:
            is_free = datasets.c.lease_token.is_(None)
        else:
            held_by, heartbeat = seen
            is_free = datasets.c.lease_token.is_not_distinct_from(held_by) & (datasets.c.heartbeat == heartbeat)
        is_ours = or_(datasets.c.job_id == holder.job_id, datasets.c.lease_token == token)
        statement = (
            update(datasets)
            .where(datasets.c.id == dataset_id, datasets.c.status.in_(UNFINISHED), or_(is_free, is_ours))
            .values(lease_token=token, heartbeat=0, status=DatasetStatus.GENERATING)
        )
        return connection.execute(statement).rowcount == 1

    @writes
    def heartbeat(self, connection: Connection, dataset_id: str, token: str) -> None:
        statement = update(datasets).where(datasets.c.id == dataset_id, datasets.c.lease_token == token)
        if not connection.execute(statement.values(heartbeat=datasets.c.heartbeat + 1)).rowcount:
            raise _lost(dataset_id)

    @writes
    def publish(
        self, connection: Connection, dataset_id: str, holder: JobLease, *, token: str, result: DatasetResult
    ) -> Dataset:
        lock_leased(connection, holder.job_id, holder.token)
        dataset = lock_dataset(connection, dataset_id)
        if dataset is not None and dataset.status is DatasetStatus.READY and dataset.key == result.key:
            return dataset  # published before: the answer to it was lost
        if dataset is None or dataset.status is not DatasetStatus.GENERATING or dataset.lease_token != token:
            raise _lost(dataset_id)
        statement = update(datasets).where(datasets.c.id == dataset_id)
        values = {**asdict(result), "status": DatasetStatus.READY, "lease_token": None}
        row = connection.execute(statement.values(**values).returning(datasets)).mappings().one()
        return dataset_of(row)

    @writes
    def give_up(self, connection: Connection, dataset_id: str, token: str, status: str) -> None:
        statement = update(datasets).where(datasets.c.id == dataset_id, datasets.c.lease_token == token)
        connection.execute(statement.values(status=DatasetStatus(status), lease_token=None))

    @writes
    def delete(self, connection: Connection, dataset_id: str) -> Dataset:
        dataset = lock_dataset(connection, dataset_id)
        if dataset is None:
            raise DatasetNotFoundError(dataset_id)
        job = connection.execute(_holders(dataset).limit(1)).one_or_none()
        if job is not None:
            raise ConflictError(
                f"Dataset {dataset_id} is used by job {job.id}, which is {job.status.value}; cancel that job first."
            )
        delete_dataset(connection, dataset_id)
        return dataset

    @writes
    def set_approved(self, connection: Connection, dataset_id: str, indexes: Sequence[int], *, approved: bool) -> None:
        if lock_dataset(connection, dataset_id) is None:
            raise DatasetNotFoundError(dataset_id)
        marks = dataset_unapproved.c
        chosen = sorted(set(indexes))
        for start in range(0, len(chosen), 10_000):
            part = chosen[start : start + 10_000]
            connection.execute(delete(dataset_unapproved).where(marks.dataset_id == dataset_id, marks.sample.in_(part)))
            if not approved:
                rows = [{"dataset_id": dataset_id, "sample": index} for index in part]
                connection.execute(insert(dataset_unapproved), rows)

    @reads
    def unapproved(self, connection: Connection, dataset_id: str) -> list[int]:
        return _unapproved(connection, dataset_id)

    @writes
    def freeze_unapproved(self, connection: Connection, dataset_id: str) -> str:
        if lock_dataset(connection, dataset_id) is None:
            raise DatasetNotFoundError(dataset_id)
        samples = _unapproved(connection, dataset_id)
        sha256 = hashlib.sha256(to_json(samples).encode()).hexdigest()
        row = {"dataset_id": dataset_id, "sha256": sha256, "samples": samples}
        insert_if_new(connection, frozen_unapproved, row)
        return sha256

    @reads
    def frozen_unapproved(self, connection: Connection, dataset_id: str, sha256: str) -> list[int]:
        frozen = frozen_unapproved.c
        statement = select(frozen.samples).where(frozen.dataset_id == dataset_id, frozen.sha256 == sha256)
        samples = connection.execute(statement).scalar_one_or_none()
        if samples is None:
            raise DatasetNotFoundError(dataset_id)
        return samples


def _unapproved(connection: Connection, dataset_id: str) -> list[int]:
    marks = dataset_unapproved.c
    statement = select(marks.sample).where(marks.dataset_id == dataset_id).order_by(marks.sample)
    return list(connection.execute(statement).scalars())


def _holders(dataset: Dataset) -> Select[str, Status]:
    """Jobs that have not ended and need this dataset."""
    jobs = training_jobs.c
    needs = or_(
        jobs.dataset_id == dataset.id,
        jobs.id == dataset.job_id,
        # Fixed by an attempt that was lost before it could say so in the job's own column.
        jobs.manifest["dataset_id"].as_string() == dataset.id,
    )
    if dataset.name == DEFAULT_DATASET:  # a job may be reading it that will say so with its next batch
        needs |= and_(jobs.status == Status.RUNNING, jobs.dataset_id.is_(None), jobs.phase.in_(BEFORE_TRAINING))
    return select(jobs.id, jobs.status).where(jobs.status.in_(HOLDING), needs)


def _lost(dataset_id: str) -> DatasetLeaseLostError:
    return DatasetLeaseLostError(f"Dataset {dataset_id} is being made by another job now, or was deleted.")
