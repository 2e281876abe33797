"""How fast a server's model may be asked by all workers together. Knows neither the server nor who asks.

The generic cell rate algorithm: per model and unit one moment until which everything taken so far fills the allowed
rate. Workers take the rate in blocks of time, each of which belongs to one of them alone.
"""

import hashlib
import time

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.batches.models import CallAllowance

MOST_LETTERS = 400
"""Of a server's URL and a model's name together, as the table has room for."""
REQUESTS, TOKENS = "requests", "tokens"
"""The units in which servers limit rates."""
MAKE_UP_SECONDS = 1.0
"""Of the rate that nobody used, this much may be made up for: so in any time t there are at most the calls that are
allowed in t + 1 second, and one."""


def take_block(session: Session, model: str, unit: str, seconds: float) -> float:
    """Takes the next free stretch of the allowed rate.

    model: with its server, however long; unit: REQUESTS or TOKENS.
    seconds: its length, which is the number of calls or tokens over the allowed number per second.
    Returns how many seconds from now it begins: negative, down to -MAKE_UP_SECONDS, where nobody used the past.
    """
    now = _database_time(session)
    earliest = now - MAKE_UP_SECONDS
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    begun = sa.case((CallAllowance.used_until > earliest, CallAllowance.used_until), else_=earliest)
    used_until = session.execute(
        insert(CallAllowance)
        .values(model=_stored_name(model), unit=unit, used_until=earliest + seconds)
        .on_conflict_do_update(index_elements=["model", "unit"], set_={"used_until": begun + seconds})
        .returning(CallAllowance.used_until)
    ).scalar_one()
    return used_until - seconds - now


def _stored_name(model: str) -> str:
    """What is too long for the table ends with a hash of all of it instead."""
    if len(model) <= MOST_LETTERS:
        return model
    digest = hashlib.sha256(model.encode()).hexdigest()
    return model[: MOST_LETTERS - len(digest)] + digest


def _database_time(session: Session) -> float:
    """Seconds since 1970, by the clock that all workers of this database share."""
    if session.get_bind().dialect.name != "postgresql":
        return time.time()
    # Not now(): that is when the transaction began, which may have waited for others since.
    return float(session.execute(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).scalar_one())
