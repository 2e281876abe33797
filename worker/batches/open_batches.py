"""The batches that a worker has open: one maker for each, whatever number of its shards run here. Knows no row.

Shards of one batch share their maker: one client, one local model, and one bound for the calls in flight. A maker stays
open from one shard to the next, until its batch is over or another one is opened.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from worker.batches.making import Maker


@dataclass(frozen=True)
class AskedBatch:
    """What a shard knows of its batch. submission: under which it was handed over. settings: as stored, JSON."""

    batch_id: int
    kind: str
    submission: int
    explainer: str
    settings: dict[str, Any]


MakerFor = Callable[[AskedBatch], Maker]
"""Called in a thread, for it may load a model. Errors: NeuronJuryError when there is no key, no such model, ..."""


@dataclass
class OpenBatch:
    """A batch with its maker.

    places: as many rows are made at once, over all its shards. n_shards: those that use it now.
    """

    maker: Maker
    places: asyncio.Semaphore
    n_shards: int = 0


class OpenBatches:
    """The open batches of one event loop.

    is_stopping: set, also from another thread, when the worker is to end: no further row is begun. n_rows: those that
    are being made or stored; changes in the event loop alone.
    """

    def __init__(self, maker_for: MakerFor):
        self._maker_for = maker_for
        self.is_stopping = False
        self.n_rows = 0
        self._open: dict[tuple[int, int], OpenBatch] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def opened(self, asked: AskedBatch) -> AsyncIterator[OpenBatch]:
        """The batch's maker, for the time of one shard. Errors: as MakerFor."""
        batch = self._open.get(_key(asked)) or await self._newly_opened(asked)
        batch.n_shards += 1
        try:
            yield batch
        finally:
            batch.n_shards -= 1

    async def _newly_opened(self, asked: AskedBatch) -> OpenBatch:
        # One at a time: two shards that begin together would make two makers, and load a model twice.
        async with self._opening:
            if _key(asked) not in self._open:
                await self.close_unused()
                maker = await asyncio.to_thread(self._maker_for, asked)
                self._open[_key(asked)] = OpenBatch(maker, asyncio.Semaphore(maker.n_in_flight))
            return self._open[_key(asked)]

    async def close_unused(self) -> None:
        """Closes the makers that no shard uses now."""
        unused = [key for key, batch in self._open.items() if batch.n_shards == 0]
        for key in unused:
            await self._open.pop(key).maker.close()


def _key(asked: AskedBatch) -> tuple[int, int]:
    return asked.batch_id, asked.submission
