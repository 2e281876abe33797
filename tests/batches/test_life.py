"""The life of a batch and its progress, on both databases."""

import pytest
from sqlalchemy.orm import Session

from app.batches import life
from app.batches.life import BatchProgress
from app.batches.models import Batch
from app.database import Database
from app.errors import Conflict, UnknownName
from app.explanations.models import FAILED
from tests.batches.test_planning import finish, make_neurons, plan, rows


def planned(session: Session, n: int = 2) -> Batch:
    return plan(session, make_neurons(session, n))


def status(session: Session, batch: Batch) -> str:
    session.refresh(batch)
    return batch.status


def test_a_batch_runs_and_is_done_when_nothing_is_queued(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        first, second = rows(session, batch)
        assert life.queued_batch_ids(session) == [batch.id]
        assert life.start_batch(session, batch.id) == 1
        assert life.queued_batch_ids(session) == []
        assert life.is_running(session, batch.id)
        finish(session, first)
        assert not life.finish_batch_if_complete(session, batch.id)
        finish(session, second, status=FAILED, text=None, failure="empty")
        assert life.finish_batch_if_complete(session, batch.id)
        assert status(session, batch) == "done"
        assert batch.finished_at is not None


def test_starting_twice_gives_the_shards_twice(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        assert [life.start_batch(session, batch.id) for _ in range(2)] == [1, 1]


def test_a_cancelled_batch_does_not_start_and_cancelling_again_changes_nothing(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        life.cancel_batch(session, batch.id)
        life.cancel_batch(session, batch.id)
        assert life.start_batch(session, batch.id) == 0
        assert status(session, batch) == "cancelled"


def test_a_done_batch_cannot_be_cancelled(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session, 1)
        life.start_batch(session, batch.id)
        finish(session, rows(session, batch)[0])
        life.finish_batch_if_complete(session, batch.id)
        with pytest.raises(Conflict, match=f"batch {batch.id} is done and cannot be cancelled"):
            life.cancel_batch(session, batch.id)


def test_a_failed_batch_says_why_and_an_ended_one_cannot_fail(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        assert life.fail_batch(session, batch.id, "no key")
        assert status(session, batch) == "failed"
        assert batch.failure == "no key"
        assert not life.fail_batch(session, batch.id, "other")


def test_ending_one_batch_leaves_others_as_they_are(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        ended, other = plan(session, neurons[:1]), plan(session, neurons[1:])
        for batch in (ended, other):
            life.start_batch(session, batch.id)
        life.cancel_batch(session, ended.id)
        assert status(session, other) == "running"
        assert not life.finish_batch_if_complete(session, other.id)


def test_an_unknown_batch_is_named(database: Database) -> None:
    with database.writing() as session:
        for act in (life.find_batch, life.start_batch, life.cancel_batch, life.batch_progress):
            with pytest.raises(UnknownName, match="no batch 7"):
                act(session, 7)


def test_progress_counts_this_batch_alone(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 6)
        finish(session, rows(session, plan(session, neurons[:1]))[0])
        batch = plan(session, neurons)
        life.start_batch(session, batch.id)
        done, empty, refused, also_refused, _ = rows(session, batch)
        finish(session, done, cost_usd=0.25)
        finish(session, empty, status=FAILED, text=None, failure="empty", cost_usd=0.25)
        finish(session, refused, status=FAILED, text=None, failure="refusal", cost_usd=None)
        finish(session, also_refused, status=FAILED, text=None, failure="refusal", cost_usd=None)
        progress = life.batch_progress(session, batch.id)
        assert progress == BatchProgress(
            status="running",
            n_explanations=5,
            n_reused=1,
            n_queued=1,
            n_done=1,
            n_failed=3,
            n_taken_over=0,
            failures={"refusal": 2, "empty": 1},
            n_prompt_tokens=400,
            n_completion_tokens=40,
            cost_usd=0.5,
            seconds=2.0,
        )
        assert list(progress.failures) == ["refusal", "empty"]
        assert progress.n_to_make == 5


def test_the_cost_is_unknown_while_one_explanations_is(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        first, second = rows(session, batch)
        finish(session, first, cost_usd=1.0)
        finish(session, second, cost_usd=None)
        assert life.batch_progress(session, batch.id).cost_usd is None


def test_a_shard_lacks_what_is_queued_of_it_method_by_method(database: Database) -> None:
    with database.writing() as session:
        batch = plan(session, make_neurons(session, 15), methods=["summary", "hs"])
        finish(session, rows(session, batch)[25])
        lacking = life.queued_of_shard(session, batch.id, 1)
        assert [row.method for row in lacking] == ["hs"] * 4
        assert [row.method for row in life.queued_of_shard(session, batch.id, 0)] == ["hs"] * 10 + ["summary"] * 15
