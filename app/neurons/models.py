"""Tables of the subject models: what was recorded of each neuron, on which text."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database import Base, UtcDateTime, utc_now

MLP = "mlp"


class SubjectModel(Base):
    """A language model whose neurons are studied, under the name people use for it."""

    __tablename__ = "subject_model"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    revision: Mapped[str] = mapped_column(sa.String(200))
    architecture: Mapped[str] = mapped_column(sa.String(100))
    n_layers: Mapped[int]
    n_neurons_per_layer: Mapped[int]
    dtype: Mapped[str] = mapped_column(sa.String(20))
    tokenizer_hash: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Corpus(Base):
    """Excerpts of a text, cut and chosen once; the same text, tokenizer, length and seed give the same corpus."""

    __tablename__ = "corpus"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    excerpt_length: Mapped[int]
    n_excerpts: Mapped[int]


class Excerpt(Base):
    """A stretch of text as the subject model reads it, stored once and referenced by every record."""

    __tablename__ = "excerpt"
    __table_args__ = (sa.UniqueConstraint("corpus_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    corpus_id: Mapped[int] = mapped_column(sa.ForeignKey("corpus.id"))
    position: Mapped[int]
    token_ids: Mapped[bytes]
    """int32, little endian, shape (tokens,)."""
    token_texts: Mapped[list[str]] = mapped_column(sa.JSON)


class Recording(Base):
    """One pass of a subject model over a corpus: its settings, and where its numbers come from."""

    __tablename__ = "recording"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subject_model.id"), unique=True)
    corpus_id: Mapped[int] = mapped_column(sa.ForeignKey("corpus.id"), index=True)
    status: Mapped[str] = mapped_column(sa.String(10))
    """`writing` until every neuron is stored, then `done`; readers see done recordings only."""
    settings: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    provenance: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    n_tokens: Mapped[int]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class Neuron(Base):
    """One neuron and the statistics of its activation over every token of the corpus."""

    __tablename__ = "neuron"
    __table_args__ = (
        sa.UniqueConstraint("subject_id", "site", "layer", "index"),
        # Read backwards by the list of neurons: ORDER BY maximum DESC, id DESC.
        sa.Index("ix_neuron_by_maximum", "subject_id", "site", "maximum", "id"),
        sa.Index("ix_neuron_by_layer_and_maximum", "subject_id", "site", "layer", "maximum", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subject_model.id"))
    site: Mapped[str] = mapped_column(sa.String(50), default=MLP)
    layer: Mapped[int]
    index: Mapped[int]
    maximum: Mapped[float]
    mean: Mapped[float]
    variance: Mapped[float]
    skewness: Mapped[float | None]
    kurtosis: Mapped[float | None]
    share_active: Mapped[float]
    """Share of tokens with an activation above 0."""
    q90: Mapped[float]
    """The 0.9 quantile of the excerpts' maxima: one number per excerpt, not per token."""

    subject: Mapped[SubjectModel] = relationship()


class ActivationRow(Base):
    """A neuron's activations on one excerpt, as kept: the best of them (`top`) and some drawn at random (`random`)."""

    __tablename__ = "activation_record"
    # Clustered by neuron on SQLite: a neuron page reads its thirty rows from neighbouring pages.
    __table_args__ = ({"sqlite_with_rowid": False},)

    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)
    band: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    excerpt_id: Mapped[int] = mapped_column(sa.ForeignKey("excerpt.id"))
    maximum: Mapped[float]
    activations: Mapped[bytes]
    """float16, little endian, shape (tokens,)."""
