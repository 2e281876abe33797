"""Puts the rows of each neuron together, whose lines lie anywhere in an export: on disk, in a file of its own that goes
with it, because activations of one model take gigabytes. Knows neither JSON lines nor our database.
"""

import json
import sqlite3
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from app.errors import InvalidInput
from app.exchange.neuronpedia_rows import BinnedRecord
from app.neurons.records import N_TOP_RECORDS

_TABLES = """
CREATE TABLE record (layer INTEGER, neuron INTEGER, bin_upper REAL, maximum REAL, tokens TEXT, activations BLOB,
                     place TEXT);
CREATE TABLE bin (layer INTEGER, neuron INTEGER, highest REAL, PRIMARY KEY (layer, neuron)) WITHOUT ROWID;
CREATE TABLE feature (layer INTEGER, neuron INTEGER, share_active REAL, PRIMARY KEY (layer, neuron)) WITHOUT ROWID;
CREATE TABLE left_out (layer INTEGER, neuron INTEGER, PRIMARY KEY (layer, neuron)) WITHOUT ROWID;
"""
# Only once all rows are in: kept up to date row by row, it would cost as much as the rows.
_BY_NEURON = "CREATE INDEX by_neuron ON record (layer, neuron, maximum DESC, bin_upper)"
_HIGHEST_BINS = """
INSERT INTO bin SELECT layer, neuron, max(bin_upper) FROM record GROUP BY layer, neuron
"""
# The best rows of each neuron and those of its highest bin. A lower bin is a range of activations, which is no band of
# ours: these are drawn between quantiles of the excerpts. CROSS JOIN: neuron by neuron, each found by the index; the
# other way round would sort all rows, or compare each with every neuron.
_BEST_ROWS = """
SELECT layer, neuron, share_active, tokens, activations, place
FROM bin
CROSS JOIN record USING (layer, neuron)
LEFT JOIN feature USING (layer, neuron)
LEFT JOIN left_out USING (layer, neuron)
WHERE (bin_upper IS NULL OR bin_upper = highest) AND left_out.layer IS NULL
ORDER BY layer, neuron, maximum DESC, record.rowid
"""
_N_ROWS = """
SELECT count(*) FROM record LEFT JOIN left_out USING (layer, neuron) WHERE left_out.layer IS NULL
"""
_N_WITHOUT_RECORDS = """
SELECT count(*) FROM feature
WHERE (layer, neuron) NOT IN (SELECT layer, neuron FROM record UNION SELECT layer, neuron FROM left_out)
"""


@dataclass(frozen=True)
class SpooledNeuron:
    """A neuron's best records, best first, each excerpt once.

    share_active: as in its feature row, if there was one. place: of the best record.
    """

    layer: int
    index: int
    share_active: float | None
    top: tuple[BinnedRecord, ...]
    place: str


class Spool:
    """Rows in any order in, neurons in order of layer and index out. Everything goes when the context ends."""

    def __init__(self, path: Path):
        self._path = path
        self._rows = sqlite3.connect(path, isolation_level=None)
        # Nothing in it outlives the import, so it need not survive a power cut.
        self._rows.execute("PRAGMA journal_mode = OFF")
        self._rows.execute("PRAGMA synchronous = OFF")
        self._rows.executescript(_TABLES)
        # One transaction that never ends: nobody else reads the file.
        self._rows.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._rows.close()
        if isinstance(error, sqlite3.OperationalError):
            raise InvalidInput(
                f"the rows cannot be kept in {self._path.parent}: {error}; expected room for the unpacked export there"
            ) from None

    def add_record(self, layer: int, index: int, record: BinnedRecord, place: str) -> None:
        row = (
            layer,
            index,
            record.bin_upper,
            max(record.activations),
            json.dumps(record.tokens),
            array("d", record.activations).tobytes(),
            place,
        )
        self._rows.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def add_feature(self, layer: int, index: int, share_active: float | None) -> bool:
        """Whether it was the first feature row of this neuron; a second one changes nothing."""
        inserting = "INSERT INTO feature VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        return self._rows.execute(inserting, (layer, index, share_active)).rowcount == 1

    def leave_out(self, layer: int, index: int) -> bool:
        """This neuron will not come out: a row of it could not be read, so its best records are not known. Whether
        this is new."""
        inserting = "INSERT INTO left_out VALUES (?, ?) ON CONFLICT DO NOTHING"
        return self._rows.execute(inserting, (layer, index)).rowcount == 1

    def n_records(self) -> int:
        """How many records the neurons that come out had in all."""
        return int(self._rows.execute(_N_ROWS).fetchone()[0])

    def n_without_records(self) -> int:
        """How many neurons have a feature row and no activation row, not even one that could not be used."""
        return int(self._rows.execute(_N_WITHOUT_RECORDS).fetchone()[0])

    def neurons(self) -> Iterator[SpooledNeuron]:
        """Every neuron that has a record and was not left out, one in memory at a time. Once, when all rows are in."""
        self._rows.execute(_BY_NEURON)
        self._rows.execute(_HIGHEST_BINS)
        best = self._rows.execute(_BEST_ROWS)
        for (layer, index, share_active), rows in groupby(best, key=itemgetter(0, 1, 2)):
            # An excerpt can be among the best and in the highest bin.
            places: dict[tuple[str, bytes], str] = {}
            for *_, tokens, activations, place in rows:
                if len(places) < N_TOP_RECORDS:
                    places.setdefault((tokens, activations), place)
            top = tuple(_record(*content) for content in places)
            yield SpooledNeuron(layer, index, share_active, top, place=next(iter(places.values())))


def _record(tokens: str, activations: bytes) -> BinnedRecord:
    return BinnedRecord(tuple(json.loads(tokens)), tuple(array("d", activations)), None)
