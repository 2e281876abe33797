"""Works on one shard of a batch: reads what it lacks, has each row made, stores each result by itself. Knows neither
what is made nor the job engine.

Safe to repeat and to interrupt: what is stored is skipped, and at most the calls under way are lost.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from app.batches import life
from app.batches.models import RUNNING
from app.batches.rows import is_to_be_made, queued_rows_of_shard
from app.batches.spending import BatchStopped, BudgetReached
from app.database import Database
from app.errors import DatabaseBusy, NeuronJuryError
from worker.batches.making import Made
from worker.batches.open_batches import AskedBatch, OpenBatch, OpenBatches
from worker.batches.storing import store_made
from worker.batches.writing_together import write_together


@dataclass(frozen=True)
class _Shard:
    """The rows that a shard still lacks, and whose they are."""

    asked: AskedBatch
    row_ids: list[int]


async def work_shard(database: Database, batch_id: int, shard: int, submission: int, open_batches: OpenBatches) -> None:
    """Makes what the shard still lacks, and ends the batch when this was the last of it.

    Does nothing when the batch is not running, or was handed over again since. What the maker cannot do at all fails
    the whole batch, with the reason; a reached budget pauses it. Nothing further is begun once the batch has stopped.
    Errors: those of the database, and what nobody foresaw.
    """
    lacking = await asyncio.to_thread(_lacking, database, batch_id, shard, submission)
    if lacking is None:
        return
    try:
        async with open_batches.opened(lacking.asked) as batch:
            await _make_all(database, lacking, batch)
    except DatabaseBusy:
        raise
    except NeuronJuryError as error:
        await asyncio.to_thread(fail_batch, database, batch_id, submission, str(error))
    if await asyncio.to_thread(_is_over, database, batch_id):
        await open_batches.close_unused()


def fail_batch(database: Database, batch_id: int, submission: int, reason: str) -> None:
    """Ends a batch with a reason, unless it was handed over again since."""
    with database.writing() as session:
        if life.find_batch(session, batch_id).submission == submission:
            life.fail_batch(session, batch_id, reason)


def _lacking(database: Database, batch_id: int, shard: int, submission: int) -> _Shard | None:
    with database.reading() as session:
        batch = life.find_batch(session, batch_id)
        if (batch.status, batch.submission) != (RUNNING, submission):
            return None
        asked = AskedBatch(batch.id, batch.kind, submission, batch.explainer, batch.settings)
        return _Shard(asked, queued_rows_of_shard(session, batch, shard))


async def _make_all(database: Database, shard: _Shard, batch: OpenBatch) -> None:
    # Each runner takes the next row as soon as it has stored its last, so that a slow answer holds up one of them.
    rows = iter(shard.row_ids)
    n_runners = min(batch.maker.n_in_flight, len(shard.row_ids))
    try:
        async with asyncio.TaskGroup() as runners:
            for _ in range(n_runners):
                runners.create_task(_run(database, shard.asked, batch, rows))
    except ExceptionGroup as group:
        # The first error has interrupted the other runners; the caller tells errors apart by their type.
        raise group.exceptions[0] from group


async def _run(database: Database, asked: AskedBatch, batch: OpenBatch, rows: Iterator[int]) -> None:
    while True:
        # Its place is for making: while a row is being stored, another one can be made.
        async with batch.places:
            row_id = next(rows, None)
            if row_id is None:
                return
            made = await _made(database, asked, batch, row_id)
        if made is not None:
            await _store(database, asked, row_id, made)


async def _made(database: Database, asked: AskedBatch, batch: OpenBatch, row_id: int) -> Made | None:
    """What came of one row; None when it has been made since, or the batch has stopped."""
    if not await asyncio.to_thread(_is_to_be_made, database, asked, row_id):
        return None
    try:
        return await batch.maker.make(row_id)
    except BatchStopped:
        return None
    except BudgetReached as error:
        # Calls under way are paid for: the other runners end theirs, and find the batch paused.
        await asyncio.to_thread(_pause, database, asked, str(error))
        return None


def _is_to_be_made(database: Database, asked: AskedBatch, row_id: int) -> bool:
    with database.reading() as session:
        return is_to_be_made(session, asked.batch_id, asked.kind, asked.submission, row_id)


async def _store(database: Database, asked: AskedBatch, row_id: int, made: Made) -> None:
    await write_together(database, lambda session: store_made(session, asked.batch_id, asked.kind, row_id, made))


def _pause(database: Database, asked: AskedBatch, reason: str) -> None:
    with database.writing() as session:
        if life.find_batch(session, asked.batch_id).submission == asked.submission:
            life.pause_for(session, asked.batch_id, reason)


def _is_over(database: Database, batch_id: int) -> bool:
    with database.writing() as session:
        return life.finish_batch_if_complete(session, batch_id) or not life.is_running(session, batch_id)
