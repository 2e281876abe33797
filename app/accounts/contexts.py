"""What the pages of accounts show."""

from dataclasses import dataclass
from typing import ClassVar

from app.web.templating import PageContext


@dataclass(frozen=True)
class LoginPage(PageContext):
    """What templates/accounts/login.html shows.

    name: the name as typed before, if any.
    next: where to go after signing in, a path of this site.
    problem: why the last attempt failed, or empty.
    """

    template: ClassVar[str] = "accounts/login.html"
    name: str
    next: str
    problem: str


@dataclass(frozen=True)
class AccountPage(PageContext):
    """What templates/accounts/account.html shows.

    name: the name one signs in with.
    role: `admin` or `researcher`.
    """

    template: ClassVar[str] = "accounts/account.html"
    name: str
    role: str
