"""Working on a shard when something goes wrong: a row, the database, the server, the end of the worker. On both
databases."""

import asyncio

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import DatabaseBusy, InvalidInput, Unavailable
from app.explanations.models import Explanation
from tests.worker.batches.makers import (
    DONE_EXPLANATION,
    Makers,
    ScriptedMaker,
    batch_status,
    running_batch,
    statuses,
    stored,
    work,
)
from worker.batches.making import Made, Maker
from worker.batches.open_batches import AskedBatch, OpenBatches
from worker.batches.shards import work_shard
from worker.explaining.chat import ServerRefuses


def test_a_batch_that_lacks_nothing_needs_no_maker_and_does_not_fail(database: Database) -> None:
    def no_key(_: AskedBatch) -> Maker:
        raise AssertionError("there is nothing to make")

    batch_id = running_batch(database)
    with database.writing() as session:
        session.execute(sa.update(Explanation).values(status="done", text="Cats."))
    asyncio.run(work_shard(database, batch_id, 0, 0, OpenBatches(no_key)))
    assert batch_status(database, batch_id) == ("done", None)


def test_a_maker_that_cannot_be_had_does_not_fail_a_batch_that_others_have_completed(database: Database) -> None:
    batch_id = running_batch(database)

    def complete_elsewhere(_: AskedBatch) -> Maker:
        with database.writing() as session:
            session.execute(sa.update(Explanation).values(status="done", text="Cats."))
        raise Unavailable("no key: set OPENAI_API_KEY")

    asyncio.run(work_shard(database, batch_id, 0, 0, OpenBatches(complete_elsewhere)))
    assert batch_status(database, batch_id) == ("done", None)


def test_a_busy_database_lets_calls_under_way_end_and_begins_no_other(database: Database) -> None:
    batch_id = running_batch(database, 6)
    three = asyncio.Barrier(3)
    is_busy_known = asyncio.Event()

    async def make(row_id: int) -> Made:
        await three.wait()
        if row_id == maker.asked[0]:
            asyncio.get_running_loop().call_later(0, is_busy_known.set)
            raise DatabaseBusy("busy")
        await is_busy_known.wait()
        await asyncio.sleep(0)
        return DONE_EXPLANATION

    maker = ScriptedMaker(make, n_in_flight=3)
    with pytest.raises(DatabaseBusy):
        work(database, batch_id, maker)
    assert len(maker.asked) == 3
    # Which of the three is asked first is left to their threads.
    assert sorted(statuses(database, batch_id)) == ["done", "done", "queued", "queued", "queued", "queued"]
    assert batch_status(database, batch_id) == ("running", None)


@pytest.mark.parametrize(
    ("error", "failure", "detail"),
    [
        (
            ZeroDivisionError("with a secret in it"),
            "fault of this program",
            "a fault of this program: ZeroDivisionError",
        ),
        (InvalidInput("explanation 5 has no text"), "not possible", "explanation 5 has no text"),
    ],
)
def test_a_row_that_cannot_be_made_fails_by_itself(
    database: Database, error: Exception, failure: str, detail: str
) -> None:
    batch_id = running_batch(database)

    def go_wrong_once(row_id: int) -> Made:
        if row_id == maker.asked[0]:
            raise error
        return DONE_EXPLANATION

    maker = ScriptedMaker(go_wrong_once)
    work(database, batch_id, maker)
    first, *others = stored(database, batch_id)
    assert (first.status, first.failure, first.failure_detail) == ("failed", failure, detail)
    assert [row.status for row in others] == ["done", "done"]
    assert batch_status(database, batch_id) == ("done", None)


def test_a_result_that_the_database_does_not_take_fails_its_row_alone(database: Database) -> None:
    batch_id = running_batch(database)
    answers = [Made({"text": object()}), DONE_EXPLANATION, DONE_EXPLANATION]
    work(database, batch_id, ScriptedMaker(lambda _: answers.pop(0)))
    assert statuses(database, batch_id) == ["failed", "done", "done"]


def test_a_server_that_refuses_every_call_pauses_the_batch(database: Database) -> None:
    batch_id = running_batch(database)

    def refuse(_: int) -> Made:
        raise ServerRefuses("the key in OPENAI_API_KEY is wrong")

    maker = ScriptedMaker(refuse)
    work(database, batch_id, maker)
    assert len(maker.asked) == 1
    assert batch_status(database, batch_id) == ("paused", "the key in OPENAI_API_KEY is wrong")
    assert set(statuses(database, batch_id)) == {"queued"}


def test_a_worker_that_is_to_end_makes_no_further_row_and_leaves_its_job_unfinished(database: Database) -> None:
    batch_id = running_batch(database)

    async def stop_in_the_first_row() -> None:
        def make(_: int) -> Made:
            open_batches.is_stopping = True
            assert open_batches.n_rows == 1
            return DONE_EXPLANATION

        maker = ScriptedMaker(make)
        open_batches = OpenBatches(Makers(maker))
        jobs = {asyncio.create_task(work_shard(database, batch_id, 0, 0, open_batches)) for _ in range(2)}
        while not maker.asked or open_batches.n_rows:
            await asyncio.sleep(0.01)
        ended, unfinished = await asyncio.wait(jobs, timeout=0.5)
        for job in unfinished:
            job.cancel()
        assert (ended, len(maker.asked)) == (set(), 1)

    asyncio.run(stop_in_the_first_row())
    assert statuses(database, batch_id) == ["done", "queued", "queued"]
    assert batch_status(database, batch_id) == ("running", None)
