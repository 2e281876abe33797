"""Transactions on both databases."""

import pytest
import sqlalchemy as sa

from app.accounts.models import Account
from app.database import Database
from app.explanations.models import Batch


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
