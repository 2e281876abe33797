"""Stores imported explanations and their scores in batches. Importing the same file again changes nothing; another text
by the same explainer is its next sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database, utc_now
from app.errors import InvalidInput
from app.exchange.bare_neurons import Place, make_bare, neuron_ids
from app.exchange.explained import (
    CheckedExplanation,
    ImportedExplanation,
    ImportedScore,
    SimulatedSequence,
    checked_explanation,
)
from app.exchange.report import ImportReport, counted
from app.exchange.scores import ScoredExplanation, store_scores
from app.exchange.subjects import check_takes_texts, imported_subject, is_recorded, locked_subject
from app.explanations.models import DONE, FAILED, Explanation
from app.neurons.models import SubjectModel
from app.neurons.reading import subject_named

__all__ = ["ExplanationWriter", "ImportedExplanation", "ImportedScore", "SimulatedSequence"]

N_EXPLANATIONS_PER_BATCH = 500
N_TOKENS_PER_BATCH = 200_000
"""Of the sequences that their scores were simulated on; a batch ends at either."""

Key = tuple[int, str, str, str]
"""Neuron id, method, explainer, side: whose samples are numbered, whatever prompt pack they came by. A study shows the
first of them, so one that comes later must never stand before those that are here."""


@dataclass(frozen=True)
class Waiting:
    """An explanation that is not stored yet, and where it stands in its file."""

    place: str
    explanation: CheckedExplanation

    @property
    def neuron(self) -> Place:
        return self.explanation.layer, self.explanation.index


@dataclass
class Stored:
    """What came of a batch. scored: every explanation that is there now, with the scores it came with. refused: place
    and reason."""

    n_new: int = 0
    scored: list[ScoredExplanation] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


class ExplanationWriter:
    """Takes explanations one by one for one subject model, imported or recorded.

    Used as `with ExplanationWriter(...) as writer: writer.add(...)`; the last batch is stored at the end of the block,
    and not when the block raises. What cannot be used becomes a reject of the report.
    makes_neurons: an imported subject and its neurons that are not here are made, without activations. architecture:
    then PUZZLES for a subject of puzzles, UNKNOWN for one of neurons, None for either.
    Errors: UnknownName at once when there is no such subject and none is made; as check_takes_texts when one is.
    """

    def __init__(
        self,
        database: Database,
        subject_name: str,
        report: ImportReport,
        *,
        makes_neurons: bool = False,
        architecture: str | None = None,
    ) -> None:
        self._database = database
        self._subject_name = subject_name
        self._report = report
        self._makes_neurons = makes_neurons
        self._architecture = architecture
        self._batch: list[Waiting] = []
        self._n_tokens = 0
        self._n_made = 0
        self.neuron_ids: set[int] = set()
        """Of which this writer stored an explanation, or found it stored."""
        with database.reading() as session:
            if makes_neurons:
                check_takes_texts(session, subject_name, architecture)
            else:
                subject_named(session, subject_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            return
        self.flush()
        if self._n_made:
            self._report.remarks.append(f"{counted(self._n_made, 'neuron')} made without activations")

    def add(self, explanation: ImportedExplanation, place: str) -> None:
        """place: of the explanation in its file, for the report: "FILE" or "FILE, line N"."""
        try:
            checked = checked_explanation(explanation)
        except InvalidInput as error:
            self._report.reject(place, str(error))
            return
        self._batch.append(Waiting(place, checked))
        self._n_tokens += checked.n_simulated_tokens
        if len(self._batch) >= N_EXPLANATIONS_PER_BATCH or self._n_tokens >= N_TOKENS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Stores what waits, in one transaction."""
        batch, self._batch, self._n_tokens = self._batch, [], 0
        if not batch:
            return
        with self._database.writing() as session:
            subject = self._locked_subject(session, {one.neuron for one in batch})
            ids, n_made = self._neuron_ids(session, subject, {one.neuron for one in batch})
            stored = _store(session, [(ids[one.neuron], one) for one in batch if one.neuron in ids])
            n_scores = store_scores(session, subject, stored.scored)
        self.neuron_ids |= {one.neuron_id for one in stored.scored}
        self._n_made += n_made
        self._report.n_explanations += stored.n_new
        self._report.n_already_there += len(stored.scored) - stored.n_new
        self._report.n_scores += n_scores
        unknown = [(one.place, self._without(one.neuron, subject)) for one in batch if one.neuron not in ids]
        for place, reason in unknown + stored.refused:
            self._report.reject(place, reason)

    def _locked_subject(self, session: Session, places: set[Place]) -> SubjectModel:
        """Two imports, or an import and a batch, that number samples of one neuron take turns."""
        if not self._makes_neurons:
            return locked_subject(session, subject_named(session, self._subject_name).name)
        known = session.scalar(sa.select(SubjectModel.id).where(SubjectModel.name == self._subject_name))
        if known is not None and is_recorded(session, known):
            return locked_subject(session, self._subject_name)
        return imported_subject(
            session,
            self._subject_name,
            n_layers=max(layer for layer, _ in places) + 1,
            n_neurons_per_layer=max(index for _, index in places) + 1,
            architecture=self._architecture,
        )

    def _neuron_ids(self, session: Session, subject: SubjectModel, places: set[Place]) -> tuple[dict[Place, int], int]:
        """The ids of the neurons at these places that are here now, and how many of them were made for it."""
        ids = neuron_ids(session, subject.id, places)
        if not self._makes_neurons or is_recorded(session, subject.id):
            return ids, 0
        made = make_bare(session, subject, places - set(ids))
        return ids | made, len(made)

    def _without(self, neuron: Place, subject: SubjectModel) -> str:
        layer, index = neuron
        reason = f"{subject.name} has no neuron {layer}:{index} here"
        return f"{reason}; its layers are 0 to {subject.n_layers - 1}" if layer >= subject.n_layers > 0 else reason


def _store(session: Session, batch: Sequence[tuple[int, Waiting]]) -> Stored:
    """Stores the explanations that are not there yet. batch: each with its neuron's id."""
    samples = _samples(session, {neuron_id for neuron_id, _ in batch})
    stored = Stored()
    found: list[tuple[Explanation, CheckedExplanation]] = []
    for neuron_id, waiting in batch:
        one = waiting.explanation
        there = samples.setdefault((neuron_id, one.method, one.explainer, one.side), [])
        row = _the_same(there, one)
        if row is None and _is_taken(there, one):
            reason = f"sample {one.sample_number} of {one.method} by {one.explainer} is here with another text"
            stored.refused.append((waiting.place, f"{reason}; neuron {one.layer}:{one.index}"))
            continue
        if row is None:
            row = _row(neuron_id, one, _sample_number(there, one))
            there.append(row)
            session.add(row)
            stored.n_new += 1
        found.append((row, one))
    session.flush()
    stored.scored = [ScoredExplanation(row.id, row.neuron_id, one.scores) for row, one in found]
    return stored


def _samples(session: Session, neurons: set[int]) -> dict[Key, list[Explanation]]:
    samples: dict[Key, list[Explanation]] = {}
    for row in session.scalars(sa.select(Explanation).where(Explanation.neuron_id.in_(neurons))):
        samples.setdefault((row.neuron_id, row.method, row.explainer, row.side), []).append(row)
    return samples


def _the_same(there: Sequence[Explanation], one: CheckedExplanation) -> Explanation | None:
    """The sample that says the same; it is the one of that number where the file gives one."""
    said = (one.prompt_pack, one.text_received or one.text, one.failure)
    numbered = (row for row in there if one.sample_number in (None, row.sample_number))
    return next(
        (row for row in numbered if said == (row.prompt_pack, row.text_received or row.text, row.failure)), None
    )


def _is_taken(there: Sequence[Explanation], one: CheckedExplanation) -> bool:
    taken = {(row.prompt_pack, row.sample_number) for row in there}
    return (one.prompt_pack, one.sample_number) in taken


def _sample_number(there: Sequence[Explanation], one: CheckedExplanation) -> int:
    if one.sample_number is not None:
        return one.sample_number
    return max((row.sample_number for row in there), default=-1) + 1


def _row(neuron_id: int, one: CheckedExplanation, sample_number: int) -> Explanation:
    return Explanation(
        neuron_id=neuron_id,
        method=one.method,
        explainer=one.explainer,
        prompt_pack=one.prompt_pack,
        side=one.side,
        sample_number=sample_number,
        status=FAILED if one.failure else DONE,
        text_received=one.text_received,
        text=one.text,
        failure=one.failure,
        finished_at=utc_now(),
    )
