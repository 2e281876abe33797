"""The spool of activation rows: that putting them together takes steps in proportion to their number."""

from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.exchange.neuronpedia_rows import BinnedRecord
from app.exchange.neuronpedia_spool import Spool


class CountingSpool(Spool):
    """Counts the steps of the database that holds the rows, in units of a hundred."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.n_steps = 0
        self._rows.set_progress_handler(self._count, 100)

    def _count(self) -> int:
        self.n_steps += 1
        return 0


def steps_of(path: Path, n_neurons: int) -> int:
    record = BinnedRecord((" word",), (1.0,), 1.0)
    with CountingSpool(path) as spool:
        for index in range(n_neurons):
            for _ in range(3):
                spool.add_record(0, index, record, "batch-0.jsonl, line 1")
        assert sum(1 for _ in spool.neurons()) == n_neurons
        return spool.n_steps


def test_twice_the_neurons_take_about_twice_the_steps(tmp_path: Path) -> None:
    few, many = (steps_of(tmp_path / f"{n}.sqlite", n) for n in (500, 1000))
    assert 1.5 < many / few < 2.5


def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    record = BinnedRecord((" word",), (1.0,), 1.0)

    def fill(spool: Spool) -> None:
        spool._rows.execute("PRAGMA max_page_count = 8")
        for index in range(10_000):
            spool.add_record(0, index, record, "batch-0.jsonl, line 1")

    with (
        pytest.raises(InvalidInput, match=r"the rows cannot be kept in .*full; expected room"),
        Spool(tmp_path / "rows.sqlite") as spool,
    ):
        fill(spool)
