"""What a batch spends: reservations, what calls cost, and budgets that cannot be passed. On both databases."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.batches.models import PAUSED, RUNNING, Batch, CallReservation, PaidCall
from app.batches.spending import (
    SILENT_SECONDS,
    SILENT_SECONDS_AT_FIRST,
    BatchStopped,
    Begun,
    BudgetReached,
    Estimate,
    Spent,
    begin_call,
    check_wanted,
    release,
    renew,
    settle,
)
from app.database import Database, utc_now
from tests.factories import make_subject

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
ANSWER = {"text": "words"}


def make_batch(database: Database, **columns: Any) -> int:
    """A running batch with nothing in it; its id."""
    values = {"status": RUNNING, "methods": [], "explainer": "openai:gpt-x", "settings": {}}
    with database.writing() as session:
        subject_id = session.scalar(sa.text("SELECT id FROM subject_model")) or make_subject(session).id
        batch = Batch(subject_id=subject_id, n_explanations=0, n_shards=0, **values | columns)
        session.add(batch)
        session.flush()
        return batch.id


def stored(database: Database, batch_id: int) -> Batch:
    with database.reading() as session:
        return session.get_one(Batch, batch_id)


def reserved(database: Database) -> dict[bytes, tuple[float, int]]:
    with database.reading() as session:
        return {row.key: (row.usd, row.tokens) for row in session.scalars(sa.select(CallReservation))}


def begun(database: Database, batch_id: int, estimate: Estimate, key: bytes = KEY) -> Begun | None:
    with database.writing() as session:
        return begin_call(session, batch_id, 0, key, estimate, SILENT_SECONDS)


def tried(database: Database, batch_id: int, estimate: Estimate, key: bytes = KEY) -> bool:
    """Whether the call may be made now."""
    how = begun(database, batch_id, estimate, key)
    assert how is None or how.answer is None
    return how is not None


def silence(database: Database, seconds: float = SILENT_SECONDS + 1) -> None:
    """Nothing was heard of the calls under way for so long."""
    with database.writing() as session:
        session.execute(sa.update(CallReservation).values(created_at=utc_now() - timedelta(seconds=seconds)))


def settled(database: Database, batch_id: int, spent: Spent, key: bytes = KEY, **options: Any) -> None:
    with database.writing() as session:
        settle(session, batch_id, key, spent, **{"answer": ANSWER} | options)


@pytest.mark.parametrize("budget", [{}, {"budget_tokens": 10}, {"budget_usd": 0.01}])
def test_an_answer_that_was_paid_for_is_found_by_every_batch_and_no_other_is(
    database: Database, budget: dict[str, Any]
) -> None:
    first, second = make_batch(database), make_batch(database, **budget)
    assert tried(database, first, Estimate(5, 0.25))
    settled(database, first, Spent(5, 0.25))
    # Also where another call would not fit into the budget any more.
    assert begun(database, second, Estimate(100, 0.5)) == Begun(ANSWER)
    assert reserved(database) == {}
    assert begun(database, second, Estimate(1, 0.0), OTHER_KEY) == Begun(None)


@pytest.mark.parametrize("budget", [{}, {"budget_usd": 1.0}])
@pytest.mark.parametrize("change", [{"status": PAUSED}, {"submission": 1}])
def test_nothing_more_is_asked_for_a_batch_that_stopped_or_was_submitted_again(
    database: Database, change: dict[str, Any], budget: dict[str, Any]
) -> None:
    batch_id = make_batch(database, **budget)
    with database.writing() as session:
        check_wanted(session, batch_id, 0)
        session.execute(sa.update(Batch).values(change))
        with pytest.raises(BatchStopped, match=f"batch {batch_id} is no longer to be worked on"):
            check_wanted(session, batch_id, 0)
    with pytest.raises(BatchStopped, match=f"batch {batch_id} is no longer to be worked on"):
        tried(database, batch_id, Estimate(1, 0.01))
    assert reserved(database) == {}


def test_a_batch_that_is_gone_has_stopped(database: Database) -> None:
    with pytest.raises(BatchStopped):
        tried(database, 99, Estimate(1, 0.01))
    with database.reading() as session, pytest.raises(BatchStopped):
        check_wanted(session, 99, 0)


def test_what_a_call_cost_takes_the_place_of_its_reservation(database: Database) -> None:
    batch_id, other_id = make_batch(database, budget_usd=1.0), make_batch(database)
    assert tried(database, batch_id, Estimate(100, 0.5))
    assert tried(database, batch_id, Estimate(10, 0.05), OTHER_KEY)
    settled(database, batch_id, Spent(80, 0.375), remark="first")
    settled(database, batch_id, Spent(8, None), key=b"third", answer=None, remark="second")
    assert reserved(database) == {OTHER_KEY: (0.05, 10)}
    batch, other = stored(database, batch_id), stored(database, other_id)
    assert (batch.spent_usd, batch.spent_tokens, batch.n_calls, batch.remark) == (0.375, 88, 2, "first")
    assert (other.spent_usd, other.spent_tokens, other.n_calls, other.remark) == (0.0, 0, 0, None)
    with database.reading() as session:
        assert session.scalars(sa.select(PaidCall.key)).all() == [KEY]


def test_two_batches_that_asked_the_same_both_paid_and_the_first_answer_stays(database: Database) -> None:
    first, second = make_batch(database), make_batch(database)
    settled(database, first, Spent(5, 0.25))
    settled(database, second, Spent(6, 0.5), answer={"text": "other words"})
    assert begun(database, first, Estimate(5, 0.25)) == Begun(ANSWER)
    assert [stored(database, batch).spent_usd for batch in (first, second)] == [0.25, 0.5]


def test_a_released_call_holds_nothing_and_no_other_is_released_with_it(database: Database) -> None:
    batch_id, other_id = make_batch(database, budget_tokens=100), make_batch(database, budget_tokens=100)
    assert tried(database, batch_id, Estimate(60, None))
    assert tried(database, other_id, Estimate(90, None), OTHER_KEY)
    with database.writing() as session:
        release(session, batch_id, KEY)
        release(session, batch_id, OTHER_KEY)
    assert reserved(database) == {OTHER_KEY: (0.0, 90)}


@pytest.mark.parametrize("budget", [{}, {"budget_tokens": 1000}])
def test_a_call_that_is_under_way_is_not_begun_again_by_whichever_batch(
    database: Database, budget: dict[str, Any]
) -> None:
    batch_id, other_id = make_batch(database, **budget), make_batch(database, **budget)
    assert tried(database, batch_id, Estimate(100, None))
    assert not tried(database, batch_id, Estimate(50, None))
    assert not tried(database, other_id, Estimate(100, None))
    assert reserved(database) == {KEY: (0.0, 100)}
    settled(database, batch_id, Spent(10, None))
    assert begun(database, other_id, Estimate(100, None)) == Begun(ANSWER)
    assert reserved(database) == {}


def test_what_fell_silent_counts_no_more_and_is_replaced_and_a_sign_of_life_keeps_it(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=100)
    assert tried(database, batch_id, Estimate(60, None))
    assert tried(database, batch_id, Estimate(30, None), OTHER_KEY)
    silence(database, SILENT_SECONDS - 5)
    assert not tried(database, batch_id, Estimate(60, None))
    silence(database)
    with database.writing() as session:
        renew(session, batch_id, OTHER_KEY)
    assert not tried(database, batch_id, Estimate(20, None), OTHER_KEY)
    # Beside the dead 60 there would be no room for it, beside the living 30 there is.
    assert tried(database, batch_id, Estimate(70, None))
    assert reserved(database) == {KEY: (0.0, 70), OTHER_KEY: (0.0, 30)}


def test_at_first_sight_silence_may_be_that_of_the_database(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=100)
    assert tried(database, batch_id, Estimate(60, None))
    silence(database, SILENT_SECONDS_AT_FIRST - 5)
    with database.writing() as session:
        assert begin_call(session, batch_id, 0, OTHER_KEY, Estimate(60, None)) is None
    silence(database, SILENT_SECONDS_AT_FIRST + 1)
    with database.writing() as session:
        assert begin_call(session, batch_id, 0, OTHER_KEY, Estimate(60, None)) == Begun(None)


def test_the_living_reservation_of_a_call_whose_answer_is_found_stays(database: Database) -> None:
    """Of two workers that began the same call one was taken for dead; it is still on its way."""
    batch_id, other_id = make_batch(database, budget_tokens=100), make_batch(database)
    assert tried(database, batch_id, Estimate(60, None))
    settled(database, other_id, Spent(5, None))
    assert begun(database, batch_id, Estimate(60, None)) == Begun(ANSWER)
    assert reserved(database) == {KEY: (0.0, 60)}


def test_a_dead_reservation_of_another_batch_stays_and_stops_nobody(database: Database) -> None:
    dead_id, batch_id = make_batch(database, budget_tokens=100), make_batch(database, budget_tokens=100)
    assert tried(database, dead_id, Estimate(60, None))
    silence(database)
    assert tried(database, batch_id, Estimate(100, None))
    settled(database, batch_id, Spent(10, None))
    assert reserved(database) == {KEY: (0.0, 60)}
    # Its own batch finds the answer, and its reservation goes.
    assert begun(database, dead_id, Estimate(60, None)) == Begun(ANSWER)
    assert reserved(database) == {}


@pytest.mark.parametrize(
    ("budget", "estimate", "sentence"),
    [
        (
            {"budget_usd": 1.0},
            Estimate(10, 0.26),
            r"the budget of \$1 does not cover another call: \$0.75 is spent, and one may cost up to \$0.26",
        ),
        (
            {"budget_tokens": 5000},
            Estimate(1001, 0.0),
            "the budget of 5,000 tokens does not cover another call: 4,000 are spent, and one may take up to 1,001",
        ),
        (
            {"budget_usd": 9.0, "budget_tokens": 4500},
            Estimate(501, 0.1),
            "the budget of 4,500 tokens does not cover another call",
        ),
        (
            {"budget_usd": 9.0},
            Estimate(10, None),
            r"the budget of \$9 cannot be kept: the model's prices are not known",
        ),
    ],
)
def test_a_call_that_does_not_fit_says_what_is_spent_and_what_it_may_cost(
    database: Database, budget: dict[str, Any], estimate: Estimate, sentence: str
) -> None:
    batch_id = make_batch(database, spent_usd=0.75, spent_tokens=4000, **budget)
    with pytest.raises(BudgetReached, match=sentence):
        tried(database, batch_id, estimate)
    assert reserved(database) == {}


def test_a_call_that_just_fits_is_let_through(database: Database) -> None:
    batch_id = make_batch(database, spent_usd=0.75, spent_tokens=4000, budget_usd=1.0, budget_tokens=4100)
    assert tried(database, batch_id, Estimate(100, 0.25))


def test_while_others_hold_what_is_left_a_call_may_try_again(database: Database) -> None:
    batch_id = make_batch(database, budget_tokens=100)
    assert tried(database, batch_id, Estimate(60, None))
    assert not tried(database, batch_id, Estimate(60, None), OTHER_KEY)
    settled(database, batch_id, Spent(30, None))
    assert tried(database, batch_id, Estimate(60, None), OTHER_KEY)
    settled(database, batch_id, Spent(60, None), key=OTHER_KEY)
    with pytest.raises(BudgetReached):
        tried(database, batch_id, Estimate(11, None), b"third")


def test_many_workers_together_never_pass_a_budget(database: Database) -> None:
    batch_id = make_batch(database, budget_usd=1.0, budget_tokens=1000)
    observed: list[tuple[float, int]] = []

    def work(worker: int) -> int:
        draw = random.Random(worker)
        n_calls = 0
        for call in range(40):
            key = bytes([worker, call])
            estimate = Estimate(draw.randint(20, 60), draw.uniform(0.02, 0.06))
            if not _reserved_or_reached(lambda key=key, estimate=estimate: tried(database, batch_id, estimate, key)):
                continue
            observed.append(_taken(database, batch_id))
            # Nothing costs more than was set aside for it; some calls fail.
            if draw.random() < 0.2:
                with database.writing() as session:
                    release(session, batch_id, key)
                continue
            cost = Spent(draw.randint(10, estimate.tokens), draw.uniform(0.01, estimate.usd or 0.0))
            settled(database, batch_id, cost, key, answer=None)
            n_calls += 1
        return n_calls

    with ThreadPoolExecutor(4) as workers:
        n_calls = sum(workers.map(work, range(4)))
    batch = stored(database, batch_id)
    assert batch.n_calls == n_calls < 160
    assert max(usd for usd, _ in observed) <= 1.0
    assert max(tokens for _, tokens in observed) <= 1000
    assert 0.9 < max(batch.spent_usd, batch.spent_tokens / 1000) <= 1.0
    assert reserved(database) == {}


def _reserved_or_reached(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except BudgetReached:
        return False


def _taken(database: Database, batch_id: int) -> tuple[float, int]:
    """Spent and reserved together, as one statement sees them."""
    of_batch = CallReservation.batch_id == batch_id
    usd = sa.select(sa.func.coalesce(sa.func.sum(CallReservation.usd), 0.0)).where(of_batch).scalar_subquery()
    tokens = sa.select(sa.func.coalesce(sa.func.sum(CallReservation.tokens), 0)).where(of_batch).scalar_subquery()
    query = sa.select(Batch.spent_usd + usd, Batch.spent_tokens + tokens).where(Batch.id == batch_id)
    with database.reading() as session:
        total_usd, total_tokens = session.execute(query).one()
    return float(total_usd), int(total_tokens)
