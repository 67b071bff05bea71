"""Lists, searches and the queue at ten thousand jobs; approvals that are kept once."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

LISTED = ("created_at", "updated_at", "job_name", "status", "val_loss", "priority")


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.drop_index("ix_training_jobs_kind", "training_jobs")
    op.drop_index("ix_training_jobs_updated_at", "training_jobs")
    op.drop_index("ix_training_jobs_status_created_at", "training_jobs")
    op.add_column("training_jobs", sa.Column("queued_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE training_jobs SET queued_at = updated_at WHERE status = 'queued'")
    for name in LISTED:
        op.create_index(
            f"ix_training_jobs_by_{name}", "training_jobs", list(dict.fromkeys([name, "id", "status", "kind"]))
        )
    if is_postgres:
        descending = [sa.text("val_loss DESC NULLS LAST"), sa.text("id DESC"), "status", "kind"]
        op.create_index("ix_training_jobs_by_val_loss_descending", "training_jobs", descending)
    queue = ["status", sa.text("priority DESC"), "created_at", "id"]
    op.create_index("ix_training_jobs_queue", "training_jobs", queue)
    op.create_index("ix_training_jobs_queued_at", "training_jobs", ["status", "queued_at"])
    _add_texts()
    op.create_table(
        "frozen_unapproved",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("samples", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_frozen_unapproved_dataset_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", "sha256", name=op.f("pk_frozen_unapproved")),
    )


def _add_texts() -> None:
    texts = op.create_table(
        "job_texts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["training_jobs.id"], name=op.f("fk_job_texts_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_texts")),
    )
    rows = op.get_bind().execute(sa.text("SELECT id, job_name, notes FROM training_jobs")).all()
    if rows:
        op.bulk_insert(
            texts,
            [
                {
                    "job_id": row.id,
                    # As `store.search.folded` makes them at this revision.
                    "folded": "\n".join(
                        unicodedata.normalize("NFC", text.casefold())
                        for text in (row.job_name, row.notes or "", row.id)
                    ),
                }
                for row in rows
            ],
        )
