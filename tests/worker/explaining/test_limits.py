"""Turns at a server: nobody waits in these tests, a clock is set instead."""

import asyncio
import random

import pytest

from app.batches.allowances import MAKE_UP_SECONDS
from app.database import Database
from worker.explaining.limits import Stretches, Turns, blocks_of, blocks_of_this_process


class Clock:
    """Seconds that only a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def workers_turns(clock: Clock, n_workers: int) -> list[Turns]:
    """The turns of workers that share one rate."""
    take = blocks_of_this_process(clock)
    return [Turns("model", "requests", take, clock) for _ in range(n_workers)]


async def spread_moments(n_workers: int, per_minute: float, n_calls: int) -> list[float]:
    """When so many calls go, asked for by several workers in turn as fast as they may."""
    clock = Clock()
    turns = workers_turns(clock, n_workers)
    draw = random.Random(0)
    waiting = [[await one.moment(1, per_minute), one] for one in turns]
    gone: list[float] = []
    while len(gone) < n_calls:
        waiting.sort(key=lambda entry: entry[0])
        moment, one = waiting.pop(0)
        clock.now = max(clock.now, moment)
        gone.append(clock.now)
        # Now and then everybody is held up for a while, which is made up for.
        clock.now += 0.25 if draw.random() < 60 / per_minute else 0.0
        waiting.append([await one.moment(1, per_minute), one])
    return gone


@pytest.mark.parametrize(("n_workers", "per_minute"), [(1, 600), (3, 600), (4, 6000), (2, 12)])
def test_workers_together_keep_the_rate_and_use_all_of_it(n_workers: int, per_minute: float) -> None:
    gone = asyncio.run(spread_moments(n_workers, per_minute, 400))
    per_second = per_minute / 60
    for first, start in enumerate(gone):
        for window in (0.1, 1.0, 7.0):
            n_calls = sum(start <= moment <= start + window for moment in gone[first:])
            assert n_calls <= per_second * (window + MAKE_UP_SECONDS) + 1.001
    used = len(gone) / (gone[-1] - gone[0]) / per_second
    assert used > 0.97


def test_a_worker_that_dies_takes_half_a_second_of_the_rate_with_it() -> None:
    clock = Clock()
    alive, dead = workers_turns(clock, 2)

    async def first_moments() -> list[float]:
        await dead.moment(1, 600)
        return [await alive.moment(1, 600) for _ in range(2)]

    first, second = asyncio.run(first_moments())
    assert first == pytest.approx(clock.now - MAKE_UP_SECONDS + 0.5)
    assert second - first == pytest.approx(0.1)


def test_calls_that_take_many_tokens_wait_for_as_many() -> None:
    clock = Clock()
    (turns,) = workers_turns(clock, 1)

    async def moments() -> list[float]:
        return [await turns.moment(amount, 60_000) - clock.now for amount in (500, 3000, 100, 100)]

    assert asyncio.run(moments()) == pytest.approx([-1.0, -0.5, 2.5, 2.6])


def test_tokens_that_a_call_did_not_need_are_given_to_the_next_but_no_burst_grows_of_them() -> None:
    clock = Clock()
    (turns,) = workers_turns(clock, 1)

    async def moments() -> list[float]:
        first = await turns.moment(500, 60_000)
        turns.correct(500, 300, 60_000)
        second = await turns.moment(500, 60_000)
        third = await turns.moment(500, 60_000)
        turns.correct(100, 1100, 60_000)
        fourth = await turns.moment(500, 60_000)
        fifth = await turns.moment(500, 60_000)
        turns.correct(1_000_000, 0, 60_000)
        free = [await turns.moment(500, 60_000) for _ in range(3)]
        return [moment - clock.now for moment in (first, second, third, fourth, fifth, *free)]

    # 500, then 300 of 500, then 500, then 1,500, then 500; of a million too many a second's worth, two calls, is free.
    assert asyncio.run(moments()) == pytest.approx([-1.0, -0.5, -0.2, 0.3, 1.8, 0.0, 0.0, 2.3])


def test_stretches_are_handed_out_in_order_and_never_before_their_time() -> None:
    stretches = Stretches()
    assert stretches.missing(1.0, now=10.0) == 1.0
    stretches.add(10.0, 0.5)
    stretches.add(20.0, 1.0)
    assert stretches.missing(1.0, now=10.0) == 0.0
    assert stretches.take(0.3) == 10.0
    assert stretches.take(0.7) == 20.0
    assert stretches.missing(0.5, now=10.0) == 0.0
    assert stretches.missing(0.6, now=10.0) == pytest.approx(0.1)
    assert stretches.missing(0.3, now=21.75) == pytest.approx(0.05)
    assert stretches.missing(0.3, now=30.0) == pytest.approx(0.3)


def test_workers_on_a_database_share_its_blocks(database: Database) -> None:
    async def moments() -> tuple[float, float]:
        clock = Clock()
        first, second = (Turns("model", "requests", blocks_of(database), clock) for _ in range(2))
        return await first.moment(1, 6) - clock.now, await second.moment(1, 6) - clock.now

    first, second = asyncio.run(moments())
    assert first == pytest.approx(-MAKE_UP_SECONDS, abs=0.01)
    assert second == pytest.approx(10 - MAKE_UP_SECONDS, abs=1)
