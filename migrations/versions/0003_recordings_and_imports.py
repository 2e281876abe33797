"""Recordings in parts, more statistics of neurons, imports without some of them, sides, scores.

Statistics become optional and an explanation gets a side in its key. SQLite can change neither in place, so both
tables are copied there; app/migrating.py has foreign keys off meanwhile.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

import app.database

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = app.database.UtcDateTime(timezone=True)
NOW_OPTIONAL = ("mean", "variance", "share_active", "q90")
NEW_FLOATS = ("minimum", "q50", "q99", "q999", "q90_negative", "histogram_low", "histogram_high")
NEW_INTEGERS = ("maximum_excerpt", "maximum_token", "minimum_excerpt", "minimum_token")
EARLIER_KEY = ["neuron_id", "method", "explainer", "prompt_pack", "sample_number"]
EARLIER_KEY_NAME = "uq_explanation_neuron_id_method_explainer_prompt_pack_sample_number"
KEY = ["neuron_id", "method", "explainer", "prompt_pack", "side", "sample_number"]
KEY_NAME = "uq_explanation_sample"


def explanation_table() -> AbstractContextManager[BatchOperations]:
    """Checks are named here because a copy of a table on SQLite keeps only those it is told of."""
    checks = (
        sa.CheckConstraint("(status = 'done') = (text IS NOT NULL)", name="only_done_has_text"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="only_failed_has_failure"),
    )
    return op.batch_alter_table("explanation", table_args=checks)


def upgrade() -> None:
    op.add_column("recording", sa.Column("failure", sa.String()))
    op.add_column("excerpt", sa.Column("text_hash", sa.LargeBinary()))
    op.create_index("ix_excerpt_by_text", "excerpt", ["corpus_id", "text_hash"], unique=True)
    with op.batch_alter_table("neuron") as neuron:
        for name in NOW_OPTIONAL:
            neuron.alter_column(name, existing_type=sa.Double(), nullable=True)
        for name in NEW_FLOATS:
            neuron.add_column(sa.Column(name, sa.Double()))
        for name in NEW_INTEGERS:
            neuron.add_column(sa.Column(name, sa.Integer()))
        neuron.add_column(sa.Column("histogram", sa.LargeBinary()))
    op.add_column("explanation", sa.Column("side", sa.String(10), nullable=False, server_default="positive"))
    with explanation_table() as explanation:
        explanation.alter_column("side", existing_type=sa.String(10), server_default=None)
        explanation.drop_constraint(op.f(EARLIER_KEY_NAME), type_="unique")
        explanation.create_unique_constraint(KEY_NAME, KEY)
    _create_tables()


def _create_tables() -> None:
    op.create_table(
        "recording_part",
        sa.Column("recording_id", sa.Integer(), sa.ForeignKey("recording.id"), nullable=False),
        sa.Column("first_excerpt", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("n_excerpts", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("recording_id", "first_excerpt", "layer"),
    )
    op.create_table(
        "score",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("explanation_id", sa.Integer(), sa.ForeignKey("explanation.id"), nullable=False),
        sa.Column("metric", sa.String(50), nullable=False),
        sa.Column("scorer", sa.String(200), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("reason", sa.String()),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.UniqueConstraint("explanation_id", "metric", "scorer"),
        sa.CheckConstraint("(value IS NULL) = (reason IS NOT NULL)", name="value_or_reason"),
    )
    op.create_table(
        "simulated_excerpt",
        sa.Column("score_id", sa.Integer(), sa.ForeignKey("score.id"), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("excerpt_id", sa.Integer(), sa.ForeignKey("excerpt.id"), nullable=False),
        sa.Column("expected", sa.LargeBinary(), nullable=False),
        sa.Column("correlation", sa.Double()),
        sa.PrimaryKeyConstraint("score_id", "rank"),
    )


def downgrade() -> None:
    """What older versions cannot hold goes: the negative side, scores, recordings in parts. Statistics that they
    require and that are unknown become 0."""
    for table in ("simulated_excerpt", "score", "recording_part"):
        op.drop_table(table)
    op.execute("DELETE FROM explanation WHERE side <> 'positive'")
    with explanation_table() as explanation:
        explanation.drop_constraint(KEY_NAME, type_="unique")
        explanation.create_unique_constraint(op.f(EARLIER_KEY_NAME), EARLIER_KEY)
        explanation.drop_column("side")
    for name in NOW_OPTIONAL:
        op.execute(f"UPDATE neuron SET {name} = 0 WHERE {name} IS NULL")
    with op.batch_alter_table("neuron") as neuron:
        for name in (*NEW_FLOATS, *NEW_INTEGERS, "histogram"):
            neuron.drop_column(name)
        for name in NOW_OPTIONAL:
            neuron.alter_column(name, existing_type=sa.Double(), nullable=False)
    op.drop_index("ix_excerpt_by_text", "excerpt")
    op.drop_column("excerpt", "text_hash")
    op.drop_column("recording", "failure")
