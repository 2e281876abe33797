"""Reads the CSV files of an import row by row, so that a file may be larger than memory. Knows no columns."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from app.errors import InvalidInput
from app.exchange.json_files import files_below
from app.exchange.storable import shown

MOST_CHARACTERS = 1_000_000
"""Of one cell; an explanation is a sentence."""
_UNDECODABLE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class CsvRow:
    """A row with as many cells as the header. place: "FILE, line N" of its first line. cells: by column, as written."""

    place: str
    cells: dict[str, str]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read. place: "FILE, line N" of its first line. reason: what was found and expected."""

    place: str
    reason: str


@dataclass(frozen=True)
class CsvFile:
    """A CSV file with its header. columns: trimmed, in lower case, in order; empty for one without a name."""

    path: Path
    columns: tuple[str, ...]

    def rows(self) -> Iterator[CsvRow | BadRow]:
        """Every row that is not empty. Errors: InvalidInput when the file cannot be read any more."""
        rows = _rows(self.path)
        next(rows, None)
        for line, cells in rows:
            place = f"{self.path}, line {line}"
            if isinstance(cells, str):
                yield BadRow(place, cells)
            elif len(cells) != len(self.columns):
                yield BadRow(place, f"{len(cells)} cells; expected {len(self.columns)} as in the header")
            elif any(map(_UNDECODABLE.search, cells)):
                yield BadRow(place, "not UTF-8 text; expected a CSV file in UTF-8")
            else:
                yield CsvRow(place, dict(zip(self.columns, cells, strict=True)))


def csv_files(path: Path) -> list[CsvFile]:
    """The file, or every .csv and .csv.gz below a folder, with their headers.

    Errors: InvalidInput when there is none, or when one has no header or names a column twice.
    """
    return [CsvFile(file, _columns(file)) for file in files_below(path, ".csv")]


def _columns(path: Path) -> tuple[str, ...]:
    line, header = next(_rows(path), (1, []))
    if isinstance(header, str):
        raise InvalidInput(f"{path}, line {line}: {header}")
    columns = tuple(name.strip().lower() for name in header)
    if not any(columns):
        raise InvalidInput(f"{path} is empty; expected a CSV file that begins with the names of its columns")
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise InvalidInput(f"{path}, line {line}: the column {shown(twice)} is there twice; expected it once")
    return columns


def _rows(path: Path) -> Iterator[tuple[int, list[str] | str]]:
    """Each row that is not empty, header and all: its first line from 1, and its cells or why it cannot be read."""
    csv.field_size_limit(MOST_CHARACTERS)
    try:
        with _opened(path) as file:
            reader = csv.reader(file, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield line, f"not CSV ({error})"
                    continue
                if any(cells):
                    yield line, cells
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise InvalidInput(f"{path} is not a whole gzip file") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[str]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        # One bad byte spoils its row and no other: it is let through here and found in the row.
        yield io.TextIOWrapper(cast(BinaryIO, file), encoding="utf-8-sig", errors="surrogateescape", newline="")


def whole_number(text: str, name: str) -> int:
    """A cell as a number. Errors: InvalidInput, which names the column."""
    if not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        raise InvalidInput(f"the {name} is {shown(text)}; expected a whole number from 0")
    return int(text)


def names(columns: Sequence[str]) -> str:
    """Columns for messages: `layer,neuron`; one without a name stays empty."""
    return ",".join(columns)
