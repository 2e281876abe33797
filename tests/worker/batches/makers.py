"""Makers that follow a script, and batches for them to work on."""

import asyncio
from collections.abc import Awaitable, Callable

import sqlalchemy as sa

from app.batches import life
from app.batches.models import Batch
from app.batches.rows import row_type
from app.database import Database
from app.explanations.models import Explanation, Score
from tests.batches.test_planning import make_neurons, plan
from worker.batches.making import Made, Maker
from worker.batches.open_batches import AskedBatch, OpenBatches
from worker.batches.shards import work_shard

DONE_EXPLANATION = Made({"text": "Cats.", "text_received": "cats"}, cost_usd=0.5, seconds=2.0)

Make = Callable[[int], Made] | Callable[[int], Awaitable[Made]]


class ScriptedMaker:
    """Makes each row by one function of its id; keeps which rows it was asked for."""

    def __init__(self, make: Make | Made = DONE_EXPLANATION, *, n_in_flight: int = 1):
        self._make = make
        self.n_in_flight = n_in_flight
        self.looks_before_calls = False
        self.asked: list[int] = []
        self.n_running = 0
        self.most_running = 0
        self.is_closed = False

    async def make(self, row_id: int) -> Made:
        self.asked.append(row_id)
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        try:
            # One turn of the loop, so that others can begin meanwhile.
            await asyncio.sleep(0)
            made = self._make if isinstance(self._make, Made) else self._make(row_id)
            return made if isinstance(made, Made) else await made
        finally:
            self.n_running -= 1

    async def close(self) -> None:
        self.is_closed = True


class Makers:
    """Gives a maker to whoever opens a batch; keeps for which batches it was asked."""

    def __init__(self, *makers: Maker):
        self._makers = list(makers)
        self.asked: list[AskedBatch] = []

    def __call__(self, batch: AskedBatch) -> Maker:
        self.asked.append(batch)
        return self._makers[min(len(self.asked), len(self._makers)) - 1]


def running_batch(database: Database, n: int = 3) -> int:
    """A running batch of n explanations; its id."""
    with database.writing() as session:
        batch = plan(session, make_neurons(session, n))
        life.start_batch(session, batch.id)
        return batch.id


def work(database: Database, batch_id: int, maker: Maker | Makers, *, shards: int = 1, submission: int = 0) -> None:
    """Works on the first shards of a batch, side by side."""

    async def all_shards() -> None:
        open_batches = OpenBatches(maker if isinstance(maker, Makers) else Makers(maker))
        working = [work_shard(database, batch_id, shard, submission, open_batches) for shard in range(shards)]
        await asyncio.gather(*working)

    asyncio.run(all_shards())


def stored(database: Database, batch_id: int) -> list[Explanation | Score]:
    with database.reading() as session:
        table = row_type(session.get_one(Batch, batch_id).kind)
        return list(session.scalars(sa.select(table).where(table.batch_id == batch_id).order_by(table.id)))


def statuses(database: Database, batch_id: int) -> list[str]:
    return [row.status for row in stored(database, batch_id)]


def batch_status(database: Database, batch_id: int) -> tuple[str, str | None]:
    with database.reading() as session:
        batch = session.get_one(Batch, batch_id)
        return batch.status, batch.failure
