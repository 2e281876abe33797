"""Writes neurons as NeuronRecord files `LAYER/INDEX.json`, which other tools read and the import takes in again.

What the format has no place for stays out: the bottom band, the histogram, and where the maximum was.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.exchange.neuron_record_format import MOMENTS, neuron_record_json
from app.exchange.neurons import Place
from app.exchange.storable import finite
from app.exchange.whole_files import write_whole
from app.neurons.bare import bare_condition
from app.neurons.models import MLP, ActivationRow, Excerpt, Neuron
from app.neurons.reading import STORED_FLOAT, subject_named
from app.neurons.records import QUANTILE_BANDS, ActivationRecord

N_NEURONS_PER_BATCH = 100

Bands = dict[str, list[ActivationRecord]]


def export_neuron_records(
    database: Database,
    *,
    subject_name: str,
    to: Path,
    neurons: Sequence[Place] | None = None,
    overwrite: bool = False,
) -> int:
    """Writes one file per neuron; returns how many. neurons: layer and index of each, None for all of the subject.

    Neurons without activations are left out: the format has no place for them.
    Errors: UnknownName without the subject; InvalidInput when none of the neurons is here or a file cannot be written;
    Conflict, and nothing is written, when a file is there already and may not be overwritten.
    """
    with database.reading() as session:
        ids = _chosen_ids(session, subject_name, neurons)
        if not overwrite and (there := next((place for place in ids if _file(to, place).exists()), None)):
            raise Conflict(f"{_file(to, there)} is there already; expected a new folder, or --overwrite")
        places = list(ids)
        for first in range(0, len(places), N_NEURONS_PER_BATCH):
            batch = {ids[place] for place in places[first : first + N_NEURONS_PER_BATCH]}
            bands = _bands(session, batch)
            for neuron in session.scalars(sa.select(Neuron).where(Neuron.id.in_(batch))):
                _write(_file(to, (neuron.layer, neuron.index)), neuron, bands.get(neuron.id, {}))
            # What is written is not looked at again; a whole model would not fit into memory.
            session.expunge_all()
    return len(ids)


def _chosen_ids(session: Session, subject_name: str, neurons: Sequence[Place] | None) -> dict[Place, int]:
    subject = subject_named(session, subject_name)
    rows = session.execute(
        sa.select(Neuron.layer, Neuron.index, Neuron.id)
        .where(Neuron.subject_id == subject.id, Neuron.site == MLP, ~bare_condition())
        .order_by(Neuron.layer, Neuron.index)
    )
    wanted = None if neurons is None else set(neurons)
    ids = {(layer, index): neuron_id for layer, index, neuron_id in rows if wanted is None or (layer, index) in wanted}
    if not ids:
        raise InvalidInput(f"{subject_name} has no neuron with activations among those asked for")
    return ids


def _file(folder: Path, place: Place) -> Path:
    return folder / str(place[0]) / f"{place[1]}.json"


def _bands(session: Session, neuron_ids: set[int]) -> dict[int, Bands]:
    rows = session.execute(
        sa.select(ActivationRow.neuron_id, ActivationRow.band, Excerpt.token_texts, ActivationRow.activations)
        .join(Excerpt, Excerpt.id == ActivationRow.excerpt_id)
        .where(ActivationRow.neuron_id.in_(neuron_ids))
        .order_by(ActivationRow.neuron_id, ActivationRow.band, ActivationRow.rank)
    )
    bands: dict[int, Bands] = {}
    for neuron_id, band, tokens, stored in rows:
        record = ActivationRecord(tuple(tokens), np.frombuffer(stored, STORED_FLOAT))
        bands.setdefault(neuron_id, {}).setdefault(band, []).append(record)
    return bands


def _write(file: Path, neuron: Neuron, bands: Mapping[str, Sequence[ActivationRecord]]) -> None:
    statistics = {name: finite(getattr(neuron, name)) for name in (*MOMENTS, *QUANTILE_BANDS)}
    content = neuron_record_json(neuron.layer, neuron.index, bands, statistics)
    try:
        write_whole(file, json.dumps(content, allow_nan=False).encode())
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from None
