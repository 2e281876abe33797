"""Writes a subject model's explanations as a Neuronpedia export, which the import of this format reads again."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.exchange.neuronpedia_files import EXPLANATIONS
from app.exchange.neuronpedia_rows import model_name_of, type_of
from app.exchange.whole_files import write_whole
from app.explanations.models import DONE, Explanation
from app.neurons.models import MLP, Neuron, SubjectModel
from app.neurons.reading import subject_named

N_ROWS_PER_BATCH = 1024
VERSION = "v1"
EXPORTED_SIDE = "positive"
"""The format has no place for what a neuron's very negative activations mean."""


def export_neuronpedia(
    database: Database,
    *,
    subject_name: str,
    to: Path,
    neurons: Sequence[tuple[int, int]] | None = None,
    overwrite: bool = False,
) -> int:
    """Writes `to`/v1/SUBJECT/LAYER-mlp/explanations/batch-N.jsonl.gz and returns how many explanations it wrote.

    neurons: layer and index of those to write, None for all. overwrite: replaces earlier batches of the same layers.
    Errors: UnknownName for a subject that is not there; Conflict when a layer's folder has batches already;
    InvalidInput when there is nothing to write, or the folder cannot be written.
    """
    chosen_places = None if neurons is None else set(neurons)
    n_rows = 0
    with database.reading() as session:
        subject = subject_named(session, subject_name)
        # Hubs name models `owner/model`; a slash in a folder's name would make two folders of it.
        model_folder = to / VERSION / subject.name.replace("/", "_")
        layers = _layers(session, subject.id)
        folders = {layer: model_folder / f"{layer}-mlp" / EXPLANATIONS for layer in layers}
        try:
            # All folders before the first file: a refused export leaves nothing behind.
            for folder in folders.values():
                if not overwrite and (earlier := _batches_in(folder)):
                    raise Conflict(f"{earlier[0]} is there already; expected a folder without it")
            for layer, folder in folders.items():
                rows = _rows(session, subject, layer, chosen_places)
                _write_batches(folder, rows)
                n_rows += len(rows)
        except OSError as error:
            raise InvalidInput(f"{error.filename or to} cannot be written: {error.strerror}") from None
    if not n_rows:
        raise InvalidInput(f"{subject_name} has no explanation to export among the neurons asked for")
    return n_rows


def _layers(session: Session, subject_id: int) -> list[int]:
    """The layers of which a neuron has an explanation to export."""
    query = sa.select(Neuron.layer).distinct().join(Explanation, Explanation.neuron_id == Neuron.id)
    return list(session.scalars(query.where(*_exported(subject_id)).order_by(Neuron.layer)))


def _exported(subject_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        Neuron.subject_id == subject_id,
        Neuron.site == MLP,
        Explanation.status == DONE,
        Explanation.side == EXPORTED_SIDE,
    )


def _rows(
    session: Session, subject: SubjectModel, layer: int, chosen_places: set[tuple[int, int]] | None
) -> list[dict[str, str | None]]:
    """The rows of a layer in the order of the format: 10 comes before 2, and samples as they were numbered."""
    query = (
        sa.select(Neuron.index, Explanation)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .where(*_exported(subject.id), Neuron.layer == layer)
    )
    # Python orders the rows: databases differ in how they order text.
    explained = sorted(
        (
            (str(index), said.method, said.explainer, said.prompt_pack, said.sample_number, said.text)
            for index, said in session.execute(query)
            if chosen_places is None or (layer, index) in chosen_places
        ),
    )
    return [
        {
            "modelId": subject.name,
            "layer": f"{layer}-mlp",
            "index": index,
            "description": text,
            "typeName": type_of(method, prompt_pack),
            "explanationModelName": model_name_of(explainer),
            "authorId": None,
        }
        for index, method, explainer, prompt_pack, _, text in explained
    ]


def _batches_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("batch-*"))


def _write_batches(folder: Path, rows: Sequence[dict[str, str | None]]) -> None:
    if not rows:
        return
    written = []
    for number, first in enumerate(range(0, len(rows), N_ROWS_PER_BATCH)):
        lines = "".join(json.dumps(row) + "\n" for row in rows[first : first + N_ROWS_PER_BATCH])
        written.append(folder / f"batch-{number}.jsonl.gz")
        # No time in it: the same explanations give the same file.
        write_whole(written[-1], gzip.compress(lines.encode(), mtime=0))
    # An earlier export may have had more of them; they go last, when everything else is there.
    for earlier in set(_batches_in(folder)) - set(written):
        earlier.unlink()
