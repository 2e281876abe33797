"""Works on one shard of a batch: reads what it lacks, has each row made, stores each result by itself. Knows neither
what is made nor the job engine.

Safe to repeat and to interrupt: what is stored is skipped, and at most the calls under way are lost.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.batches import life
from app.batches.models import RUNNING
from app.batches.rows import is_to_be_made, queued_rows_of_shard
from app.batches.spending import BatchStopped, BudgetReached
from app.database import Database
from app.errors import NeuronJuryError
from app.explanations import failures
from worker.batches.making import Made
from worker.batches.open_batches import AskedBatch, OpenBatch, OpenBatches
from worker.batches.storing import store_made
from worker.batches.writing_together import write_together
from worker.database_errors import is_passing
from worker.explaining.chat import ServerRefuses

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shard:
    """The rows that a shard still lacks, and whose they are.

    rows: the ids of those that nobody has begun. errors: after the first one no further row is begun.
    """

    asked: AskedBatch
    row_ids: list[int]
    rows: Iterator[int]
    errors: list[Exception] = field(default_factory=list)


async def work_shard(database: Database, batch_id: int, shard: int, submission: int, open_batches: OpenBatches) -> None:
    """Makes what the shard still lacks, and ends the batch when this was the last of it.

    Does nothing when the batch is not running, or was handed over again since. A maker that cannot be had fails the
    whole batch, with the reason; a row that cannot be made fails by itself. A reached budget, or a server that refuses
    every call, pauses the batch. Nothing further is begun once the batch has stopped. In a worker that is to end it
    never returns while rows are lacking: the job stays unfinished, for the next worker to resume.
    Errors: those of the database that may pass, after the calls under way have ended; what opening did not foresee.
    """
    lacking = await asyncio.to_thread(_lacking, database, batch_id, shard, submission)
    if lacking is None:
        return
    if lacking.row_ids:
        if open_batches.is_stopping:
            await _until_this_process_is_gone()
        try:
            async with open_batches.opened(lacking.asked) as batch:
                await _make_all(database, lacking, batch, open_batches)
        except NeuronJuryError as error:
            if is_passing(error):
                raise
            await asyncio.to_thread(fail_batch, database, batch_id, submission, str(error))
    if await asyncio.to_thread(_is_over, database, batch_id):
        await open_batches.close_unused()


def fail_batch(database: Database, batch_id: int, submission: int, reason: str) -> None:
    """Ends a batch with a reason, unless it was handed over again since, or lacks nothing any more."""
    with database.writing() as session:
        if life.find_batch(session, batch_id).submission != submission:
            return
        if not life.finish_batch_if_complete(session, batch_id):
            life.fail_batch(session, batch_id, reason)


def _lacking(database: Database, batch_id: int, shard: int, submission: int) -> _Shard | None:
    with database.reading() as session:
        batch = life.find_batch(session, batch_id)
        if (batch.status, batch.submission) != (RUNNING, submission):
            return None
        asked = AskedBatch(batch.id, batch.kind, submission, batch.explainer, batch.settings)
        row_ids = queued_rows_of_shard(session, batch, shard)
        return _Shard(asked, row_ids, iter(row_ids))


async def _make_all(database: Database, shard: _Shard, batch: OpenBatch, open_batches: OpenBatches) -> None:
    # Each runner takes the next row as soon as it has stored its last, so that a slow answer holds up one of them.
    async with asyncio.TaskGroup() as runners:
        for _ in range(min(batch.maker.n_in_flight, len(shard.row_ids))):
            runners.create_task(_run(database, shard, batch, open_batches))
    if shard.errors:
        raise shard.errors[0]
    if open_batches.is_stopping and next(shard.rows, None) is not None:
        await _until_this_process_is_gone()


async def _until_this_process_is_gone() -> None:
    # An end, or an error, would be that of the job.
    await asyncio.Event().wait()


async def _run(database: Database, shard: _Shard, batch: OpenBatch, open_batches: OpenBatches) -> None:
    while True:
        # Its place is for making: while a row is being stored, another one can be made.
        await batch.places.acquire()
        if shard.errors or open_batches.is_stopping or (row_id := next(shard.rows, None)) is None:
            batch.places.release()
            return
        open_batches.n_rows += 1
        try:
            try:
                made = await _made(database, shard.asked, batch, row_id)
            finally:
                batch.places.release()
            if made is not None:
                await _store(database, shard.asked, row_id, made)
        except Exception as error:
            # Calls under way are paid for: the other runners end theirs before the shard is tried again.
            shard.errors.append(error)
        finally:
            open_batches.n_rows -= 1


async def _made(database: Database, asked: AskedBatch, batch: OpenBatch, row_id: int) -> Made | None:
    """What came of one row; None when it has been made since, or the batch has stopped."""
    if not batch.maker.looks_before_calls and not await asyncio.to_thread(_is_to_be_made, database, asked, row_id):
        return None
    try:
        return await batch.maker.make(row_id)
    except BatchStopped:
        return None
    except (BudgetReached, ServerRefuses) as error:
        # The other runners end their calls, and find the batch paused.
        await asyncio.to_thread(_pause, database, asked, str(error))
        return None
    except Exception as error:
        return _failed(row_id, error)


def _failed(row_id: int, error: Exception) -> Made:
    """A row that cannot be made, without its neighbours. Errors: the same one, if it may pass."""
    if is_passing(error):
        raise error
    if isinstance(error, NeuronJuryError):
        return Made(failure=failures.NOT_POSSIBLE, failure_detail=str(error))
    log.error("row %d cannot be made", row_id, exc_info=error)
    # Its message may hold anything, a secret too.
    return Made(failure=failures.FAULT, failure_detail=f"a fault of this program: {type(error).__name__}")


def _is_to_be_made(database: Database, asked: AskedBatch, row_id: int) -> bool:
    with database.reading() as session:
        return is_to_be_made(session, asked.batch_id, asked.kind, asked.submission, row_id)


async def _store(database: Database, asked: AskedBatch, row_id: int, made: Made) -> None:
    async def store(what: Made) -> None:
        await write_together(database, lambda session: store_made(session, asked.batch_id, asked.kind, row_id, what))

    try:
        await store(made)
    except Exception as error:
        # What the database does not take, of this row.
        await store(_failed(row_id, error))


def _pause(database: Database, asked: AskedBatch, reason: str) -> None:
    with database.writing() as session:
        if life.find_batch(session, asked.batch_id).submission == asked.submission:
            life.pause_for(session, asked.batch_id, reason)


def _is_over(database: Database, batch_id: int) -> bool:
    with database.writing() as session:
        return life.finish_batch_if_complete(session, batch_id) or not life.is_running(session, batch_id)
