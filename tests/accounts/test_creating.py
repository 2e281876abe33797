"""What the name, the role and the password of an account must be."""

import pytest
import sqlalchemy as sa

from app.accounts.creating import create_account
from app.accounts.models import ADMIN, Account
from app.accounts.passwords import is_password
from app.database import Database
from app.errors import Conflict, InvalidInput

PASSWORD = "correct horse battery"


def test_an_account_is_stored_with_a_hash_of_its_password(database: Database) -> None:
    with database.writing() as session:
        create_account(session, "ada", ADMIN, PASSWORD)
    with database.reading() as session:
        account = session.scalars(sa.select(Account)).one()
    assert (account.name, account.role) == ("ada", "admin")
    assert is_password(PASSWORD, account.password_hash)


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-ada", "ada\n", "ädä", "a" * 101])
def test_a_name_is_small_letters_digits_dots_and_hyphens(database: Database, name: str) -> None:
    with database.writing() as session, pytest.raises(InvalidInput, match=r"^account name .* expected up to 100 small"):
        create_account(session, name, ADMIN, PASSWORD)


def test_a_role_is_admin_or_researcher(database: Database) -> None:
    with database.writing() as session, pytest.raises(InvalidInput, match=r"^role 'rater'; expected 'admin' or"):
        create_account(session, "ada", "rater", PASSWORD)


@pytest.mark.parametrize("password", ["", "elevenchars", " " * 20, "x" * 1001])
def test_a_password_has_twelve_to_a_thousand_characters_and_is_never_repeated(
    database: Database, password: str
) -> None:
    with database.writing() as session, pytest.raises(InvalidInput, match=r"expected 12 to 1000") as refused:
        create_account(session, "ada", ADMIN, password)
    assert not password.strip() or password not in str(refused.value)


def test_a_name_is_given_once(database: Database) -> None:
    with database.writing() as session:
        create_account(session, "ada", ADMIN, PASSWORD)
        with pytest.raises(Conflict, match=r"^there is already an account named 'ada'$"):
            create_account(session, "ada", "researcher", PASSWORD)
