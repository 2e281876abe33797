"""Turns at a server: a rate that all workers share. Knows no server and no call.

A worker takes the shared rate in blocks of about half a second, each in one short transaction, and hands it out call
by call. So neither does every call cost a write, nor is much of the rate lost with a worker that dies.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from app.batches.allowances import MAKE_UP_SECONDS, take_block
from app.database import Database

BLOCK_SECONDS = 0.5
ROUNDING = 1e-9
"""Seconds: lengths that are sums of many fractions are equal up to this."""

TakeBlock = Callable[[str, str, float], Awaitable[float]]
"""(model, unit, length in seconds) -> seconds from now at which the block of the rate begins."""


class Stretches:
    """The stretches of time, on one clock, that this worker has taken of a rate and not handed out yet."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[float, float]] = deque()

    def add(self, start: float, seconds: float) -> None:
        self._stretches.append((start, start + seconds))

    def missing(self, seconds: float, now: float) -> float:
        """How much of so many seconds is not here. What lies too far back to be made up for is dropped."""
        earliest = now - MAKE_UP_SECONDS
        kept = [(max(start, earliest), end) for start, end in self._stretches if end > earliest]
        self._stretches = deque(kept)
        missing = seconds - sum(end - start for start, end in kept)
        return missing if missing > ROUNDING else 0.0

    def take(self, seconds: float) -> float:
        """Hands out the earliest so many seconds, which must be here; the moment from which on they may be used.

        Out of several stretches it is the beginning of the last of them, so that nothing is used before its time.
        """
        while True:
            start, end = self._stretches.popleft()
            if end - start > seconds + ROUNDING:
                self._stretches.appendleft((start + seconds, end))
                return start
            seconds -= end - start
            if seconds <= ROUNDING or not self._stretches:
                return start


class Turns:
    """The turns of one worker at one model of one server, in one unit."""

    def __init__(self, model: str, unit: str, take: TakeBlock, clock: Callable[[], float] = time.monotonic):
        self._model = model
        self._unit = unit
        self._take = take
        self._clock = clock
        self._stretches = Stretches()
        self._credit = 0.0
        self._next = asyncio.Lock()

    async def moment(self, amount: float, per_minute: float) -> float:
        """The moment, on the clock, from which on a call of that amount has its turn. First come, first served."""
        seconds = 60 * amount / per_minute
        async with self._next:
            seconds = self._less_credit(seconds)
            while missing := self._stretches.missing(seconds, self._clock()):
                # A whole number of calls, so that no call waits for the rest of itself in a later block.
                length = max(1, int(BLOCK_SECONDS / missing)) * missing
                starts_in = await self._take(self._model, self._unit, length)
                self._stretches.add(self._clock() + starts_in, length)
            return self._stretches.take(seconds) if seconds > ROUNDING else self._clock()

    async def wait(self, amount: float, per_minute: float) -> None:
        """Until a call of that amount has its turn."""
        moment = await self.moment(amount, per_minute)
        await asyncio.sleep(max(0.0, moment - self._clock()))

    def correct(self, estimated: float, used: float, per_minute: float) -> None:
        """What a call took for its turn was an estimate: later calls take the difference less, or more.

        A credit is at most what may be made up for, so that no burst grows out of many estimates that were too high.
        """
        self._credit = min(self._credit + 60 * (estimated - used) / per_minute, MAKE_UP_SECONDS)

    def _less_credit(self, seconds: float) -> float:
        used = min(self._credit, seconds)
        self._credit -= used
        return seconds - used


def blocks_of(database: Database) -> TakeBlock:
    """Blocks of the rate that all workers on this database share."""

    def taken(model: str, unit: str, seconds: float) -> float:
        with database.writing() as session:
            return take_block(session, model, unit, seconds)

    async def take(model: str, unit: str, seconds: float) -> float:
        return await asyncio.to_thread(taken, model, unit, seconds)

    return take


def blocks_of_this_process(clock: Callable[[], float] = time.monotonic) -> TakeBlock:
    """Blocks of a rate that nobody else uses, where there is no database: to look at one call, and in tests."""
    used_until: dict[tuple[str, str], float] = {}

    async def take(model: str, unit: str, seconds: float) -> float:
        now = clock()
        start = max(used_until.get((model, unit), 0.0), now - MAKE_UP_SECONDS)
        used_until[model, unit] = start + seconds
        return start - now

    return take
