"""Finds changed jobs without comparing clocks, and the newest events of all jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("training_jobs", sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_training_jobs_changed"), "training_jobs", ["changed"])
    op.create_index(op.f("ix_job_events_event_timestamp"), "job_events", ["event", "timestamp"])
