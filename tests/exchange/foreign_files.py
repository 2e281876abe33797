"""Files as other tools write them, made up, and what the database holds of a subject model as plain values."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.database import Database
from app.exchange.activations import STATISTICS
from app.neurons.models import ActivationRow, Corpus, Excerpt, Neuron, SubjectModel

Json = dict[str, Any]
Record = tuple[Sequence[str], Sequence[Any]]

SUBJECT = "gpt2-tiny"
CAT: Record = (["The", " cat", " sat"], [0.0, 5.0, 1.25])
DOG: Record = (["A", " dog"], [-0.25, 2.5])
"""Exact in float16."""


def activation_record(record: Record) -> Json:
    tokens, activations = record
    return {"dataclass_name": "ActivationRecord", "tokens": tokens, "activations": activations}


def neuron_record(
    layer: Any = 0, index: Any = 0, *, top: Sequence[Record] = (CAT,), random: Sequence[Record] = (DOG,), **others: Any
) -> Json:
    """others: further fields, or other values for those that are here."""
    return {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": layer, "neuron_index": index},
        "most_positive_activation_records": [activation_record(record) for record in top],
        "random_sample": [activation_record(record) for record in random],
        "random_sample_by_quantile": None,
        "quantile_boundaries": None,
        "mean": 0.5,
        "variance": 1.5,
        "skewness": None,
        "kurtosis": 3.0,
        **others,
    }


def write_neurons(folder: Path, records: Sequence[Json]) -> Path:
    """One file L/N.json for each record; returns the folder."""
    for record in records:
        place = record["neuron_id"]
        write_json(folder / str(place["layer_index"]) / f"{place['neuron_index']}.json", record)
    return folder


def write_json(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def statistics_of(database: Database, subject: str = SUBJECT) -> dict[tuple[int, int], Json]:
    """Every neuron of the subject by layer and index, with its statistics that are not null."""
    with database.reading() as session:
        neurons = session.scalars(sa.select(Neuron).join(SubjectModel).where(SubjectModel.name == subject)).all()
        return {(neuron.layer, neuron.index): _present(neuron) for neuron in neurons}


def _present(neuron: Neuron) -> Json:
    values = {name: getattr(neuron, name) for name in (*STATISTICS, "maximum")}
    return {name: value for name, value in values.items() if value is not None}


def records_of(database: Database, subject: str = SUBJECT) -> Mapping[tuple[int, int, str], list[Record]]:
    """The kept records by layer, index and band, in rank order; ranks have no gaps."""
    query = (
        sa.select(Neuron.layer, Neuron.index, ActivationRow, Excerpt.token_texts)
        .join(Neuron, Neuron.id == ActivationRow.neuron_id)
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .join(SubjectModel)
        .where(SubjectModel.name == subject)
        .order_by(Neuron.layer, Neuron.index, ActivationRow.band, ActivationRow.rank)
    )
    records: dict[tuple[int, int, str], list[Record]] = {}
    with database.reading() as session:
        for layer, index, row, tokens in session.execute(query):
            band = records.setdefault((layer, index, row.band), [])
            activations = np.frombuffer(row.activations, "<f2").tolist()
            assert (row.rank, row.maximum) == (len(band), max(activations))
            band.append((tokens, activations))
    return records


def n_excerpts(database: Database, subject: str = SUBJECT) -> int:
    """How many excerpts are stored for an imported subject; the corpus says the same."""
    with database.reading() as session:
        corpus = session.scalars(sa.select(Corpus).where(Corpus.name == f"imported: {subject}")).one_or_none()
        if corpus is None:
            return 0
        counted = session.scalar(sa.select(sa.func.count()).where(Excerpt.corpus_id == corpus.id))
        assert counted == corpus.n_excerpts
        return corpus.n_excerpts
