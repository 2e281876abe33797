"""Finds the batch files of a Neuronpedia export and reads their rows one after the other. Knows JSON lines, not what a
row means; a line that cannot be read is reported and the next one follows.
"""

import gzip
import json
import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from app.errors import InvalidInput
from app.exchange.report import ImportReport
from app.exchange.storable import storable_text

FEATURES, EXPLANATIONS, ACTIVATIONS = "features", "explanations", "activations"
TABLES = (FEATURES, EXPLANATIONS, ACTIVATIONS)
"""The folders of a source: one line of a file in them is one row."""
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes. An activation row of a thousand tokens takes about 20,000."""
READ_SIZE = 1024 * 1024
_BATCH = re.compile(r"batch-([0-9]+)\.jsonl(\.gz)?")


@dataclass(frozen=True)
class Row:
    """One line of a batch file. place: the file within the export and the line, from 1."""

    place: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class LostRow:
    """A line, or the rest of a file, that cannot be read: a row of whichever neuron. place: as of a Row."""

    place: str


def batch_files(path: Path, table: str) -> list[Path]:
    """The batch files of one table in every source below a folder, sorted by source and number of the batch.

    Errors: InvalidInput when the folder is none, or a batch is there both packed and unpacked.
    """
    if not path.is_dir():
        raise InvalidInput(f"{path} is no folder; expected one with {', '.join(TABLES)} in it, or above such folders")
    numbered = [
        (folder, int(batch[1]), file)
        for folder in (path, *sorted(path.rglob(table)))
        if folder.name == table and folder.is_dir()
        for file in folder.iterdir()
        if (batch := _BATCH.fullmatch(file.name)) is not None
    ]
    files = sorted(numbered)
    for (folder, number, file), (other_folder, other_number, other) in pairwise(files):
        if (folder, number) == (other_folder, other_number):
            raise InvalidInput(f"{file} and {other.name} are the same batch; expected one of them")
    return [file for _, _, file in files]


class BatchFile:
    """One batch file. name: within the export. folder: of the source's table, whose batches follow each other."""

    def __init__(self, path: Path, root: Path):
        """root: what places are named relative to."""
        # A folder's name need not be UTF-8, which the spool and the database want.
        self.name = storable_text(path.relative_to(root).as_posix())
        self.folder = path.parent
        self._path = path

    def rows(self, report: ImportReport) -> Generator[Row | LostRow, None, None]:
        """The rows in their order, those before the break of a broken file too; what cannot be read is reported and
        comes as a LostRow."""
        line_number = 0
        try:
            with gzip.open(self._path) if self._path.suffix == ".gz" else self._path.open("rb") as opened:
                for line in _lines(opened):
                    line_number += 1
                    place = f"{self.name}, line {line_number}"
                    fields = _fields(line)
                    if isinstance(fields, str):
                        report.reject(place, fields)
                        yield LostRow(place)
                    elif fields is not None:
                        yield Row(place, fields)
        except (OSError, EOFError, zlib.error) as error:
            place = f"{self.name}, line {line_number + 1}"
            report.reject(place, f"cannot be read from here on ({_reason(error)}); expected JSON lines")
            yield LostRow(place)


def _lines(opened: BinaryIO | gzip.GzipFile) -> Iterator[bytes | None]:
    """Lines with their ends; None stands for one that is too long, of which no more than a part is ever held."""
    while line := opened.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := opened.readline(READ_SIZE)) and not rest.endswith(b"\n"):
            pass
        yield None


def _fields(line: bytes | None) -> dict[str, Any] | str | None:
    """The fields of a row, None for an empty line, or why it is no row."""
    if line is None:
        return f"longer than {LONGEST_LINE // 1024**2} MiB; expected one row"
    if not line.strip():
        return None
    try:
        parsed = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"not JSON ({error}); expected one object per line"
    if not isinstance(parsed, dict):
        return f"a JSON {type(parsed).__name__}; expected an object"
    parsed.pop("dataclass_name", None)
    return parsed


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
