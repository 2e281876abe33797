"""Whose browser a rater's request comes from, and that each request renews the lease on the rater's open neurons."""

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.database import utc_now
from app.errors import NotAllowed
from app.studies.dealing.slots import keep_lease
from app.studies.models import OPEN, Rater
from app.studies.running.seeing import accounts_of, barred_account
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


def _known_rater(visitor: CurrentRater, session: SessionDep) -> Rater:
    rater = session.get(Rater, visitor.rater_id)
    if rater is None:
        raise NotAllowed(LINK_AGAIN)
    return rater


KnownRater = Annotated[Rater, Depends(_known_rater)]
"""Like ThisRater, also one who may not judge any more."""


def account_that_saw(request: Request, session: Session, rater: Rater) -> str | None:
    """The name of an account of this browser that has seen, since the rater came in, which method wrote what.

    None: there is none, or the answers stand already.
    """
    accounts = accounts_of(request, None)
    if not accounts or rater.is_dry_run or rater.finished_at is not None or rater.study.status != OPEN:
        return None
    return barred_account(session, rater.study, accounts)


def _rater(request: Request, rater: KnownRater, session: SessionDep) -> Rater:
    if account_that_saw(request, session, rater) is not None:
        raise NotAllowed("This browser was signed in to an account that has seen which method wrote which description.")
    return rater


ThisRater = Annotated[Rater, Depends(_rater)]
"""The rater whose browser this is. Errors: NotAllowed when that rater is no longer there, or the browser has become
one of somebody who knows the methods."""
