"""The life of a batch, every change of it, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches import life
from app.batches.models import Batch
from app.batches.rows import is_to_be_made, queued_rows_of_shard
from app.database import Database, utc_now
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.models import FAILED, Explanation
from tests.batches.test_planning import finish, make_neurons, plan, rows

Act = Callable[[Session, int], Any]

ACTS: dict[str, Act] = {
    "start": lambda session, batch_id: life.start_batch(session, batch_id, 0),
    "pause": life.pause_batch,
    "pause for": lambda session, batch_id: life.pause_for(session, batch_id, "the budget is reached"),
    "resume": life.resume_batch,
    "retry": life.retry_failed,
    "cancel": life.cancel_batch,
    "fail": lambda session, batch_id: life.fail_batch(session, batch_id, "no key"),
    "finish": life.finish_batch_if_complete,
    "raise budget": lambda session, batch_id: life.raise_budget(session, batch_id, None, None),
}


def planned(session: Session, n: int = 2) -> Batch:
    return plan(session, make_neurons(session, n))


def started(session: Session, n: int = 2) -> Batch:
    batch = planned(session, n)
    life.start_batch(session, batch.id)
    return batch


def in_status(session: Session, status: str) -> Batch:
    """A batch of two rows in that status, one of them failed, the other queued unless the batch is done."""
    batch = started(session)
    failed, queued = rows(session, batch)
    fail(session, failed)
    if status == "done":
        finish(session, queued)
    # The shortest way there; that each status is reached as it should is the matter of the tests.
    session.execute(sa.update(Batch).where(Batch.id == batch.id).values(status=status))
    session.expire_all()
    return batch


def fail(session: Session, explanation: Explanation, failure: str = "refusal") -> None:
    finish(
        session,
        explanation,
        status=FAILED,
        text=None,
        text_received="I cannot.",
        failure=failure,
        failure_detail="it begins as a refusal does",
        cost_usd=0.25,
        finished_at=utc_now(),
    )


def status(session: Session, batch: Batch) -> str:
    session.refresh(batch)
    return batch.status


def test_a_batch_runs_and_is_done_when_nothing_is_queued(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        first, second = rows(session, batch)
        assert life.queued_batch_ids(session) == [batch.id]
        assert life.start_batch(session, batch.id) == [0]
        assert life.queued_batch_ids(session) == []
        assert life.is_running(session, batch.id)
        finish(session, first)
        assert not life.finish_batch_if_complete(session, batch.id)
        finish(session, second, status=FAILED, text=None, failure="empty")
        assert life.finish_batch_if_complete(session, batch.id)
        assert status(session, batch) == "done"
        assert batch.finished_at is not None


def test_starting_twice_gives_the_shards_that_lack_something_twice(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session, 60)
        assert [life.start_batch(session, batch.id) for _ in range(2)] == [[0, 1, 2]] * 2
        for explanation in rows(session, batch)[25:50]:
            finish(session, explanation)
        assert life.start_batch(session, batch.id) == [0, 2]


def test_another_submission_than_the_present_one_starts_nothing(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        assert life.start_batch(session, batch.id, submission=1) == []
        assert status(session, batch) == "queued"


FROM: dict[str, list[tuple[str, str]]] = {
    "start": [("queued", "running"), ("running", "running"), *((each, each) for each in ("paused", "done", "failed"))],
    "pause": [("queued", "paused"), ("running", "paused"), ("paused", "paused")],
    "pause for": [("running", "paused"), *((each, each) for each in ("queued", "paused", "done", "cancelled"))],
    "resume": [("paused", "queued"), ("failed", "queued"), ("queued", "queued"), ("running", "running")],
    "retry": [(each, "queued") for each in ("paused", "done", "failed")],
    "cancel": [(each, "cancelled") for each in ("queued", "running", "paused", "cancelled")],
    "fail": [*((each, "failed") for each in ("queued", "running", "paused", "failed")), ("done", "done")],
    "finish": [(each, each) for each in ("running", "queued", "paused", "cancelled", "failed", "done")],
}


@pytest.mark.parametrize(("act", "before", "after"), [(act, *each) for act, pairs in FROM.items() for each in pairs])
def test_every_change_leads_from_one_status_to_the_next(database: Database, act: str, before: str, after: str) -> None:
    with database.writing() as session:
        batch = in_status(session, before)
        ACTS[act](session, batch.id)
        assert status(session, batch) == after


@pytest.mark.parametrize(
    ("act", "before", "complaint"),
    [
        ("pause", "done", "is done and cannot be paused"),
        ("pause", "cancelled", "is cancelled and cannot be paused"),
        ("pause", "failed", "is failed and cannot be paused"),
        ("resume", "done", "is done and cannot be resumed"),
        ("resume", "cancelled", "is cancelled and cannot be resumed"),
        ("cancel", "done", "is done and cannot be cancelled"),
        ("cancel", "failed", "is failed and cannot be cancelled"),
        ("retry", "queued", "is queued; its failures can be retried once it has ended or is paused"),
        ("retry", "running", "is running; its failures can be retried once"),
        ("retry", "cancelled", "is cancelled and cannot go on; order what it lacks as a new batch"),
    ],
)
def test_a_change_that_does_not_fit_is_refused_and_changes_nothing(
    database: Database, act: str, before: str, complaint: str
) -> None:
    with database.writing() as session:
        batch = in_status(session, before)
        with pytest.raises(Conflict, match=f"batch {batch.id} {complaint}"):
            ACTS[act](session, batch.id)
        assert (status(session, batch), batch.submission) == (before, 0)


@pytest.mark.parametrize("act", ["start", "pause", "resume", "retry", "cancel", "finish", "raise budget"])
def test_an_unknown_batch_is_named(database: Database, act: str) -> None:
    with database.writing() as session, pytest.raises(UnknownName, match="no batch 7"):
        ACTS[act](session, 7)


def test_a_batch_that_goes_on_is_handed_over_as_another_submission(database: Database) -> None:
    with database.writing() as session:
        batch = started(session)
        finish(session, rows(session, batch)[0])
        life.pause_for(session, batch.id, "the budget is reached")
        session.refresh(batch)
        assert (batch.failure, batch.finished_at) == ("the budget is reached", None)
        assert life.resume_batch(session, batch.id) == 1
        assert life.resume_batch(session, batch.id) == 1
        assert life.queued_batch_ids(session) == [batch.id]
        assert life.start_batch(session, batch.id, 0) == []
        assert life.start_batch(session, batch.id, 1) == [0]
        session.refresh(batch)
        assert (batch.status, batch.failure) == ("running", None)


def test_a_job_of_an_earlier_submission_finds_nothing_to_make(database: Database) -> None:
    with database.writing() as session:
        batch = started(session)
        first, second = rows(session, batch)
        assert is_to_be_made(session, batch.id, batch.kind, 0, first.id)
        life.pause_batch(session, batch.id)
        assert not is_to_be_made(session, batch.id, batch.kind, 0, first.id)
        life.start_batch(session, batch.id, life.resume_batch(session, batch.id))
        assert not is_to_be_made(session, batch.id, batch.kind, 0, first.id)
        assert is_to_be_made(session, batch.id, batch.kind, 1, first.id)
        finish(session, second)
        assert not is_to_be_made(session, batch.id, batch.kind, 1, second.id)


def test_a_paused_batch_whose_last_answers_came_in_is_done(database: Database) -> None:
    with database.writing() as session:
        batch = started(session)
        life.pause_for(session, batch.id, "the budget is reached")
        for explanation in rows(session, batch):
            finish(session, explanation)
        assert life.finish_batch_if_complete(session, batch.id)
        session.refresh(batch)
        assert (batch.status, batch.failure) == ("done", None)


def test_a_batch_that_lacks_nothing_when_it_starts_is_done(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        for explanation in rows(session, batch):
            finish(session, explanation)
        assert life.start_batch(session, batch.id) == []
        assert status(session, batch) == "done"


def test_retried_failures_are_asked_again_as_if_new(database: Database) -> None:
    with database.writing() as session:
        batch = started(session, 30)
        done, refused, *others = rows(session, batch)
        fail(session, refused)
        for explanation in (done, *others):
            finish(session, explanation)
        life.finish_batch_if_complete(session, batch.id)
        assert life.retry_failed(session, batch.id) == 1
        session.refresh(refused)
        emptied = {
            name: getattr(refused, name)
            for name in (
                "text",
                "text_received",
                "failure",
                "failure_detail",
                "n_prompt_tokens",
                "n_completion_tokens",
                "cost_usd",
                "seconds",
                "finished_at",
            )
        }
        assert set(emptied.values()) == {None}
        assert (refused.status, refused.attempt, refused.shard) == ("queued", 1, 0)
        session.refresh(batch)
        assert (batch.status, batch.submission, batch.finished_at) == ("queued", 1, None)
        assert life.start_batch(session, batch.id, 1) == [0]
        assert queued_rows_of_shard(session, batch, 0) == [refused.id]


def test_failures_of_some_reasons_alone_are_retried(database: Database) -> None:
    with database.writing() as session:
        batch = started(session, 3)
        refused, empty, limited = rows(session, batch)
        fail(session, refused)
        fail(session, empty, "empty")
        fail(session, limited, "rate limit")
        life.finish_batch_if_complete(session, batch.id)
        assert life.retry_failed(session, batch.id, ["connection"]) == 0
        assert status(session, batch) == "done"
        assert life.retry_failed(session, batch.id, ["rate limit", "empty"]) == 2
        assert [row.status for row in rows(session, batch)] == ["failed", "queued", "queued"]


def test_failures_of_other_batches_are_left_alone(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        batch, other = plan(session, neurons[:1]), plan(session, neurons[1:])
        for each in (batch, other):
            life.start_batch(session, each.id)
            fail(session, rows(session, each)[0])
            life.finish_batch_if_complete(session, each.id)
        assert life.retry_failed(session, batch.id) == 1
        assert [row.status for row in rows(session, other)] == ["failed"]
        assert status(session, other) == "done"


def test_what_failed_in_an_earlier_batch_counts_another_attempt_in_a_later_one(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        batch = plan(session, neurons)
        life.start_batch(session, batch.id)
        fail(session, rows(session, batch)[0])
        life.cancel_batch(session, batch.id)
        assert [row.attempt for row in rows(session, plan(session, neurons))] == [1, 0]


def test_ending_one_batch_leaves_others_as_they_are(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        ended, other = plan(session, neurons[:1]), plan(session, neurons[1:])
        for batch in (ended, other):
            life.start_batch(session, batch.id)
        life.cancel_batch(session, ended.id)
        assert status(session, other) == "running"
        assert not life.finish_batch_if_complete(session, other.id)


@pytest.mark.parametrize("stopped", ["paused", "failed"])
def test_a_stopped_batch_is_done_once_later_ones_took_over_all_that_waited(database: Database, stopped: str) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        earlier = plan(session, neurons)
        other = plan(session, neurons, methods=["hs"])
        values = {"status": stopped, "failure": "no key"}
        session.execute(sa.update(Batch).values(**values))
        plan(session, neurons[:1])
        assert (status(session, earlier), earlier.failure) == (stopped, "no key")
        plan(session, neurons[1:])
        assert (status(session, earlier), earlier.failure) == ("done", None)
        assert earlier.finished_at is not None
        assert status(session, other) == stopped


def test_a_budget_is_raised_or_taken_away(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        batch.budget_usd, batch.budget_tokens = 2.0, 1000
        session.flush()
        life.raise_budget(session, batch.id, 2.5, 1000)
        session.refresh(batch)
        assert (batch.budget_usd, batch.budget_tokens) == (2.5, 1000)
        life.raise_budget(session, batch.id, None, 2000)
        session.refresh(batch)
        assert (batch.budget_usd, batch.budget_tokens) == (None, 2000)


@pytest.mark.parametrize(
    ("usd", "tokens", "complaint"),
    [
        (1.5, 1000, "budget in dollars 1.5; a budget can only be raised, expected at least 2.0"),
        (2.0, 999, "budget in tokens 999; a budget can only be raised, expected at least 1000"),
        (float("nan"), 1000, "budget in dollars nan; expected a number above 0"),
        (float("inf"), 1000, "budget in dollars inf; expected a number above 0"),
        (-1.0, 1000, "budget in dollars -1.0; expected a number above 0"),
        (2.0, 2**63, "budget in tokens 9223372036854775808; expected a number above 0"),
    ],
)
def test_a_budget_is_never_lowered(database: Database, usd: float, tokens: int, complaint: str) -> None:
    with database.writing() as session:
        batch = planned(session)
        batch.budget_usd, batch.budget_tokens = 2.0, 1000
        session.flush()
        with pytest.raises(InvalidInput, match=complaint):
            life.raise_budget(session, batch.id, usd, tokens)
        session.refresh(batch)
        assert (batch.budget_usd, batch.budget_tokens) == (2.0, 1000)


def test_a_batch_without_a_budget_gets_none_later(database: Database) -> None:
    with database.writing() as session:
        batch = planned(session)
        with pytest.raises(InvalidInput, match=r"budget in tokens 5; this batch has no such bound"):
            life.raise_budget(session, batch.id, None, 5)
