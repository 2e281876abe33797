"""Writes of many calls in few transactions: each has its own result, and spoils no other's. On both databases."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import CallAllowance
from app.database import Database
from app.errors import Conflict
from worker.batches.writing_together import WritesTogether, write_together


class CountingDatabase:
    """The database of a test; counts its writing transactions."""

    def __init__(self, database: Database):
        self._database = database
        self.n_written = 0

    def writing(self) -> Any:
        self.n_written += 1
        return self._database.writing()


def storing(model: str, unit: str = "requests") -> Callable[[Session], str]:
    def write(session: Session) -> str:
        session.execute(sa.insert(CallAllowance).values(model=model, unit=unit, used_until=0.0))
        return model

    return write


def stored(database: Database) -> set[str]:
    with database.reading() as session:
        return set(session.scalars(sa.select(CallAllowance.model)))


def test_writes_that_come_in_during_a_commit_share_the_next_one(database: Database) -> None:
    counting = CountingDatabase(database)

    async def write_all() -> list[str]:
        together = WritesTogether(counting)  # type: ignore[arg-type]
        return await asyncio.gather(*(together.write(storing(f"model {number}")) for number in range(20)))

    names = asyncio.run(write_all())
    assert names == [f"model {number}" for number in range(20)]
    assert stored(database) == set(names)
    assert counting.n_written <= 2


def test_a_write_that_refuses_or_fails_is_the_only_one_that_does(database: Database) -> None:
    def refusing(session: Session) -> None:
        raise Conflict("not now")

    async def write_all() -> list[Any]:
        writes = [storing("a"), refusing, storing("a"), storing("b")]
        return await asyncio.gather(*(write_together(database, write) for write in writes), return_exceptions=True)

    first, refused, spoiled, last = asyncio.run(write_all())
    assert (first, last) == ("a", "b")
    assert isinstance(refused, Conflict)
    assert isinstance(spoiled, sa.exc.IntegrityError)
    assert stored(database) == {"a", "b"}


def test_what_somebody_gave_up_waiting_for_is_written_all_the_same(database: Database) -> None:
    may_go_on = threading.Event()

    def slow(session: Session) -> None:
        may_go_on.wait()

    async def give_up() -> None:
        together = WritesTogether(database)
        first = asyncio.create_task(together.write(slow))
        second = asyncio.create_task(together.write(storing("given up")))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        may_go_on.set()
        await first
        assert await together.write(storing("later")) == "later"

    asyncio.run(give_up())
    assert stored(database) == {"given up", "later"}
