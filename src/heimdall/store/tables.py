"""The tables. Queries over them lie beside this file and nowhere else.

Rows of a job that may be many (events, metrics, points) carry no foreign key to it: deleting a job removes its own row
first, so that nobody sees it any more, and the many rows in slices afterwards (`deletion`).
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
)

from heimdall.domain.access import Role
from heimdall.domain.attempt import ArtifactType
from heimdall.domain.dataset import DatasetStatus
from heimdall.domain.events import EventName
from heimdall.domain.job import Phase, Reason, Requested, Status
from heimdall.store.columns import PlainText, Real, UtcTime, Word

# Every constraint has a name, so that a later migration can take hold of it.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowId = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER key
STATUSES = ", ".join(f"'{status.value}'" for status in Status)

# Column names are the field names of `domain.job.Job`, except `changed`: it orders the changes of all jobs (`changes`).
training_jobs = Table(
    "training_jobs",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("job_name", PlainText, nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("status", Word(Status), nullable=False),
    Column("requested", Word(Requested)),
    Column("reason", Word(Reason)),
    Column("phase", Word(Phase)),
    Column("priority", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("notes", PlainText),
    Column("parent_job_id", PlainText),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("updated_at", UtcTime, nullable=False),
    Column("config", JSON, nullable=False),
    Column("current_epoch", BigInteger, nullable=False),
    Column("total_epochs", BigInteger, nullable=False),
    Column("progress_percent", Real, nullable=False),
    Column("eta_seconds", Real),
    Column("train_loss", Real),
    Column("val_loss", Real),
    Column("train_accuracy", Real),
    Column("val_accuracy", Real),
    Column("learning_rate", Real),
    Column("metrics", JSON, nullable=False),
    Column("non_finite", JSON, nullable=False),
    Column("best_epoch", BigInteger),
    Column("best_val_loss", Real),
    Column("checkpoint_path", PlainText),
    Column("pause_checkpoint_path", PlainText),
    Column("onnx_model_path", PlainText),
    Column("mlflow_run_id", PlainText),
    Column("error_message", PlainText),
    Column("warnings", JSON, nullable=False),
    Column("dataset_id", PlainText, index=True),
    Column("dataset_size", BigInteger),
    Column("train_samples", BigInteger),
    Column("val_samples", BigInteger),
    Column("model_architecture", PlainText),
    Column("celery_task_id", PlainText, unique=True),
    Column("queued_at", UtcTime),
    Column("worker", PlainText),
    Column("attempt", Integer, nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("max_restarts", Integer, nullable=False),
    Column("losses_in_row", Integer, nullable=False),
    Column("not_before", UtcTime),
    Column("manifest", JSON, nullable=False),
    Column("lease_token", PlainText),
    Column("heartbeat", BigInteger, nullable=False),
    Column("heartbeat_at", UtcTime),
    Column("batch", BigInteger, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
    Column("log_lines", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False, server_default="0", index=True),
    CheckConstraint(f"status IN ({STATUSES})", name="status"),
)
# Each order of the list, with what its filters need: a page is found without touching the wide rows (`pages`).
LISTED = ("created_at", "updated_at", "job_name", "status", "val_loss", "priority")
for name in LISTED:
    columns = dict.fromkeys([name, "id", "status", "kind"])
    Index(f"ix_training_jobs_by_{name}", *(training_jobs.c[column] for column in columns))
# PostgreSQL reads an index backwards with the nulls first, SQLite with the nulls last.
Index(
    "ix_training_jobs_by_val_loss_descending",
    training_jobs.c.val_loss.desc().nulls_last(),
    training_jobs.c.id.desc(),
    training_jobs.c.status,
    training_jobs.c.kind,
).ddl_if(dialect="postgresql")
# The order in which queued jobs start.
Index(
    "ix_training_jobs_queue",
    training_jobs.c.status,
    training_jobs.c.priority.desc(),
    training_jobs.c.created_at,
    training_jobs.c.id,
)
Index("ix_training_jobs_queued_at", training_jobs.c.status, training_jobs.c.queued_at)

# What `q` searches: name, notes and id of a job, case folded (`search`). A table of its own, because it is narrow.
job_texts = Table(
    "job_texts",
    metadata,
    Column("job_id", PlainText, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("folded", PlainText, nullable=False),
)

# Finds jobs by tag; `training_jobs.tags` keeps their order.
job_tags = Table(
    "job_tags",
    metadata,
    Column("tag", PlainText, primary_key=True),
    Column("job_id", PlainText, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True, index=True),
)

# `first_line`: number of the first log line of a training:log event.
job_events = Table(
    "job_events",
    metadata,
    Column("job_id", PlainText, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("event", Word(EventName), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("timestamp", UtcTime, nullable=False),
    Column("data", JSON, nullable=False),
    Column("first_line", BigInteger),
)
Index(
    None,
    job_events.c.job_id,
    job_events.c.first_line,
    sqlite_where=job_events.c.first_line.is_not(None),
    postgresql_where=job_events.c.first_line.is_not(None),
)
Index(None, job_events.c.event, job_events.c.timestamp)

# `from_epoch` is null until the attempt trains: what it takes over decides what is visible of earlier ones.
attempts = Table(
    "attempts",
    metadata,
    Column("job_id", PlainText, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("worker", PlainText, nullable=False),
    Column("host", PlainText, nullable=False),
    Column("pid", BigInteger),
    Column("process_started", Real),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("from_epoch", BigInteger),
    Column("from_step", BigInteger),
    Column("cause", PlainText),
    Column("message", PlainText),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("job_id", PlainText, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("key", PlainText, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", PlainText, nullable=False),
    Column("val_loss", Real),
    Column("manifest", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("job_id", PlainText, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", PlainText, primary_key=True),
    Column("key", PlainText, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", PlainText, nullable=False),
    Column("artifact_type", Word(ArtifactType), nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

# No unique key: a TimescaleDB hypertable could not keep it. The worker's fenced, numbered batches keep rows single.
training_metrics = Table(
    "training_metrics",
    metadata,
    Column("training_job_id", PlainText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("timestamp", UtcTime, nullable=False),
    Column("duration_seconds", Real, nullable=False),
    Column("train_loss", Real),
    Column("val_loss", Real),
    Column("train_accuracy", Real),
    Column("val_accuracy", Real),
    Column("learning_rate", Real),
    Column("gradient_norm", Real),
    Column("metrics", JSON, nullable=False),
    Column("non_finite", JSON, nullable=False),
    Index(None, "training_job_id", "epoch", "attempt"),
    Index(None, "timestamp"),
)

series = Table(
    "series",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("job_id", PlainText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", PlainText, nullable=False),
    UniqueConstraint("job_id", "attempt", "name"),
)

points = Table(
    "points",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("time", Real, nullable=False),
    Column("value", Real),
    sqlite_with_rowid=False,
)

rollups = Table(
    "rollups",
    metadata,
    Column("series_id", BigInteger, primary_key=True, autoincrement=False),
    Column("width", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("non_finite", BigInteger, nullable=False),
    Column("first_step", BigInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("min", Real),
    Column("max", Real),
    sqlite_with_rowid=False,
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("status", Word(DatasetStatus), nullable=False),
    Column("config", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False, index=True),
    Column("description", PlainText),
    Column("num_samples", BigInteger, nullable=False),
    Column("quality", JSON, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", PlainText),
    Column("key", PlainText),
    Column("files", JSON, nullable=False),
    Column("job_id", PlainText, index=True),
    Column("lease_token", PlainText),
    Column("heartbeat", BigInteger, nullable=False),
)

dataset_unapproved = Table(
    "dataset_unapproved",
    metadata,
    Column("dataset_id", PlainText, ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("sample", BigInteger, primary_key=True, autoincrement=False),
)

# Which samples were unapproved when a job began: fixed for all its attempts, which name it by its checksum.
frozen_unapproved = Table(
    "frozen_unapproved",
    metadata,
    Column("dataset_id", PlainText, ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", PlainText, primary_key=True),
    Column("samples", JSON, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", PlainText, primary_key=True),
    Column("body_sha256", PlainText, nullable=False),
    Column("job_id", PlainText, nullable=False, index=True),
    Column("created_at", UtcTime, nullable=False, index=True),
)

workers = Table(
    "workers",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("host", PlainText, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("devices", JSON, nullable=False),
    Column("seen_at", UtcTime, nullable=False),
    Column("counter", BigInteger, nullable=False),
)

# Events up to number `through` hold no points, lines and figures any more (`retention`).
emptied_events = Table(
    "emptied_events",
    metadata,
    Column("job_id", PlainText, ForeignKey("training_jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("through", BigInteger, nullable=False),
)

# Jobs (and, as `datasets/{id}`, datasets) whose own row is gone and whose many rows or files may still be there: the
# sweep works from here.
deletions = Table("deletions", metadata, Column("job_id", PlainText, primary_key=True))

# Revoked ones stay: where there was a token, nobody comes in without one.
tokens = Table(
    "tokens",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False),
    Column("role", Word(Role), nullable=False),
    Column("sha256", PlainText, nullable=False, unique=True),
    Column("created_at", UtcTime, nullable=False),
    Column("revoked_at", UtcTime),
)
Index(
    None,
    tokens.c.name,
    unique=True,
    sqlite_where=tokens.c.revoked_at.is_(None),
    postgresql_where=tokens.c.revoked_at.is_(None),
)
