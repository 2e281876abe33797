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
    __table_args__ = (
        sa.UniqueConstraint("corpus_id", "position"),
        # Imports look an excerpt up by its text, for the same one recurs across neurons.
        sa.Index("ix_excerpt_by_text", "corpus_id", "text_hash", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    corpus_id: Mapped[int] = mapped_column(sa.ForeignKey("corpus.id"))
    position: Mapped[int]
    token_ids: Mapped[bytes]
    """int32, little endian, shape (tokens,); empty where an import knew the texts only."""
    token_texts: Mapped[list[str]] = mapped_column(sa.JSON)
    text_hash: Mapped[bytes | None]
    """Of the token texts; null where excerpts came with token ids."""


class Recording(Base):
    """One pass of a subject model over a corpus: its settings, and where its numbers come from."""

    __tablename__ = "recording"

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subject_model.id"), unique=True)
    corpus_id: Mapped[int] = mapped_column(sa.ForeignKey("corpus.id"), index=True)
    status: Mapped[str] = mapped_column(sa.String(10))
    """`writing` until every neuron is stored, then `done`; `failed` or `cancelled` when it ended before. Readers see
    done recordings only."""
    failure: Mapped[str | None]
    """Why it failed, one sentence."""
    settings: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    provenance: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    n_tokens: Mapped[int]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class RecordingPart(Base):
    """What one stretch of the corpus added to the recording of one layer; gone once the layer is stored.

    Parts are what a killed recording goes on from, and how workers hand in what they recorded.
    """

    __tablename__ = "recording_part"

    recording_id: Mapped[int] = mapped_column(sa.ForeignKey("recording.id"), primary_key=True)
    first_excerpt: Mapped[int] = mapped_column(primary_key=True)
    """Position of the stretch's first excerpt in the corpus."""
    layer: Mapped[int] = mapped_column(primary_key=True)
    n_excerpts: Mapped[int]
    seconds: Mapped[float]
    """Of the pass over this stretch, all layers; the same in each layer's part."""
    content: Mapped[bytes]
    """As worker/recording/parts.py writes it."""


class Neuron(Base):
    """One neuron and the statistics of its activation over every token of the corpus that counts.

    Statistics that an import did not bring are null.
    """

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
    maximum_excerpt: Mapped[int | None]
    """Position in the corpus of the excerpt with the maximum."""
    maximum_token: Mapped[int | None]
    """Which token of that excerpt, from 0."""
    minimum: Mapped[float | None]
    minimum_excerpt: Mapped[int | None]
    minimum_token: Mapped[int | None]
    mean: Mapped[float | None]
    variance: Mapped[float | None]
    skewness: Mapped[float | None]
    kurtosis: Mapped[float | None]
    share_active: Mapped[float | None]
    """Share of tokens with an activation above 0."""
    q50: Mapped[float | None]
    """The 0.5 quantile of the excerpts' maxima: one number per excerpt, not per token. So are q90, q99 and q999."""
    q90: Mapped[float | None]
    q99: Mapped[float | None]
    q999: Mapped[float | None]
    q90_negative: Mapped[float | None]
    """The 0.9 quantile of the excerpts' minima with their sign turned; null where only large values were looked for."""
    histogram: Mapped[bytes | None]
    """Counts of excerpts by their maxima in 64 bins of equal width: int32, little endian, shape (64,)."""
    histogram_low: Mapped[float | None]
    """Lower edge of the first bin: the smallest of the excerpts' maxima."""
    histogram_high: Mapped[float | None]
    """Upper edge of the last bin: the largest of them."""

    subject: Mapped[SubjectModel] = relationship()


class NeuronSet(Base):
    """Neurons of one subject model under a name: what batches, tables and studies are about."""

    __tablename__ = "neuron_set"
    __table_args__ = (sa.UniqueConstraint("subject_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subject_model.id"))
    name: Mapped[str] = mapped_column(sa.String(100))
    chosen: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    """How they were chosen, for people to read: kind, number, threshold, seed, ..."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class NeuronSetMember(Base):
    """That a neuron is in a set."""

    __tablename__ = "neuron_set_member"
    __table_args__ = ({"sqlite_with_rowid": False},)

    set_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron_set.id", ondelete="CASCADE"), primary_key=True)
    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)


class ActivationRow(Base):
    """A neuron's activations on one excerpt, as kept; app/neurons/records.py says what the bands are."""

    __tablename__ = "activation_record"
    # Clustered by neuron on SQLite: a neuron page reads its dozens of rows from neighbouring pages.
    __table_args__ = ({"sqlite_with_rowid": False},)

    neuron_id: Mapped[int] = mapped_column(sa.ForeignKey("neuron.id"), primary_key=True)
    band: Mapped[str] = mapped_column(sa.String(10), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    excerpt_id: Mapped[int] = mapped_column(sa.ForeignKey("excerpt.id"))
    maximum: Mapped[float]
    """Over the tokens that count; in the band `bottom` the minimum over them."""
    activations: Mapped[bytes]
    """float16, little endian, shape (tokens,); 0 at tokens that do not count."""
