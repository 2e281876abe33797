"""Excerpts of imported files in the tables: each text is stored once per corpus."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.exchange.excerpt_texts import ExcerptText
from app.neurons.models import Corpus, Excerpt

N_HASHES_PER_QUERY = 5000
"""Both databases limit the parameters of one statement."""


@dataclass(frozen=True)
class StoredExcerpt:
    """Where an excerpt is. position: in its corpus, from 0."""

    id: int
    position: int


def store_excerpts(session: Session, corpus: Corpus, texts: Iterable[ExcerptText]) -> dict[bytes, StoredExcerpt]:
    """Where each of these texts is in the corpus, by hash; those it lacks are added. The caller holds the lock of the
    corpus's subject."""
    wanted = {text.hash: text for text in texts}
    stored = _found(session, corpus, wanted)
    missing = [text for text_hash, text in wanted.items() if text_hash not in stored]
    if missing:
        stored |= _added(session, corpus, missing)
    return stored


def _found(session: Session, corpus: Corpus, wanted: Mapping[bytes, ExcerptText]) -> dict[bytes, StoredExcerpt]:
    if corpus.n_excerpts == 0:
        return {}
    columns = sa.select(Excerpt.text_hash, Excerpt.id, Excerpt.position).where(Excerpt.corpus_id == corpus.id)
    hashes = list(wanted)
    parts = (hashes[first : first + N_HASHES_PER_QUERY] for first in range(0, len(hashes), N_HASHES_PER_QUERY))
    return {
        text_hash: StoredExcerpt(excerpt_id, position)
        for part in parts
        for text_hash, excerpt_id, position in session.execute(columns.where(Excerpt.text_hash.in_(part)))
        if text_hash is not None
    }


def _added(session: Session, corpus: Corpus, missing: Sequence[ExcerptText]) -> dict[bytes, StoredExcerpt]:
    first = corpus.n_excerpts
    rows = [
        {
            "corpus_id": corpus.id,
            "position": position,
            "token_ids": b"",
            "token_texts": text.tokens,
            "text_hash": text.hash,
        }
        for position, text in enumerate(missing, first)
    ]
    session.execute(sa.insert(Excerpt.__table__), rows)  # type: ignore[arg-type]
    corpus.n_excerpts += len(missing)
    corpus.excerpt_length = max(corpus.excerpt_length, *(len(text.tokens) for text in missing))
    session.flush()
    mine = sa.select(Excerpt.id).where(Excerpt.corpus_id == corpus.id, Excerpt.position >= first)
    ids = session.scalars(mine.order_by(Excerpt.position))
    return {
        text.hash: StoredExcerpt(excerpt_id, position)
        for (position, text), excerpt_id in zip(enumerate(missing, first), ids, strict=True)
    }
