"""Stores imported neurons in batches: each batch is there whole or not at all, and an import that was stopped goes on
where it was when it is run again."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import InvalidInput
from app.exchange.activations import (
    MOST_RECORDS_PER_BAND,
    CheckedNeuron,
    ImportedNeuron,
    ImportedRecord,
    checked_neuron,
)
from app.exchange.bare_neurons import Place, bare_places, fill_bare, neuron_ids
from app.exchange.excerpts import StoredExcerpt, store_excerpts
from app.exchange.report import ImportReport, counted
from app.exchange.subjects import UNKNOWN, check_takes_activations, imported_corpus, imported_subject
from app.neurons.models import MLP, Neuron
from app.neurons.storing import ActivationTuple, insert_activations

__all__ = ["ImportedNeuron", "ImportedRecord", "NeuronWriter", "Place"]

N_NEURONS_PER_BATCH = 200
N_RECORDS_PER_BATCH = 20_000
"""A batch ends at either: one neuron may have very many records."""


class NeuronWriter:
    """Takes neurons one by one for one imported subject, which is made with the first batch and grows with each. A
    neuron that is here without activations is filled; any other that is here stays as it is.

    Used as `with NeuronWriter(...) as writer: writer.add(...)`; the last batch is stored at the end of the block, and
    not when the block raises. A neuron that cannot be used becomes a reject of the report.
    architecture: PUZZLES for puzzles.
    Errors: InvalidInput or Conflict at once when the subject cannot take activations.
    """

    def __init__(
        self, database: Database, subject_name: str, report: ImportReport, architecture: str = UNKNOWN
    ) -> None:
        self._database = database
        self._subject_name = subject_name
        self._architecture = architecture
        self._report = report
        self._batch: list[CheckedNeuron] = []
        self._n_records = 0
        self._n_cut = 0
        self._first_places: dict[Place, str] = {}
        with database.reading() as session:
            check_takes_activations(session, subject_name, architecture)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            return
        self.flush()
        if self._n_cut:
            cut = counted(self._n_cut, "record")
            self._report.remarks.append(f"{cut} not kept: beyond the first {MOST_RECORDS_PER_BAND} of a band")

    def add(self, neuron: ImportedNeuron, place: str) -> None:
        """place: of the neuron in its file, for the report: "FILE" or "FILE, line N"."""
        try:
            checked = checked_neuron(neuron)
        except InvalidInput as error:
            self._report.reject(place, str(error))
            return
        at = (neuron.layer, neuron.index)
        if first := self._first_places.get(at):
            self._report.reject(place, f"neuron {neuron.layer}:{neuron.index} is there twice, first in {first}")
            return
        self._first_places[at] = place
        self._batch.append(checked)
        self._n_records += checked.n_records
        if len(self._batch) >= N_NEURONS_PER_BATCH or self._n_records >= N_RECORDS_PER_BATCH:
            self.flush()

    def flush(self) -> None:
        """Stores what waits, in one transaction."""
        batch = sorted(self._batch, key=_place)
        self._batch, self._n_records = [], 0
        if not batch:
            return
        with self._database.writing() as session:
            new = _store(session, self._subject_name, self._architecture, batch)
        self._report.n_neurons += len(new)
        self._report.n_records += sum(neuron.n_records for neuron in new)
        self._report.n_already_there += len(batch) - len(new)
        self._n_cut += sum(neuron.n_cut for neuron in new)


def _store(
    session: Session, subject_name: str, architecture: str, batch: Sequence[CheckedNeuron]
) -> list[CheckedNeuron]:
    """Stores the neurons whose activations are not there yet; returns these."""
    subject = imported_subject(
        session,
        subject_name,
        n_layers=max(neuron.layer for neuron in batch) + 1,
        n_neurons_per_layer=max(neuron.index for neuron in batch) + 1,
        architecture=architecture,
    )
    there = neuron_ids(session, subject.id, [_place(neuron) for neuron in batch])
    bare = bare_places(session, there)
    new = [neuron for neuron in batch if _place(neuron) not in there or _place(neuron) in bare]
    if not new:
        return []
    corpus = imported_corpus(session, subject)
    texts = (record.text for neuron in new for records in neuron.bands.values() for record in records)
    excerpts = store_excerpts(session, corpus, texts)
    rows = [_neuron_row(subject.id, neuron, excerpts) for neuron in new if _place(neuron) not in there]
    if rows:
        session.execute(sa.insert(Neuron.__table__), rows)  # type: ignore[arg-type]
    fill_bare(session, [_neuron_row(subject.id, neuron, excerpts) for neuron in new if _place(neuron) in bare], there)
    ids = neuron_ids(session, subject.id, [_place(neuron) for neuron in new])
    insert_activations(session.connection(), _activation_rows(new, ids, excerpts))
    return new


def _place(neuron: CheckedNeuron) -> Place:
    return neuron.layer, neuron.index


def _neuron_row(subject_id: int, neuron: CheckedNeuron, excerpts: dict[bytes, StoredExcerpt]) -> dict[str, Any]:
    peak = neuron.peak
    return {
        "subject_id": subject_id,
        "site": MLP,
        "layer": neuron.layer,
        "index": neuron.index,
        "maximum": peak.maximum,
        "maximum_excerpt": excerpts[peak.text.hash].position,
        "maximum_token": int(peak.activations.argmax()),
        **neuron.statistics,
    }


def _activation_rows(
    new: Sequence[CheckedNeuron], ids: dict[Place, int], excerpts: dict[bytes, StoredExcerpt]
) -> Iterator[ActivationTuple]:
    # In the order of the primary key (neuron, band, rank), so that SQLite appends to its tree instead of splitting it.
    for neuron in sorted(new, key=lambda neuron: ids[_place(neuron)]):
        neuron_id = ids[_place(neuron)]
        for band, records in sorted(neuron.bands.items()):
            for rank, record in enumerate(records):
                stored = record.activations.tobytes()
                yield neuron_id, band, rank, excerpts[record.text.hash].id, record.maximum, stored
