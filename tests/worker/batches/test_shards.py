"""Working on a shard, whatever its maker makes: every result stored by itself, safe to repeat, to interrupt, to stop.
On both databases."""

import asyncio

import pytest
import sqlalchemy as sa

from app.batches import life
from app.batches.models import Batch
from app.batches.spending import BatchStopped, BudgetReached
from app.database import Database
from app.errors import Unavailable
from app.explanations.models import Explanation
from tests.batches.test_planning import plan
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


def test_stores_what_was_made_of_each_row_and_ends_the_batch(database: Database) -> None:
    batch_id = running_batch(database, 2)
    failed = Made({"text": None, "text_received": "No."}, "refusal", "it begins so", 100, 10, 0.25, 1.5)
    answers = [DONE_EXPLANATION, failed]
    maker = ScriptedMaker(lambda _: answers.pop(0))
    work(database, batch_id, maker)
    first, second = stored(database, batch_id)
    assert isinstance(first, Explanation)
    assert isinstance(second, Explanation)
    assert (first.status, first.text, first.text_received, first.failure) == ("done", "Cats.", "cats", None)
    assert (first.n_prompt_tokens, first.cost_usd, first.seconds) == (None, 0.5, 2.0)
    assert (second.status, second.text, second.text_received) == ("failed", None, "No.")
    assert (second.failure, second.failure_detail) == ("refusal", "it begins so")
    assert (second.n_prompt_tokens, second.n_completion_tokens, second.cost_usd) == (100, 10, 0.25)
    assert first.finished_at is not None
    assert batch_status(database, batch_id) == ("done", None)
    assert maker.is_closed


def test_the_maker_is_told_whose_batch_it_is(database: Database) -> None:
    batch_id = running_batch(database, 1)
    makers = Makers(ScriptedMaker())
    work(database, batch_id, makers)
    with database.reading() as session:
        settings = session.get_one(Batch, batch_id).settings
    assert makers.asked == [AskedBatch(batch_id, "explanations", 0, "local:toy", settings)]


def test_a_killed_shard_is_repeated_for_what_it_lacks(database: Database) -> None:
    batch_id = running_batch(database)

    async def killed_at_the_third() -> None:
        shard = asyncio.current_task()
        assert shard is not None

        async def make(_: int) -> Made:
            if len(dying.asked) == 3:
                shard.cancel()
                await asyncio.Event().wait()
            return DONE_EXPLANATION

        dying = ScriptedMaker(make)
        await work_shard(database, batch_id, 0, 0, OpenBatches(Makers(dying)))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(killed_at_the_third())
    assert statuses(database, batch_id) == ["done", "done", "queued"]
    assert batch_status(database, batch_id) == ("running", None)
    maker = ScriptedMaker()
    work(database, batch_id, maker)
    assert len(maker.asked) == 1
    assert batch_status(database, batch_id) == ("done", None)


def test_a_finished_shard_changes_nothing(database: Database) -> None:
    batch_id = running_batch(database)
    work(database, batch_id, ScriptedMaker())
    again = ScriptedMaker()
    work(database, batch_id, again)
    assert again.asked == []


def test_a_row_that_was_made_elsewhere_meanwhile_is_not_made_again(database: Database) -> None:
    batch_id = running_batch(database)
    first, second, third = (row.id for row in stored(database, batch_id))

    def make_the_next_elsewhere(row_id: int) -> Made:
        if row_id == first:
            work(database, batch_id, ScriptedMaker(lambda each: _only(each, second)))
        return DONE_EXPLANATION

    def _only(row_id: int, wanted: int) -> Made:
        if row_id != wanted:
            raise BatchStopped("the test lets this one make one row")
        return DONE_EXPLANATION

    maker = ScriptedMaker(lambda row_id: in_thread(lambda: make_the_next_elsewhere(row_id)))
    work(database, batch_id, maker)
    assert maker.asked == [first, third]
    assert statuses(database, batch_id) == ["done"] * 3


async def in_thread(act: object) -> Made:
    return await asyncio.to_thread(act)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["cancelled", "paused", "failed"])
def test_a_batch_that_stops_keeps_what_was_under_way_and_begins_nothing_further(database: Database, end: str) -> None:
    batch_id = running_batch(database)

    def stop_and_answer(_: int) -> Made:
        with database.writing() as session:
            if end == "cancelled":
                life.cancel_batch(session, batch_id)
            elif end == "paused":
                life.pause_batch(session, batch_id)
            else:
                life.fail_batch(session, batch_id, "no key")
        return DONE_EXPLANATION

    maker = ScriptedMaker(stop_and_answer)
    work(database, batch_id, maker)
    assert len(maker.asked) == 1
    assert statuses(database, batch_id) == ["done", "queued", "queued"]
    assert batch_status(database, batch_id)[0] == end
    assert maker.is_closed


def test_a_resumed_batch_is_made_by_jobs_of_its_new_submission_alone(database: Database) -> None:
    batch_id = running_batch(database)
    with database.writing() as session:
        life.pause_batch(session, batch_id)
        life.start_batch(session, batch_id, life.resume_batch(session, batch_id))
    old = ScriptedMaker()
    work(database, batch_id, old, submission=0)
    assert old.asked == []
    work(database, batch_id, ScriptedMaker(), submission=1)
    assert batch_status(database, batch_id) == ("done", None)


def test_a_reached_budget_pauses_the_batch_and_lets_the_others_end(database: Database) -> None:
    batch_id = running_batch(database, 6)
    first = stored(database, batch_id)[0].id
    is_paused = asyncio.Event()

    async def reach_it_with_the_second(row_id: int) -> Made:
        if row_id == first:
            # Under way while the other one reaches the budget.
            await is_paused.wait()
            return DONE_EXPLANATION
        is_paused.set()
        raise BudgetReached("the budget of 1.00 USD is reached")

    maker = ScriptedMaker(reach_it_with_the_second, n_in_flight=2)
    work(database, batch_id, maker)
    assert batch_status(database, batch_id) == ("paused", "the budget of 1.00 USD is reached")
    assert statuses(database, batch_id) == ["done", *["queued"] * 5]
    assert len(maker.asked) <= 3


def test_a_maker_that_finds_the_batch_stopped_leaves_the_row_as_it_is(database: Database) -> None:
    batch_id = running_batch(database, 2)

    def stopped(_: int) -> Made:
        raise BatchStopped("no longer")

    work(database, batch_id, ScriptedMaker(stopped))
    assert statuses(database, batch_id) == ["queued", "queued"]
    assert batch_status(database, batch_id) == ("running", None)


def test_a_result_that_comes_after_a_later_batch_took_over_is_dropped(database: Database) -> None:
    batch_id = running_batch(database, 1)

    def take_over_and_answer(_: int) -> Made:
        with database.writing() as session:
            life.cancel_batch(session, batch_id)
            plan(session, list(session.scalars(sa.select(Explanation.neuron_id))))
        return DONE_EXPLANATION

    work(database, batch_id, ScriptedMaker(take_over_and_answer))
    assert statuses(database, batch_id + 1) == ["queued"]


def test_other_shards_are_left_alone(database: Database) -> None:
    batch_id = running_batch(database, 26)
    work(database, batch_id, ScriptedMaker())
    assert statuses(database, batch_id) == ["done"] * 25 + ["queued"]
    assert batch_status(database, batch_id) == ("running", None)


def test_a_maker_that_cannot_be_had_fails_the_batch_and_no_row(database: Database) -> None:
    def no_key(_: AskedBatch) -> Maker:
        raise Unavailable("no key: set OPENAI_API_KEY")

    batch_id = running_batch(database)
    asyncio.run(work_shard(database, batch_id, 0, 0, OpenBatches(no_key)))
    assert batch_status(database, batch_id) == ("failed", "no key: set OPENAI_API_KEY")
    assert set(statuses(database, batch_id)) == {"queued"}


def test_all_shards_here_share_one_maker_and_its_bound(database: Database) -> None:
    batch_id = running_batch(database, 96)
    six = asyncio.Barrier(6)

    async def wait_for_five_others(_: int) -> Made:
        async with asyncio.timeout(30):
            await six.wait()
        return DONE_EXPLANATION

    makers = Makers(maker := ScriptedMaker(wait_for_five_others, n_in_flight=6))
    work(database, batch_id, makers, shards=4)
    assert len(makers.asked) == 1
    assert maker.most_running == 6
    assert sorted(maker.asked) == [row.id for row in stored(database, batch_id)]
    assert batch_status(database, batch_id) == ("done", None)


def test_two_workers_on_the_same_shard_store_each_row_once(database: Database) -> None:
    batch_id = running_batch(database, 25)
    texts = [Made({"text": text, "text_received": text}) for text in ("One.", "Two.")]

    async def both() -> None:
        workers = [OpenBatches(Makers(ScriptedMaker(made, n_in_flight=4))) for made in texts]
        await asyncio.gather(*(work_shard(database, batch_id, 0, 0, open_batches) for open_batches in workers))

    asyncio.run(both())
    rows = stored(database, batch_id)
    assert len(rows) == 25
    assert {row.status for row in rows} == {"done"}
    assert batch_status(database, batch_id) == ("done", None)
