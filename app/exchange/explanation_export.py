"""Writes a subject model's explanations with their scores in our own form, which the import reads again. What a
simulator expected on each excerpt is not part of it."""

import csv
import gzip
import io
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.exchange.bare_neurons import Place
from app.exchange.explanation_files import is_csv
from app.exchange.explanation_rows import COLUMNS, Row, as_csv
from app.exchange.whole_files import whole_file
from app.explanations.models import DONE, QUEUED, Explanation, Score
from app.neurons.models import MLP, Neuron
from app.neurons.reading import subject_named

N_PER_BATCH = 1000


def export_explanations(
    database: Database,
    *,
    subject_name: str,
    to: Path,
    neurons: Collection[Place] | None = None,
    overwrite: bool = False,
) -> int:
    """Writes one row per explanation, failures too; returns how many. `to` ends in .csv or .jsonl, and maybe .gz.

    neurons: layer and index of those to write, None for all.
    Errors: UnknownName without the subject; InvalidInput when there is nothing to write or the file cannot be written;
    Conflict when it is there already and may not be overwritten.
    """
    as_line, header = (_csv_line, _csv_header()) if is_csv(to) else (_json_line, "")
    if to.exists() and not overwrite:
        raise Conflict(f"{to} is there already; expected another name, or --overwrite")
    wanted = None if neurons is None else set(neurons)
    with database.reading() as session:
        rows = _rows(session, subject_named(session, subject_name).id, wanted)
        first = next(rows, None)
        if first is None:
            raise InvalidInput(f"{subject_name} has no explanation to export among the neurons asked for")
        try:
            with _opened(to) as file:
                file.write(header + as_line(first))
                n_rows = 1
                for row in rows:
                    file.write(as_line(row))
                    n_rows += 1
        except OSError as error:
            raise InvalidInput(f"{to} cannot be written: {error.strerror}") from None
    return n_rows


@contextmanager
def _opened(to: Path) -> Iterator[io.TextIOWrapper]:
    with whole_file(to) as plain:
        # No time in it: the same explanations give the same file.
        packed = gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0) if to.suffix.lower() == ".gz" else plain
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        yield text
        text.flush()
        if packed is not plain:
            packed.close()


def _csv_header() -> str:
    return _as_csv_line(COLUMNS)


def _csv_line(row: Row) -> str:
    return _as_csv_line(as_csv(row))


def _as_csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    # The writer puts quotes around cells that hold a character of the line's end: a lone \r in a text must have them.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _json_line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _rows(session: Session, subject_id: int, wanted: set[Place] | None) -> Iterator[Row]:
    """Every explanation that is made or failed, neuron by neuron, in the order in which they came."""
    after = (-1, -1, -1)
    while batch := _batch(session, subject_id, after):
        scores = _scores(session, [explanation.id for _, _, explanation in batch])
        for layer, index, said in batch:
            if wanted is None or (layer, index) in wanted:
                yield _row(layer, index, said, scores.get(said.id, []))
        layer, index, last = batch[-1]
        after = (layer, index, last.id)
        # What is written is not looked at again; all explanations of a model would not fit into memory.
        session.expunge_all()


def _batch(session: Session, subject_id: int, after: tuple[int, int, int]) -> list[tuple[int, int, Explanation]]:
    place = (Neuron.layer, Neuron.index, Explanation.id)
    query = (
        sa.select(Neuron.layer, Neuron.index, Explanation)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .where(Neuron.subject_id == subject_id, Neuron.site == MLP, Explanation.status != QUEUED)
        .where(sa.tuple_(*place) > sa.tuple_(*map(sa.literal, after)))
        .order_by(*place)
        .limit(N_PER_BATCH)
    )
    return [(layer, index, said) for layer, index, said in session.execute(query)]


def _scores(session: Session, explanation_ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    query = sa.select(Score).where(Score.explanation_id.in_(explanation_ids), Score.status == DONE)
    scores: dict[int, list[dict[str, Any]]] = {}
    for score in session.scalars(query.order_by(Score.metric, Score.scorer)):
        names = ("metric", "scorer", "value", "reason", "details")
        scores.setdefault(score.explanation_id, []).append({name: getattr(score, name) for name in names})
    return scores


def _row(layer: int, index: int, said: Explanation, scores: list[dict[str, Any]]) -> Row:
    return {
        "layer": layer,
        "neuron": index,
        "method": said.method,
        "explainer": said.explainer,
        "explanation": said.text,
        "sample": said.sample_number,
        "prompt_pack": said.prompt_pack,
        "side": said.side,
        "failure": said.failure,
        "received": None if said.text_received == said.text else said.text_received,
        "scores": scores,
    }
