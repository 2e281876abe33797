"""Short writes of many calls at once, several in one transaction. Knows nothing of what is written.

A transaction costs mostly its commit, which waits for the disk; on SQLite they wait for each other, too. What is to be
written while one commit is under way goes into the next one.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.orm import Session

from app.database import Database
from app.errors import NeuronJuryError

Written = TypeVar("Written")
Write = Callable[[Session], Any]
"""Changes rows and returns something. A NeuronJuryError that it raises says that it has changed nothing."""


class WritesTogether:
    """The writes of one event loop to one database, in the order in which they were asked for.

    Writes for two batches in one transaction, and in another worker's the other way round, may make PostgreSQL end one
    of the two: its writes are then done one by one.
    """

    def __init__(self, database: Database):
        self._database = database
        self._waiting: list[tuple[Write, asyncio.Future[Any]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, write: Callable[[Session], Written]) -> Written:
        """What the write returns, once it is committed. Whoever is cancelled meanwhile has it written all the same.

        Errors: those of the write itself, and of the database.
        """
        result: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, result))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        return await result

    async def _write_waiting(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting, []
            outcomes = await asyncio.to_thread(self._written, [write for write, _ in together])
            for (_, result), outcome in zip(together, outcomes, strict=True):
                if result.cancelled():
                    continue
                if isinstance(outcome, Exception):
                    result.set_exception(outcome)
                else:
                    result.set_result(outcome)
        self._writer = None

    def _written(self, writes: Sequence[Write]) -> list[Any]:
        """What each write returned or raised."""
        try:
            with self._database.writing() as session:
                return [_outcome(session, write) for write in writes]
        except Exception as error:
            # One of them, or the database, has spoiled it for all: each by itself, to know whose error it was.
            return [error] if len(writes) == 1 else [self._written([write])[0] for write in writes]


def _outcome(session: Session, write: Write) -> Any:
    try:
        return write(session)
    except NeuronJuryError as error:
        return error


_together: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Database, WritesTogether]] = WeakKeyDictionary()


async def write_together(database: Database, write: Callable[[Session], Written]) -> Written:
    """As WritesTogether.write, together with all other writes of this event loop to that database."""
    by_database = _together.setdefault(asyncio.get_running_loop(), {})
    if database not in by_database:
        by_database[database] = WritesTogether(database)
    return await by_database[database].write(write)
