"""Neurons as people list them: layers such as `0-3, 7`, and CSVs with the columns `layer` and `neuron`."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidInput

MOST_REASONS_SHOWN = 20
COLUMNS = ("layer", "neuron")


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


@dataclass(frozen=True)
class ListedPlace:
    """A line of a CSV. problem: why it names no place, else layer and index are its place."""

    line: int
    layer: int
    index: int
    problem: str = ""


def places_in_csv(file_name: str, text: str) -> list[ListedPlace]:
    """Every line below the header, other columns ignored, in its order.

    Errors: InvalidInput for missing columns, broken CSV, or no line at all. A line that names no place has a problem.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        if missing := [name for name in COLUMNS if name not in reader.fieldnames]:
            raise InvalidInput(
                f"{file_name}, line 1: no column {' and no column '.join(missing)}; expected layer,neuron"
            )
        places = [_place(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"{file_name}, line {reader.reader.line_num}: not CSV ({error})") from None
    if not places:
        raise InvalidInput(f"{file_name} lists no neuron; expected one or more lines below layer,neuron")
    return places


def read_csv(path: Path) -> str:
    """The text of a CSV file. Errors: InvalidInput when it cannot be read or is no UTF-8 text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read ({error}); expected a CSV with the columns layer,neuron") from None


def refuse_lines(file_name: str, reasons: list[tuple[int, str]]) -> None:
    """Errors: InvalidInput with every (line, reason) there is, of very many the first; returns when there is none."""
    if not reasons:
        return
    said = "; ".join(f"{file_name}, line {line}: {reason}" for line, reason in reasons[:MOST_REASONS_SHOWN])
    n_more = len(reasons) - MOST_REASONS_SHOWN
    raise InvalidInput(said + (f"; and {n_more} more" if n_more > 0 else ""))


def _place(line: int, row: dict[str, str | None]) -> ListedPlace:
    numbers = []
    for column in COLUMNS:
        text = (row[column] or "").strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return ListedPlace(line, 0, 0, f"{column} {text!r} is not a whole number from 0")
        numbers.append(int(text))
    layer, index = numbers
    return ListedPlace(line, layer, index)
