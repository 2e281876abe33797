"""Whose browser a rater's request comes from, and that each request renews the lease on the rater's open neurons."""

from typing import Annotated

from fastapi import Depends, Request

from app.database import utc_now
from app.errors import NotAllowed
from app.studies.dealing.slots import keep_lease
from app.studies.models import Rater
from app.web.dependencies import CurrentRater, SessionDep

LINK_AGAIN = "Open your invitation link again."


def renew_lease(request: Request, visitor: CurrentRater) -> None:
    """For all routes of raters who have been let in. Errors: NotAllowed when the rater is no longer there."""
    # Before the route asks for its own transaction, therefore a dependency of whole routers: on SQLite a POST holds the
    # one write lock from its first query on, on PostgreSQL writing the rater's row before locking the study's would
    # meet those who take them the other way round, and a request that holds a connection while it waits for a second
    # one starves the others.
    database = request.app.state.database
    with database.reading() as session:
        rater = session.get(Rater, visitor.rater_id)
    if rater is None:
        raise NotAllowed(LINK_AGAIN)
    keep_lease(database, rater, utc_now())


def _rater(visitor: CurrentRater, session: SessionDep) -> Rater:
    rater = session.get(Rater, visitor.rater_id)
    if rater is None:
        raise NotAllowed(LINK_AGAIN)
    return rater


ThisRater = Annotated[Rater, Depends(_rater)]
"""The rater whose browser this is. Errors: NotAllowed when that rater is no longer there."""
