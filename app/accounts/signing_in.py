"""Checking a name and a password, without holding a transaction while the hash is computed."""

from app.accounts import passwords, queries
from app.accounts.sessions import start_session
from app.database import Database
from app.settings import Settings


def sign_in(database: Database, settings: Settings, name: str, password: str, replaces: str | None) -> str | None:
    """The cookie value of a new session, or None for an unknown name or a wrong password, which take equally long.

    replaces: the cookie value the browser had before; it ends.
    """
    with database.reading() as session:
        account = queries.account_named(session, name)
    # Between the two transactions: hashing takes tens of milliseconds, and on SQLite a writing transaction keeps all
    # others waiting.
    if not passwords.is_password(password, account.password_hash if account else None) or account is None:
        return None
    fresh_hash = passwords.hashed(password) if passwords.is_outdated(account.password_hash) else None
    with database.writing() as session:
        if fresh_hash is not None:
            session.merge(account).password_hash = fresh_hash
        return start_session(session, settings, account_id=account.id, replaces=replaces)
