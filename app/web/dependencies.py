"""What routes ask for: a transaction, the settings, and the visitor in the role that the route needs."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.errors import InvalidInput, NotAllowed, SignInNeeded
from app.settings import Settings
from app.web import form_tokens
from app.web.cookies import session_cookie
from app.web.security import SAFE_METHODS, is_room_of_raters
from app.web.visitors import ADMIN, RATER, RESEARCHER, Visitor


def _session(request: Request) -> Iterator[Session]:
    database = request.app.state.database
    with database.reading() if request.method in ("GET", "HEAD") else database.writing() as session:
        yield session


# Scope "function": the transaction is over, and its outcome certain, before the response leaves.
SessionDep = Annotated[Session, Depends(_session, scope="function")]
"""One transaction around the route: reading for GET, writing for the rest, rolled back when the route raises."""


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(_settings)]


def _visitor(request: Request) -> Visitor | None:
    # A short transaction of its own: were it the route's, every POST would hold the write lock while it is looked up,
    # and a sign-in would hold it while the password is checked.
    value = session_cookie(request)
    if value is None:
        return None
    with request.app.state.database.reading() as session:
        request.state.visitor = request.app.state.find_visitor(session, value)
    visitor: Visitor | None = request.state.visitor
    return visitor


CurrentVisitor = Annotated[Visitor | None, Depends(_visitor)]
"""Who is signed in, or None."""


def _admin(visitor: CurrentVisitor) -> Visitor:
    return _in_role(visitor, (ADMIN,), "This page is for admins.")


def _researcher(visitor: CurrentVisitor) -> Visitor:
    return _in_role(visitor, (ADMIN, RESEARCHER), "This page is for researchers and admins.")


def _rater(visitor: CurrentVisitor) -> Visitor:
    if visitor is None or not visitor.is_rater:
        raise NotAllowed("Raters come by invitation: open the link that you were given.")
    return visitor


def _in_role(visitor: Visitor | None, roles: tuple[str, ...], refusal: str) -> Visitor:
    if visitor is None:
        raise SignInNeeded("Sign in to see this page.")
    if visitor.role not in roles:
        raise NotAllowed(refusal)
    return visitor


CurrentAdmin = Annotated[Visitor, Depends(_admin)]
CurrentResearcher = Annotated[Visitor, Depends(_researcher)]
"""An admin or a researcher."""
CurrentRater = Annotated[Visitor, Depends(_rater)]


def keep_raters_in_their_rooms(request: Request, visitor: CurrentVisitor) -> None:
    """For every route of the site: a rater's browser sees its ratings and nothing else. Errors: NotAllowed."""
    if visitor is not None and visitor.role == RATER and not is_room_of_raters(request.url.path):
        raise NotAllowed("In this browser you are a rater, and raters see nothing but their own ratings.")


async def check_form_token(request: Request, visitor: CurrentVisitor) -> None:
    """For every route of the site: an unsafe request carries the token of this browser's forms. Errors: FormExpired."""
    if request.method not in SAFE_METHODS:
        await form_tokens.check_form_token(request, visitor)


async def refuse_nul(request: Request) -> None:
    """For every route of the site: no address and no form of ours has a NUL character, and PostgreSQL takes none.
    Errors: InvalidInput."""
    # Every pair, for a name that is there several times has several values.
    sent = request.query_params.multi_items()
    pairs = [*sent, *(await request.form()).multi_items()] if request.method not in SAFE_METHODS else sent
    texts = [request.scope["path"], *(text for pair in pairs for text in pair)]
    if any(isinstance(text, str) and "\0" in text for text in texts):
        raise InvalidInput("The request holds a NUL character, which no text here can have.")


ON_EVERY_ROUTE = [Depends(keep_raters_in_their_rooms), Depends(refuse_nul), Depends(check_form_token)]
