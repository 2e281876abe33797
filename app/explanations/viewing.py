"""Remembers which account saw which method wrote what about a neuron: whoever did cannot rate that neuron blindly."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.database import Database
from app.explanations.models import ExplanationView

AT_ONCE = 500
"""Neurons in one statement: SQLite bounds how many values a statement may hold."""


def note_view(database: Database, account_id: int, neuron_ids: Collection[int]) -> None:
    """Stores that the account saw these neurons' explanations beside their methods; done again, it changes nothing.

    One indexed read; a short transaction of its own only when something is new.
    """
    with database.reading() as session:
        new = sorted(set(neuron_ids) - _seen(session, account_id, neuron_ids))
    if new:
        with database.writing() as session:
            _insert(session, account_id, new)


def _seen(session: Session, account_id: int, neuron_ids: Collection[int]) -> set[int]:
    mine = sa.select(ExplanationView.neuron_id).where(ExplanationView.account_id == account_id)
    # The page of one neuron asks for that one; the pages of a study for so many that reading all is cheaper.
    return set(session.scalars(mine.where(ExplanationView.neuron_id.in_(neuron_ids)) if len(neuron_ids) == 1 else mine))


def _insert(session: Session, account_id: int, neuron_ids: list[int]) -> None:
    # Two pages opened at once may both find the same view missing: the second insert passes over it.
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for first in range(0, len(neuron_ids), AT_ONCE):
        rows = [{"account_id": account_id, "neuron_id": neuron_id} for neuron_id in neuron_ids[first : first + AT_ONCE]]
        session.execute(insert(ExplanationView).on_conflict_do_nothing(), rows)
