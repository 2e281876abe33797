"""Stores the scores of imported explanations, and what a simulator expected where the excerpts are here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.exchange.excerpts import store_excerpts
from app.exchange.explained import CheckedScore, CheckedSequence
from app.exchange.subjects import imported_corpus, is_recorded
from app.explanations.models import Score, SimulatedExcerpt
from app.neurons.models import ActivationRow, Excerpt, SubjectModel


@dataclass(frozen=True)
class ScoredExplanation:
    """A stored explanation and the scores that a file gives it."""

    explanation_id: int
    neuron_id: int
    scores: Sequence[CheckedScore]


def store_scores(session: Session, subject: SubjectModel, scored: Sequence[ScoredExplanation]) -> int:
    """Stores the scores whose metric by whose scorer their explanation lacks; returns how many.

    The caller holds the subject's lock.
    """
    new = list(_lacking(session, scored))
    rows = [_row(explanation, score) for explanation, score in new]
    session.add_all(rows)
    session.flush()
    here = _excerpts_here(session, subject, new)
    session.add_all(
        SimulatedExcerpt(
            score_id=row.id,
            rank=rank,
            excerpt_id=here[explanation.neuron_id, sequence.text.hash],
            expected=sequence.expected,
            correlation=sequence.correlation,
        )
        for (explanation, score), row in zip(new, rows, strict=True)
        for rank, sequence in enumerate(score.simulated)
        if (explanation.neuron_id, sequence.text.hash) in here
    )
    session.flush()
    return len(rows)


def _lacking(session: Session, scored: Sequence[ScoredExplanation]) -> Iterator[tuple[ScoredExplanation, CheckedScore]]:
    ids = {explanation.explanation_id for explanation in scored if explanation.scores}
    columns = sa.select(Score.explanation_id, Score.metric, Score.scorer)
    known = {tuple(row) for row in session.execute(columns.where(Score.explanation_id.in_(ids)))}
    for explanation in scored:
        for score in explanation.scores:
            key = (explanation.explanation_id, score.metric, score.scorer)
            if key not in known:
                known.add(key)
                yield explanation, score


def _row(explanation: ScoredExplanation, score: CheckedScore) -> Score:
    return Score(
        explanation_id=explanation.explanation_id,
        metric=score.metric,
        scorer=score.scorer,
        value=score.value,
        reason=score.reason,
        details=score.details,
    )


def _excerpts_here(
    session: Session, subject: SubjectModel, new: Sequence[tuple[ScoredExplanation, CheckedScore]]
) -> Mapping[tuple[int, bytes], int]:
    """The excerpt of each simulated sequence, by its neuron and the hash of its text.

    An imported subject gets those it lacks. A recording takes no foreign excerpts: there only those are found that the
    neuron has records of.
    """
    sequences = [(explanation.neuron_id, sequence) for explanation, score in new for sequence in score.simulated]
    if not sequences:
        return {}
    if is_recorded(session, subject.id):
        return _among_records(session, sequences)
    stored = store_excerpts(session, imported_corpus(session, subject), [sequence.text for _, sequence in sequences])
    return {(neuron_id, sequence.text.hash): stored[sequence.text.hash].id for neuron_id, sequence in sequences}


def _among_records(session: Session, sequences: Sequence[tuple[int, CheckedSequence]]) -> dict[tuple[int, bytes], int]:
    hashes = {(neuron_id, sequence.text.tokens): sequence.text.hash for neuron_id, sequence in sequences}
    rows = session.execute(
        sa.select(ActivationRow.neuron_id, Excerpt.token_texts, Excerpt.id)
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .where(ActivationRow.neuron_id.in_({neuron_id for neuron_id, _ in sequences}))
    )
    keyed = (((neuron_id, tuple(tokens)), excerpt_id) for neuron_id, tokens, excerpt_id in rows)
    return {(key[0], hashes[key]): excerpt_id for key, excerpt_id in keyed if key in hashes}
