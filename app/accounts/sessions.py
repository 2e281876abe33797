"""Browser sessions: kept on the server, so that deleting one signs its browser out. The cookie holds the only copy of
the id."""

import hashlib
import secrets
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.accounts import queries
from app.accounts.models import BrowserSession
from app.database import utc_now
from app.settings import Settings
from app.web.visitors import RATER, Visitor

SESSION_BYTES = 32
"""256 random bits: nobody guesses one, and a fast hash of it is as good as a slow one."""


def start_session(
    session: Session,
    settings: Settings,
    *,
    account_id: int | None = None,
    rater_id: int | None = None,
    replaces: str | None = None,
) -> str:
    """Signs a browser in and returns the value of its cookie; exactly one of the two ids is given.

    replaces: the cookie value the browser had before. It ends, so that a value planted there by somebody else is worth
        nothing.
    """
    queries.delete_expired_sessions(session)
    if replaces is not None:
        end_session(session, replaces)
    value = secrets.token_urlsafe(SESSION_BYTES)
    browser_session = BrowserSession(
        id_hash=_id_hash(value),
        form_token=secrets.token_hex(SESSION_BYTES),
        account_id=account_id,
        rater_id=rater_id,
        expires_at=utc_now() + timedelta(hours=settings.session_hours),
    )
    session.add(browser_session)
    session.flush()
    return value


def end_session(session: Session, cookie_value: str) -> None:
    """Signs this one browser out; an unknown value changes nothing."""
    session.execute(sa.delete(BrowserSession).where(BrowserSession.id_hash == _id_hash(cookie_value)))


def end_sessions_of(session: Session, *, account_id: int | None = None, rater_id: int | None = None) -> None:
    """Signs every browser of one account or one rater out."""
    owner = BrowserSession.rater_id == rater_id if account_id is None else BrowserSession.account_id == account_id
    session.execute(sa.delete(BrowserSession).where(owner))


def find_visitor(session: Session, cookie_value: str) -> Visitor | None:
    """Whose browser this is; None for an unknown, ended or expired value."""
    found = queries.live_browser_session(session, _id_hash(cookie_value))
    if found is None:
        return None
    browser_session, account = found
    if account is None:
        return Visitor(RATER, "rater", browser_session.form_token, rater_id=browser_session.rater_id)
    return Visitor(account.role, account.name, browser_session.form_token, account_id=account.id)


def _id_hash(cookie_value: str) -> str:
    return hashlib.sha256(cookie_value.encode()).hexdigest()
