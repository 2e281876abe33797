"""New accounts: what a name, a role and a password must be."""

import re

from sqlalchemy.orm import Session

from app.accounts import passwords, queries
from app.accounts.models import ADMIN, RESEARCHER, Account
from app.errors import Conflict, InvalidInput

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1000
"""Characters. Longer ones are no safer and cost time to hash."""
LONGEST_NAME = 100

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")


def create_account(session: Session, name: str, role: str, password: str) -> Account:
    """Stores an account. Errors: InvalidInput for a bad name, role or password; Conflict for a name that is taken."""
    _check_name(name)
    if role not in (ADMIN, RESEARCHER):
        raise InvalidInput(f"role {role!r}; expected {ADMIN!r} or {RESEARCHER!r}")
    _check_password(password)
    if queries.account_named(session, name) is not None:
        raise Conflict(f"there is already an account named {name!r}")
    account = Account(name=name, role=role, password_hash=passwords.hashed(password))
    session.add(account)
    session.flush()
    return account


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidInput(
            f"account name {name[:LONGEST_NAME]!r}; expected up to {LONGEST_NAME} small letters, digits, dots and "
            "hyphens, beginning with a letter or a digit"
        )


def _check_password(password: str) -> None:
    # The message must not repeat the password: it may end in a log or on a shared screen.
    length = len(password.strip())
    if not SHORTEST_PASSWORD <= length <= LONGEST_PASSWORD:
        raise InvalidInput(
            f"the password has {length} characters; expected {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}, "
            "blanks around it not counted"
        )
