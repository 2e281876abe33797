"""Stores imported explanations and their scores in batches. Importing the same file again changes nothing; another text
by the same explainer is its next sample."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database, utc_now
from app.errors import InvalidInput
from app.exchange.explained import (
    CheckedExplanation,
    ImportedExplanation,
    ImportedScore,
    SimulatedSequence,
    checked_explanation,
)
from app.exchange.neurons import neuron_ids
from app.exchange.report import ImportReport
from app.exchange.scores import ScoredExplanation, store_scores
from app.explanations.models import DONE, FAILED, Explanation
from app.neurons.models import SubjectModel
from app.neurons.reading import subject_named
from app.neurons.records import Side

__all__ = ["ExplanationWriter", "ImportedExplanation", "ImportedScore", "SimulatedSequence"]

N_EXPLANATIONS_PER_BATCH = 200
SIDE: Side = "positive"
"""What foreign files explain: a neuron's large activations."""

N_TOKENS_PER_BATCH = 200_000
"""Of the sequences that their scores were simulated on; a batch ends at either."""

Key = tuple[int, str, str]
"""Neuron id, method, explainer: whose samples are numbered, whatever prompt pack they came by. A study shows the first
of them, so one that comes later must never stand before those that are here."""


class ExplanationWriter:
    """Takes explanations one by one for one subject model, imported or recorded.

    Used as `with ExplanationWriter(...) as writer: writer.add(...)`; the last batch is stored at the end of the block,
    and not when the block raises. What cannot be used becomes a reject of the report.
    Errors: UnknownName at once when there is no such subject.
    """

    def __init__(self, database: Database, subject_name: str, report: ImportReport) -> None:
        self._database = database
        self._subject_name = subject_name
        self._report = report
        self._batch: list[tuple[str, CheckedExplanation]] = []
        self._n_tokens = 0
        with database.reading() as session:
            subject_named(session, subject_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.flush()

    def add(self, explanation: ImportedExplanation, place: str) -> None:
        """place: of the explanation in its file, for the report: "FILE" or "FILE, line N"."""
        try:
            checked = checked_explanation(explanation)
        except InvalidInput as error:
            self._report.reject(place, str(error))
            return
        self._batch.append((place, checked))
        self._n_tokens += checked.n_simulated_tokens
        if len(self._batch) >= N_EXPLANATIONS_PER_BATCH or self._n_tokens >= N_TOKENS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Stores what waits, in one transaction."""
        batch, self._batch, self._n_tokens = self._batch, [], 0
        if not batch:
            return
        with self._database.writing() as session:
            subject = _locked_subject(session, self._subject_name)
            ids = neuron_ids(session, subject.id, [(one.layer, one.index) for _, one in batch])
            known = [(ids[one.layer, one.index], one) for _, one in batch if (one.layer, one.index) in ids]
            n_new, scored = _store(session, known)
            n_scores = store_scores(session, subject, scored)
        self._report.n_explanations += n_new
        self._report.n_already_there += len(known) - n_new
        self._report.n_scores += n_scores
        for place, one in batch:
            if (one.layer, one.index) not in ids:
                self._report.reject(place, f"{self._subject_name} has no neuron {one.layer}:{one.index} here")


def _locked_subject(session: Session, name: str) -> SubjectModel:
    subject = subject_named(session, name)
    # Two imports, or an import and a batch, that number samples of one neuron take turns.
    session.execute(sa.select(SubjectModel.id).where(SubjectModel.id == subject.id).with_for_update())
    return subject


def _store(session: Session, batch: Sequence[tuple[int, CheckedExplanation]]) -> tuple[int, list[ScoredExplanation]]:
    """Stores the explanations that are not there yet. batch: each with its neuron's id.

    Returns how many are new, and for all of them, those of before too, where their scores go.
    """
    samples = _samples(session, {neuron_id for neuron_id, _ in batch})
    rows: list[Explanation] = []
    n_new = 0
    for neuron_id, one in batch:
        there = samples.setdefault((neuron_id, one.method, one.explainer), [])
        row = next((row for row in there if _says_the_same(row, one)), None)
        if row is None:
            row = _row(neuron_id, one, sample_number=max((row.sample_number for row in there), default=-1) + 1)
            there.append(row)
            session.add(row)
            n_new += 1
        rows.append(row)
    session.flush()
    return n_new, [
        ScoredExplanation(row.id, neuron_id, one.scores) for row, (neuron_id, one) in zip(rows, batch, strict=True)
    ]


def _samples(session: Session, neurons: set[int]) -> dict[Key, list[Explanation]]:
    samples: dict[Key, list[Explanation]] = {}
    there = sa.select(Explanation).where(Explanation.neuron_id.in_(neurons), Explanation.side == SIDE)
    for row in session.scalars(there):
        samples.setdefault((row.neuron_id, row.method, row.explainer), []).append(row)
    return samples


def _says_the_same(row: Explanation, one: CheckedExplanation) -> bool:
    said = (row.prompt_pack, row.text_received, row.failure)
    return said == (one.prompt_pack, one.text_received, one.failure)


def _row(neuron_id: int, one: CheckedExplanation, sample_number: int) -> Explanation:
    return Explanation(
        neuron_id=neuron_id,
        method=one.method,
        explainer=one.explainer,
        prompt_pack=one.prompt_pack,
        side=SIDE,
        sample_number=sample_number,
        status=FAILED if one.failure else DONE,
        text_received=one.text_received,
        text=one.text,
        failure=one.failure,
        finished_at=utc_now(),
    )
