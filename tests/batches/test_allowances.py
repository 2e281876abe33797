"""The rate that all workers share: blocks of time that follow each other, whoever takes them. On both databases."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from app.batches.allowances import MAKE_UP_SECONDS, REQUESTS, TOKENS, take_block
from app.batches.models import CallAllowance
from app.database import Database

MODEL = "https://llm.example.org/v1 gpt-x"


def taken(database: Database, seconds: float, model: str = MODEL, unit: str = REQUESTS) -> float:
    with database.writing() as session:
        return take_block(session, model, unit, seconds)


def used_until(database: Database) -> float:
    with database.reading() as session:
        return session.scalars(sa.select(CallAllowance.used_until)).one()


def test_the_first_block_makes_up_for_the_last_second(database: Database) -> None:
    before = time.time()
    assert taken(database, 0.5) == pytest.approx(-MAKE_UP_SECONDS, abs=1e-6)
    assert before - 1 <= used_until(database) - 0.5 + MAKE_UP_SECONDS <= time.time() + 1


def test_each_block_begins_where_the_last_one_ended(database: Database) -> None:
    taken(database, 60)
    first_end = used_until(database)
    starts_in = taken(database, 5)
    assert used_until(database) == pytest.approx(first_end + 5, abs=1e-6)
    assert 58 < starts_in <= 59


def test_of_a_rate_that_nobody_used_for_long_only_one_second_is_made_up_for(database: Database) -> None:
    taken(database, 0.5)
    with database.writing() as session:
        session.execute(sa.update(CallAllowance).values(used_until=CallAllowance.used_until - 3600))
    assert taken(database, 0.5) == pytest.approx(-MAKE_UP_SECONDS, abs=1e-6)


def test_models_and_units_have_rates_of_their_own(database: Database) -> None:
    taken(database, 60)
    assert taken(database, 1, unit=TOKENS) == pytest.approx(-MAKE_UP_SECONDS, abs=1e-6)
    assert taken(database, 1, model="another") == pytest.approx(-MAKE_UP_SECONDS, abs=1e-6)


def test_addresses_of_any_length_have_rates_of_their_own(database: Database) -> None:
    long, other = (f"https://llm.example.org/{'long/' * 100}v1 gpt-{name}" for name in "xy")
    taken(database, 60, model=long)
    assert taken(database, 1, model=other) == pytest.approx(-MAKE_UP_SECONDS, abs=1e-6)
    assert taken(database, 1, model=long) > 50
    with database.reading() as session:
        assert {len(model) for model in session.scalars(sa.select(CallAllowance.model))} == {400}


def test_no_moment_is_given_to_two_of_many_workers(database: Database) -> None:
    taken(database, 100)
    begin = used_until(database)

    def work(worker: int) -> float:
        return sum(float(taken(database, 0.25) > 0) * 0.25 for _ in range(10))

    with ThreadPoolExecutor(4) as workers:
        total = sum(workers.map(work, range(4)))
    assert total == 10.0
    assert used_until(database) == pytest.approx(begin + total, abs=1e-4)
