"""Neurons as people list them: layers such as `0-3, 7`, and CSVs with the columns `layer` and `neuron`."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput
from app.neurons.models import MLP, Neuron, SubjectModel

MOST_REASONS_SHOWN = 20
COLUMNS = ("layer", "neuron")
NO_HEADER = re.compile(r"\s*[0-9]+[ \t]*,[ \t]*[0-9]+[ \t]*(?:[\r\n]|$)")
"""The text begins with a neuron, and not with names of columns."""
N_PLACES_PER_QUERY = 500
"""Both databases limit the parameters of one statement."""

Place = tuple[int, int]
"""Layer and index."""


@dataclass(frozen=True)
class ListedNeurons:
    """The neurons of a CSV text with the columns `layer` and `neuron`; others are ignored. Without a header it is lines
    of these two alone. file_name: for messages."""

    file_name: str
    text: str


def read_csv(path: Path) -> ListedNeurons:
    """Errors: InvalidInput when the file cannot be read or is no UTF-8 text."""
    try:
        return ListedNeurons(str(path), path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}; expected a CSV with the columns layer,neuron") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text (byte {error.start}); expected a CSV file") from None


def listed_neurons(
    session: Session,
    subject: SubjectModel,
    listed: ListedNeurons,
    objection: Callable[[Neuron], str | None] = lambda neuron: None,
) -> list[Neuron]:
    """The neurons of a list, in its order. objection: why a neuron cannot be taken, or None.

    Errors: InvalidInput with file, line and reason of every line that cannot be used; for missing columns, broken CSV,
    and a list without any neuron.
    """
    chosen: dict[int, Neuron] = {}
    reasons: list[str] = []
    lines = [(line, _place(row)) for line, row in _rows(listed)]
    here = _neurons_at(session, subject, [place for _, place in lines if not isinstance(place, str)])
    for line, place in lines:
        found = place if isinstance(place, str) else here.get(place) or _unknown(subject, place)
        reason = found if isinstance(found, str) else _objection(found, chosen, objection)
        if reason is not None:
            reasons.append(f"{listed.file_name}, line {line}: {reason}")
        elif not isinstance(found, str):
            chosen[found.id] = found
    if reasons:
        raise InvalidInput(first_reasons(reasons))
    if not chosen:
        raise InvalidInput(f"{listed.file_name} lists no neuron; expected one or more lines below layer,neuron")
    return list(chosen.values())


def first_reasons(reasons: Sequence[str]) -> str:
    """The reasons as one line; of very many the first, and how many more there are."""
    n_more = len(reasons) - MOST_REASONS_SHOWN
    return "; ".join(reasons[:MOST_REASONS_SHOWN]) + (f"; and {n_more} more" if n_more > 0 else "")


def whole_number(text: str, name: str, smallest: int, largest: int) -> int:
    """`text` as a number. Errors: InvalidInput, which names the field and its range."""
    if not re.fullmatch(r"[0-9]{1,10}", text.strip()) or not smallest <= int(text) <= largest:
        raise InvalidInput(f"{name} is {text.strip()!r}; expected a whole number from {smallest} to {largest}")
    return int(text)


def layer_numbers(text: str) -> tuple[int, ...] | None:
    """Layers as typed, "0-3, 7" -> (0, 1, 2, 3, 7); nothing typed means all layers: None. Errors: InvalidInput."""
    if not text.strip():
        return None
    layers: set[int] = set()
    for part in text.split(","):
        bounds = re.fullmatch(r"\s*([0-9]{1,4})\s*(?:[-–]\s*([0-9]{1,4})\s*)?", part)
        if bounds is None or int(bounds[2] or bounds[1]) < int(bounds[1]):
            raise InvalidInput(f"layers has {part.strip()!r}; expected numbers and ranges such as 0-11, 14")
        layers.update(range(int(bounds[1]), int(bounds[2] or bounds[1]) + 1))
    return tuple(sorted(layers))


def _rows(listed: ListedNeurons) -> list[tuple[int, dict[str, str | None]]]:
    """(line number, row) of each line that is not empty."""
    text = listed.text.removeprefix("\ufeff")
    header = COLUMNS if NO_HEADER.match(text) else None
    reader = csv.DictReader(io.StringIO(text), fieldnames=header, strict=True)
    try:
        reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        if missing := [name for name in COLUMNS if name not in reader.fieldnames]:
            no_columns = " and no column ".join(missing)
            raise InvalidInput(f"{listed.file_name}, line 1: no column {no_columns}; expected layer,neuron")
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"{listed.file_name}, line {reader.reader.line_num}: not CSV ({error})") from None


def _place(row: dict[str, str | None]) -> Place | str:
    """The place that a row names, or the reason why it names none."""
    place = []
    for column in COLUMNS:
        text = (row[column] or "").strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return f"{column} {text!r} is not a whole number from 0"
        place.append(int(text))
    layer, index = place
    return layer, index


def _neurons_at(session: Session, subject: SubjectModel, places: Sequence[Place]) -> dict[Place, Neuron]:
    """Those neurons of the subject that are there."""
    mine = sa.select(Neuron).where(Neuron.subject_id == subject.id, Neuron.site == MLP)
    groups = (places[first : first + N_PLACES_PER_QUERY] for first in range(0, len(places), N_PLACES_PER_QUERY))
    return {
        (neuron.layer, neuron.index): neuron
        for group in groups
        for neuron in session.scalars(mine.where(sa.tuple_(Neuron.layer, Neuron.index).in_(group)))
    }


def _unknown(subject: SubjectModel, place: Place) -> str:
    return f"{subject.name} has no neuron {place[0]}:{place[1]}"


def _objection(neuron: Neuron, chosen: dict[int, Neuron], objection: Callable[[Neuron], str | None]) -> str | None:
    if neuron.id in chosen:
        return f"neuron {neuron.layer}:{neuron.index} is there twice"
    return objection(neuron)
