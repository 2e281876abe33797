"""Tables of what is asked of models: batches, what was paid for, prices, and how fast a server may be asked."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database import Base, UtcDateTime, utc_now
from app.explanations.models import DONE, FAILED, QUEUED
from app.neurons.models import SubjectModel

RUNNING, PAUSED, CANCELLED = "running", "paused", "cancelled"
"""Further states of a batch, beside queued, done and failed."""
EXPLANATIONS, SCORES = "explanations", "scores"
"""What a batch makes."""
__all__ = [
    "CANCELLED",
    "DONE",
    "EXPLANATIONS",
    "FAILED",
    "PAUSED",
    "QUEUED",
    "RUNNING",
    "SCORES",
    "Batch",
    "CallAllowance",
    "CallReservation",
    "ModelPrice",
    "PaidCall",
]


class Batch(Base):
    """Explanations or scores ordered together: neurons x methods by one explainer, or explanations x one metric by one
    scorer."""

    __tablename__ = "batch"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(20), default=EXPLANATIONS, server_default=EXPLANATIONS)
    subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subject_model.id"), index=True)
    methods: Mapped[list[str]] = mapped_column(sa.JSON)
    """Of the explanations that are made or scored."""
    explainer: Mapped[str] = mapped_column(sa.String(200))
    """Who is asked, as people name it: `openai:gpt-4`, `local:smollm2`, or `none` where no model is needed."""
    settings: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """ExplainerSettings or ScorerSettings as JSON: base URL, local path, temperature, ...; never a key."""
    status: Mapped[str] = mapped_column(sa.String(10), default=QUEUED)
    failure: Mapped[str | None]
    """Why the whole batch failed or was paused by itself, one sentence."""
    remark: Mapped[str | None]
    """What people should know of how it ran, one sentence: a setting that the model refused, for example."""
    submission: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often it was handed to the workers again: jobs of an earlier submission stop by themselves."""
    budget_usd: Mapped[float | None]
    budget_tokens: Mapped[int | None] = mapped_column(sa.BigInteger)
    """What it may spend at most, prompt and completion tokens together; null: no bound."""
    spent_usd: Mapped[float] = mapped_column(default=0.0, server_default="0")
    spent_tokens: Mapped[int] = mapped_column(sa.BigInteger, default=0, server_default="0")
    """Of all its answered calls, also those whose explanation failed."""
    n_calls: Mapped[int] = mapped_column(default=0, server_default="0")
    """Answered calls that were paid for or computed by it."""
    n_explanations: Mapped[int]
    """Explanations or scores to be made by it."""
    n_reused: Mapped[int] = mapped_column(default=0)
    """Those that were asked for and existed already."""
    n_shards: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    subject: Mapped[SubjectModel] = relationship()


class PaidCall(Base):
    """An answer of a model, kept so that nothing is paid twice."""

    __tablename__ = "paid_call"

    key: Mapped[bytes] = mapped_column(primary_key=True)
    """SHA-256 of model, server, messages, settings, sample and attempt."""
    answer: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """Text, finish reason, token counts, ... as worker/explaining/paid_chat.py writes it."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class CallReservation(Base):
    """What a call under way may cost at most. Asked again after a crash, the call replaces its own reservation."""

    __tablename__ = "call_reservation"

    batch_id: Mapped[int] = mapped_column(sa.ForeignKey("batch.id"), primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)
    """Of the PaidCall that it will become, where answers are kept."""
    usd: Mapped[float]
    tokens: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    """When the call was begun, or last said that it is still under way: one that is silent for long is dead."""


class CallAllowance(Base):
    """How far ahead the allowed rate of a server's model is used up, by all workers together."""

    __tablename__ = "call_allowance"

    model: Mapped[str] = mapped_column(sa.String(400), primary_key=True)
    """Server and model."""
    unit: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    """`requests` or `tokens`."""
    used_until: Mapped[float]
    """Seconds since 1970: the moment until which what was taken fills the allowed rate."""


class ModelPrice(Base):
    """What a model costs from a day on, as an admin entered it. No price comes with this program."""

    __tablename__ = "model_price"

    model: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    """As an explainer names it: `openai:gpt-4`."""
    as_of: Mapped[date] = mapped_column(primary_key=True)
    usd_per_million_prompt_tokens: Mapped[float]
    usd_per_million_completion_tokens: Mapped[float]
    source: Mapped[str]
    """Where the admin read it."""
