"""Transactions on both databases."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.accounts.models import Account
from app.batches.models import Batch
from app.database import Database
from app.errors import Unavailable


def account(name: str) -> Account:
    return Account(name=name, role="admin", password_hash="x")


def n_accounts(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Account)) or 0


def test_a_transaction_that_raises_stores_nothing(database: Database) -> None:
    def add_ada_twice() -> None:
        with database.writing() as session:
            session.add(account("ada"))
            session.flush()
            session.execute(sa.insert(Account).values(name="ada", role="admin", password_hash="y"))

    with pytest.raises(sa.exc.IntegrityError):
        add_ada_twice()
    assert n_accounts(database) == 0


def test_a_finished_transaction_is_stored_with_an_aware_moment(database: Database) -> None:
    with database.writing() as session:
        session.add(account("ada"))
    with database.reading() as session:
        stored = session.scalars(sa.select(Account)).one()
    assert stored.name == "ada"
    assert stored.created_at.utcoffset() is not None


def test_foreign_keys_are_enforced(database: Database) -> None:
    orphan = Batch(subject_id=99, methods=[], explainer="none", settings={}, n_explanations=0, n_shards=0)
    with pytest.raises(sa.exc.IntegrityError), database.writing() as session:
        session.add(orphan)


def test_writers_queue_and_none_of_them_is_lost(database: Database) -> None:
    def add(number: int) -> None:
        with database.writing() as session:
            session.add(account(f"ada-{number}"))

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(add, range(100)))
    assert n_accounts(database) == 100


def test_a_writer_whose_turn_does_not_come_is_told_so_and_the_next_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.BUSY_TIMEOUT_MS", 50)
    database = Database(f"sqlite:///{tmp_path / 'busy.sqlite'}")
    Account.metadata.create_all(database.engine)
    with database.writing() as session:
        session.add(account("ada"))
        with pytest.raises(Unavailable, match="the database is busy"), database.writing():
            pass
    with database.writing() as session:
        session.add(account("grace"))
    assert n_accounts(database) == 2
    database.dispose()
