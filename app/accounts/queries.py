"""Accounts and browser sessions as stored."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.accounts.models import Account, BrowserSession
from app.database import utc_now


def account_named(session: Session, name: str) -> Account | None:
    return session.scalar(sa.select(Account).where(Account.name == name))


def live_browser_session(session: Session, id_hash: str) -> tuple[BrowserSession, Account | None] | None:
    """The browser session of that hash unless it has expired, and its account; a rater's has none."""
    query = (
        sa.select(BrowserSession, Account)
        .join(Account, Account.id == BrowserSession.account_id, isouter=True)
        .where(BrowserSession.id_hash == id_hash, BrowserSession.expires_at > utc_now())
    )
    row = session.execute(query).one_or_none()
    return None if row is None else (row[0], row[1])


def delete_expired_sessions(session: Session) -> None:
    session.execute(sa.delete(BrowserSession).where(BrowserSession.expires_at <= utc_now()))
