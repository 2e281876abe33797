"""Tables of what explainers said. A failed explanation has a reason and no text, so that it can never reach a rater."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database import Base, UtcDateTime, utc_now
from app.neurons.models import Neuron

QUEUED, DONE, FAILED = "queued", "done", "failed"
"""States of an explanation and of a score."""


class Asked:
    """What explanations and scores have in common: a batch asks models for them, and each costs something.

    Rows without a batch were imported.
    """

    batch_id: Mapped[int | None] = mapped_column(sa.ForeignKey("batch.id"))
    shard: Mapped[int | None]
    """Which of the batch's shards it is made in, from 0."""
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often it has failed and was asked for again: another attempt never gets the same cached answer."""
    status: Mapped[str] = mapped_column(sa.String(10), default=QUEUED)
    failure: Mapped[str | None] = mapped_column(sa.String(30))
    """A reason out of `app.explanations.failures`."""
    failure_detail: Mapped[str | None]
    n_prompt_tokens: Mapped[int | None]
    n_completion_tokens: Mapped[int | None]
    cost_usd: Mapped[float | None]
    """Null where no price is known; 0 for what runs on this machine, and for answers that were paid before."""
    seconds: Mapped[float | None]
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Explanation(Asked, Base):
    """One description of one neuron by one method and explainer."""

    __tablename__ = "explanation"
    __table_args__ = (
        sa.UniqueConstraint(
            "neuron_id", "method", "explainer", "prompt_pack", "side", "sample_number", name="uq_explanation_sample"
        ),
        sa.Index("ix_explanation_batch_id_shard", "batch_id", "shard", "status"),
        sa.CheckConstraint("(status = 'done') = (text IS NOT NULL)", name="only_done_has_text"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="only_failed_has_failure"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"))
    method: Mapped[str] = mapped_column(sa.String(50))
    explainer: Mapped[str] = mapped_column(sa.String(200))
    prompt_pack: Mapped[str] = mapped_column(sa.String(100))
    """Name and hash of the prompt pack, `default@1f3a...`; `none` for the method `tokens`."""
    side: Mapped[str] = mapped_column(sa.String(10), default="positive")
    """What it describes: the neuron's large activations (`positive`), or its very negative ones (`negative`)."""
    sample_number: Mapped[int] = mapped_column(default=0)
    text_received: Mapped[str | None]
    """The completion verbatim, also of a failure that has one."""
    text: Mapped[str | None]
    """The text as shown: the same normalisation for every method."""

    neuron: Mapped[Neuron] = relationship()


class Score(Asked, Base):
    """How well one explanation does by one metric, as one scorer measured it.

    Done without a value it is undefined, for a reason: that is a result. Failed it came to nothing, and can be asked
    for again.
    """

    __tablename__ = "score"
    __table_args__ = (
        sa.UniqueConstraint("explanation_id", "metric", "scorer"),
        sa.Index("ix_score_batch_id_shard", "batch_id", "shard", "status"),
        sa.CheckConstraint(
            "(status = 'done') = (value IS NOT NULL OR reason IS NOT NULL)", name="only_done_has_result"
        ),
        sa.CheckConstraint("value IS NULL OR reason IS NULL", name="value_or_reason"),
        sa.CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="only_failed_has_failure"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    explanation_id: Mapped[int] = mapped_column(sa.ForeignKey("explanation.id"))
    metric: Mapped[str] = mapped_column(sa.String(50))
    """`simulation`, `adacs`, `detection`, `fuzzing`, `lexical`, or what an import calls it."""
    scorer: Mapped[str] = mapped_column(sa.String(200))
    """Who measured: a model and those of its settings that change the value, or `imported`."""
    status: Mapped[str] = mapped_column(sa.String(10), default=DONE, server_default=DONE)
    value: Mapped[float | None]
    reason: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """What else the metric says: `ev_correlation_score` of parts, `rsquared_score`, counts, ..."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class SimulatedExcerpt(Base):
    """What a simulator expected of a neuron on one excerpt, given one explanation."""

    __tablename__ = "simulated_excerpt"

    score_id: Mapped[int] = mapped_column(sa.ForeignKey("score.id"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    """The excerpt's place among those scored, from 0."""
    excerpt_id: Mapped[int] = mapped_column(sa.ForeignKey("excerpt.id"))
    expected: Mapped[bytes]
    """Expected activations on the simulator's scale: float32, little endian, shape (tokens,)."""
    correlation: Mapped[float | None]
    """With the true activations of this excerpt; null where undefined."""


class ExplanationView(Base):
    """That an account saw which method wrote what about a neuron: whoever did cannot rate that neuron blindly."""

    __tablename__ = "explanation_view"

    account_id: Mapped[int] = mapped_column(sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
