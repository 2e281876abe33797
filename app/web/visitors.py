"""Who is behind a request. Knows neither the tables of accounts nor those of raters."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

ADMIN, RESEARCHER, RATER = "admin", "researcher", "rater"


@dataclass(frozen=True)
class Visitor:
    """Somebody signed in: an account (admin or researcher) or a rater who came by invitation.

    role: `admin`, `researcher` or `rater`.
    name: the account's name; `rater` for every rater.
    form_token: what every form of this browser session carries.
    account_id, rater_id: exactly one of the two is set.
    """

    role: str
    name: str
    form_token: str
    account_id: int | None = None
    rater_id: int | None = None

    @property
    def is_rater(self) -> bool:
        return self.role == RATER


FindVisitor = Callable[[Session, str], Visitor | None]
"""Looks up whose browser session a cookie's value names. `create_app` hands it in, for the tables lie above this
layer."""
