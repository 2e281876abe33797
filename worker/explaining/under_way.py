"""Calls under way: none twice at a time in this process, and each renews its reservation. Makes no call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary, WeakValueDictionary

from app.batches import spending
from app.database import Database
from worker.batches.writing_together import write_together
from worker.database_errors import is_passing

RENEW_SECONDS = 5.0
"""Between two signs of life of a reservation, a third of the silence after which it is taken for dead."""
_Locks = WeakValueDictionary[tuple[Database, bytes], asyncio.Lock]
_locks_of: WeakKeyDictionary[asyncio.AbstractEventLoop, _Locks] = WeakKeyDictionary()


@asynccontextmanager
async def the_only_one(database: Database, key: bytes) -> AsyncIterator[None]:
    """Waits until no other call of that key is under way in this event loop, and is it inside the block."""
    locks = _locks_of.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    lock = locks.setdefault((database, key), asyncio.Lock())
    async with lock:
        yield


@asynccontextmanager
async def renewed(database: Database, batch_id: int, key: bytes) -> AsyncIterator[None]:
    """Inside the block the call's reservation shows that it is alive, however long it waits for its turn."""
    renewing = asyncio.create_task(_renew_for_ever(database, batch_id, key))
    try:
        yield
    finally:
        renewing.cancel()


async def _renew_for_ever(database: Database, batch_id: int, key: bytes) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            await write_together(database, lambda session: spending.renew(session, batch_id, key))
        except Exception as error:
            # The next sign of life comes in time.
            if not is_passing(error):
                raise
