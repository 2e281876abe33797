"""A database that fails in the middle, for imports that have to go on where they were stopped."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from app.database import Database


class StoppingDatabase(Database):
    """The same data; the n-th writing transaction, from 1, is interrupted just before it would be committed."""

    def __init__(self, database: Database, n_transactions: int):
        super().__init__(database.engine.url.render_as_string(hide_password=False))
        self._n_left = n_transactions

    @contextmanager
    def writing(self) -> Iterator[Session]:
        with super().writing() as session:
            yield session
            self._n_left -= 1
            if self._n_left == 0:
                raise KeyboardInterrupt


@contextmanager
def stopped_at(database: Database, n_transactions: int) -> Iterator[Database]:
    """The database with its connections, which end with the block."""
    stopping = StoppingDatabase(database, n_transactions)
    try:
        yield stopping
    finally:
        stopping.dispose()
