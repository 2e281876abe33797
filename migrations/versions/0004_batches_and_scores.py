"""Batches with a budget that pause and go on, scores as jobs, what was paid for, prices, neuron sets."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

import app.database

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = app.database.UtcDateTime(timezone=True)
NEW_IN_BATCH = (
    ("kind", sa.String(20), "explanations"),
    ("submission", sa.Integer(), "0"),
    ("spent_usd", sa.Double(), "0"),
    ("spent_tokens", sa.BigInteger(), "0"),
    ("n_calls", sa.Integer(), "0"),
)
"""Name, type and the value of batches that are there already."""
NEW_IN_BATCH_OPTIONAL = (("remark", sa.String()), ("budget_usd", sa.Double()), ("budget_tokens", sa.BigInteger()))
NEW_IN_SCORE = (
    ("batch_id", sa.Integer()),
    ("shard", sa.Integer()),
    ("failure", sa.String(30)),
    ("failure_detail", sa.String()),
    ("n_prompt_tokens", sa.Integer()),
    ("n_completion_tokens", sa.Integer()),
    ("cost_usd", sa.Double()),
    ("seconds", sa.Double()),
    ("finished_at", MOMENT),
)
OF_SCORES = {
    "only_done_is_known": "(status = 'done') = (value IS NOT NULL OR reason IS NOT NULL)",
    "value_or_reason": "value IS NULL OR reason IS NULL",
    "only_failed_has_failure": "(status = 'failed') = (failure IS NOT NULL)",
}
OF_EARLIER_SCORES = {"value_or_reason": "(value IS NULL) = (reason IS NOT NULL)"}


def change_checks(score: BatchOperations, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for name in before:
        score.drop_constraint(op.f(f"ck_score_{name}"), type_="check")
    for name, condition in after.items():
        score.create_check_constraint(op.f(f"ck_score_{name}"), condition)


def upgrade() -> None:
    for name, kind, default in NEW_IN_BATCH:
        op.add_column("batch", sa.Column(name, kind, nullable=False, server_default=default))
    for name, kind in NEW_IN_BATCH_OPTIONAL:
        op.add_column("batch", sa.Column(name, kind))
    op.add_column("explanation", sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
    _upgrade_scores()
    _create_tables()


def _upgrade_scores() -> None:
    for name, kind in NEW_IN_SCORE:
        op.add_column("score", sa.Column(name, kind))
    op.add_column("score", sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("score", sa.Column("status", sa.String(10), nullable=False, server_default="done"))
    with op.batch_alter_table("score") as score:
        change_checks(score, OF_EARLIER_SCORES, OF_SCORES)
        score.create_foreign_key(op.f("fk_score_batch_id_batch"), "batch", ["batch_id"], ["id"])
    op.create_index("ix_score_batch_id_shard", "score", ["batch_id", "shard", "status"])


def _create_tables() -> None:
    op.create_table(
        "paid_call",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "call_reservation",
        sa.Column("batch_id", sa.Integer(), sa.ForeignKey("batch.id"), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("usd", sa.Double(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "key"),
    )
    op.create_table(
        "call_allowance",
        sa.Column("model", sa.String(400), nullable=False),
        sa.Column("unit", sa.String(10), nullable=False),
        sa.Column("used_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("model", "unit"),
    )
    op.create_table(
        "model_price",
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("usd_per_million_prompt_tokens", sa.Double(), nullable=False),
        sa.Column("usd_per_million_completion_tokens", sa.Double(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("model", "as_of"),
    )
    op.create_table(
        "neuron_set",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("subject_id", sa.Integer(), sa.ForeignKey("subject_model.id"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("chosen", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("subject_id", "name"),
    )
    op.create_table(
        "neuron_set_member",
        sa.Column("set_id", sa.Integer(), sa.ForeignKey("neuron_set.id", ondelete="CASCADE"), nullable=False),
        sa.Column("neuron_id", sa.Integer(), sa.ForeignKey("neuron.id"), nullable=False),
        sa.PrimaryKeyConstraint("set_id", "neuron_id"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """What older versions cannot hold goes: scores without a result, paused batches (as cancelled), paid answers."""
    for table in ("neuron_set_member", "neuron_set", "model_price", "call_allowance", "call_reservation", "paid_call"):
        op.drop_table(table)
    op.execute("DELETE FROM score WHERE status <> 'done'")
    op.drop_index("ix_score_batch_id_shard", "score")
    with op.batch_alter_table("score") as score:
        change_checks(score, OF_SCORES, OF_EARLIER_SCORES)
        score.drop_constraint(op.f("fk_score_batch_id_batch"), type_="foreignkey")
        for name, _ in NEW_IN_SCORE:
            score.drop_column(name)
        score.drop_column("attempt")
        score.drop_column("status")
    op.drop_column("explanation", "attempt")
    op.execute("UPDATE explanation SET batch_id = NULL WHERE batch_id IN (SELECT id FROM batch WHERE kind = 'scores')")
    op.execute("DELETE FROM batch WHERE kind = 'scores'")
    op.execute("UPDATE batch SET status = 'cancelled' WHERE status = 'paused'")
    with op.batch_alter_table("batch") as batch:
        for name, *_ in (*NEW_IN_BATCH, *NEW_IN_BATCH_OPTIONAL):
            batch.drop_column(name)
