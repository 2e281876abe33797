"""Neuronpedia exports as that site writes them, made up, and what the database holds after their import."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.database import Database
from app.exchange.neuronpedia import import_neuronpedia
from app.exchange.report import ImportReport
from app.explanations.models import Explanation
from app.neurons.models import Neuron
from tests.exchange.foreign_files import SUBJECT, records_of

Fields = Mapping[str, Any]
SOURCE = Path("v1/gpt2-small/6-mlp")


def activation_row(index: int, values: Sequence[Any], **fields: Any) -> dict[str, Any]:
    """The excerpt's first token carries its first value, so that every excerpt is another text."""
    row = {
        "modelId": "gpt2-small",
        "layer": "6-mlp",
        "index": str(index),
        "tokens": [f"<{values[0]}>", *(f" t{number}" for number in range(1, len(values)))],
        "values": list(values),
    }
    return row | fields


def explanation_row(index: int, description: str | None = "names of rivers", **fields: Any) -> dict[str, Any]:
    row = {
        "modelId": "gpt2-small",
        "layer": "6-mlp",
        "index": str(index),
        "description": description,
        "typeName": "oai_token-act-pair",
        "explanationModelName": "gpt-4",
        "authorId": None,
    }
    return row | fields


def feature_row(index: int, **fields: Any) -> dict[str, Any]:
    return {"modelId": "gpt2-small", "layer": "6-mlp", "index": str(index), "maxActApprox": 3.5} | fields


def as_lines(rows: Sequence[Fields]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_batch(root: Path, table: str, rows: Sequence[Fields], number: int = 0, source: Path = SOURCE) -> Path:
    return write_bytes(root, table, gzip.compress(as_lines(rows)), number, source)


def write_bytes(
    root: Path, table: str, content: bytes, number: int = 0, source: Path = SOURCE, suffix: str = ".jsonl.gz"
) -> Path:
    file = root / source / table / f"batch-{number}{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def imported(database: Database, root: Path, subject: str = SUBJECT) -> ImportReport:
    report = ImportReport("neuronpedia")
    import_neuronpedia(database, root, subject=subject, report=report)
    return report


def rejects(report: ImportReport) -> list[tuple[str, str]]:
    """Place without its folders, and reason."""
    return [(rejected.place.rpartition("/")[2], rejected.reason) for rejected in report.rejects]


def stored_values(database: Database) -> dict[tuple[int, int], list[list[float]]]:
    """The activations of every neuron's records, all of which are top ones, in their order."""
    records = records_of(database)
    assert {band for _, _, band in records} <= {"top"}
    return {(layer, index): [list(values) for _, values in kept] for (layer, index, _), kept in records.items()}


def stored_explanations(database: Database) -> list[tuple[Any, ...]]:
    query = (
        sa.select(Neuron.layer, Neuron.index, Explanation)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .order_by(Neuron.layer, Neuron.index, Explanation.prompt_pack, Explanation.sample_number)
    )
    with database.reading() as session:
        return [
            (layer, index, said.method, said.explainer, said.prompt_pack, said.sample_number, said.text)
            for layer, index, said in session.execute(query)
        ]
