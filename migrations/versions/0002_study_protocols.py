"""Studies with a protocol: sharing, evidence, steps before and after the judging, checks, an audit log.

Columns are added in place on both databases: copying a table, as batch mode does, would break the foreign keys to it.
"""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

import app.database

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = app.database.UtcDateTime(timezone=True)

# What every study was before there were protocols.
EARLIER_PROTOCOL = {
    "sharing": "crossed",
    "n_raters": 1,
    "n_puzzles": 0,
    "n_right_to_pass": 0,
    "asks_for_guesses": False,
    "check_percent": 0,
    "exclude_failed_checks_percent": None,
    "exclude_too_fast_percent": None,
}
EARLIER_EVIDENCE = {"top": list(range(20)), "random": list(range(10))}


def new_columns() -> dict[str, list[sa.Column[Any]]]:
    """By table. New at every call: a column belongs to one table for good."""
    return {
        "study": [
            sa.Column("protocol", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("join_hash", sa.String(length=64)),
            sa.Column("most_joining", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("paused_at", MOMENT),
        ],
        "study_neuron": [sa.Column("quota", sa.Integer())],
        "rater": [
            sa.Column("is_dry_run", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("external_id", sa.String(length=100)),
            sa.Column("external_study", sa.String(length=100)),
            sa.Column("external_session", sa.String(length=100)),
            sa.Column("consented_at", MOMENT),
            sa.Column("instructed_at", MOMENT),
            sa.Column("passed_practice_at", MOMENT),
            sa.Column("failed_practice_at", MOMENT),
            sa.Column("finished_at", MOMENT),
            sa.Column("surveyed_at", MOMENT),
            sa.Column("comment", sa.String()),
            sa.Column("seen_at", MOMENT),
            sa.Column("lease_until", MOMENT),
            sa.Column("deleted_at", MOMENT),
        ],
        "assignment": [
            sa.Column("evidence", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("reclaimed_at", MOMENT),
            sa.Column("version", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("cannot_judge", sa.String(length=30)),
            sa.Column("comment", sa.String()),
        ],
        "card": [sa.Column("is_check", sa.Boolean(), nullable=False, server_default=sa.false())],
    }


def upgrade() -> None:
    for table, columns in new_columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_study_join_hash", "study", ["join_hash"], unique=True)
    op.create_index("ix_rater_study_id_external_id", "rater", ["study_id", "external_id"], unique=True)
    _carry_over()
    op.create_table(
        "explanation_view",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("neuron_id", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_explanation_view_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["neuron_id"], ["neuron.id"], name=op.f("fk_explanation_view_neuron_id")),
        sa.PrimaryKeyConstraint("account_id", "neuron_id", name=op.f("pk_explanation_view")),
    )
    op.create_table(
        "study_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_event_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_event")),
    )
    op.create_index("ix_study_event_study_id", "study_event", ["study_id"])
    op.create_table(
        "lint_waiver",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("neuron_id", sa.Integer(), nullable=False),
        sa.Column("condition_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["condition_id"], ["condition.id"], name=op.f("fk_lint_waiver_condition_id")),
        sa.ForeignKeyConstraint(["neuron_id"], ["neuron.id"], name=op.f("fk_lint_waiver_neuron_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_lint_waiver_study_id")),
        sa.PrimaryKeyConstraint("study_id", "neuron_id", "condition_id", name=op.f("pk_lint_waiver")),
    )
    op.create_table(
        "practice_answer",
        sa.Column("rater_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("puzzle", sa.String(length=100), nullable=False),
        sa.Column("judgement", sa.JSON(), nullable=False),
        sa.Column("is_right", sa.Boolean(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["rater_id"], ["rater.id"], name=op.f("fk_practice_answer_rater_id")),
        sa.PrimaryKeyConstraint("rater_id", "attempt", "position", name=op.f("pk_practice_answer")),
    )
    op.create_table(
        "guess",
        sa.Column("card_id", sa.Integer(), nullable=False),
        sa.Column("condition_id", sa.Integer()),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_guess_card_id")),
        sa.ForeignKeyConstraint(["condition_id"], ["condition.id"], name=op.f("fk_guess_condition_id")),
        sa.PrimaryKeyConstraint("card_id", name=op.f("pk_guess")),
    )


def _carry_over() -> None:
    """Studies that exist go on as they were, and their raters where they stood."""
    as_json = "CAST(:value AS JSON)" if op.get_bind().dialect.name == "postgresql" else ":value"
    for column, value in (("study SET protocol", EARLIER_PROTOCOL), ("assignment SET evidence", EARLIER_EVIDENCE)):
        op.execute(sa.text(f"UPDATE {column} = {as_json}").bindparams(value=json.dumps(value)))
    op.execute("UPDATE assignment SET version = 1 + revisions WHERE submitted_at IS NOT NULL")
    op.execute("UPDATE rater SET instructed_at = invited_at, passed_practice_at = invited_at")


def downgrade() -> None:
    for table in ("guess", "practice_answer", "lint_waiver", "study_event", "explanation_view"):
        op.drop_table(table)
    op.drop_index("ix_rater_study_id_external_id", "rater")
    op.drop_index("ix_study_join_hash", "study")
    for table, columns in new_columns().items():
        for column in columns:
            op.drop_column(table, column.name)
