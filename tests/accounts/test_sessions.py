"""Browser sessions: who a cookie's value stands for, and until when."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.accounts.models import RESEARCHER, BrowserSession
from app.accounts.sessions import end_session, end_sessions_of, find_visitor, start_session
from app.database import Database, utc_now
from app.settings import Settings
from tests.factories import make_account


def test_a_cookie_stands_for_its_account(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        account = make_account(session, "grace", RESEARCHER)
        value = start_session(session, settings, account_id=account.id)
    with database.reading() as session:
        visitor = find_visitor(session, value)
    assert visitor is not None
    assert (visitor.role, visitor.name, visitor.account_id, visitor.rater_id) == (
        "researcher",
        "grace",
        account.id,
        None,
    )


def test_the_database_never_holds_the_cookies_value(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        value = start_session(session, settings, account_id=make_account(session).id)
        stored = session.execute(sa.select(BrowserSession.__table__)).one()
    assert len(value) == 43, "256 bits in base64"
    assert value not in str(stored)


def test_an_unknown_value_stands_for_nobody(database: Database) -> None:
    with database.reading() as session:
        assert find_visitor(session, "guessed") is None


def test_an_ended_session_is_nobodys_and_others_go_on(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        account = make_account(session)
        here, elsewhere = (start_session(session, settings, account_id=account.id) for _ in range(2))
        end_session(session, here)
        assert find_visitor(session, here) is None
        assert find_visitor(session, elsewhere) is not None


def test_all_sessions_of_one_account_end_and_no_other(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        ada, grace = make_account(session, "ada"), make_account(session, "grace")
        values = [start_session(session, settings, account_id=account.id) for account in (ada, ada, grace)]
        end_sessions_of(session, account_id=ada.id)
        assert [find_visitor(session, value) is None for value in values] == [True, True, False]


def test_a_session_expires_and_its_row_goes_with_the_next_sign_in(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        account = make_account(session)
        old = start_session(session, settings, account_id=account.id)
        session.execute(sa.update(BrowserSession).values(expires_at=utc_now() - timedelta(seconds=1)))
        assert find_visitor(session, old) is None
        start_session(session, settings, account_id=account.id)
        assert session.scalar(sa.select(sa.func.count()).select_from(BrowserSession)) == 1


def test_a_session_lasts_as_long_as_the_settings_say(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        start_session(session, settings, account_id=make_account(session).id)
        expires_at = session.scalars(sa.select(BrowserSession.expires_at)).one()
    assert abs(expires_at - utc_now() - timedelta(hours=settings.session_hours)) < timedelta(minutes=1)


def test_a_new_session_replaces_the_browsers_old_one(database: Database, settings: Settings) -> None:
    with database.writing() as session:
        account = make_account(session)
        old = start_session(session, settings, account_id=account.id)
        new = start_session(session, settings, account_id=account.id, replaces=old)
        assert find_visitor(session, old) is None
        assert find_visitor(session, new) is not None


@pytest.mark.parametrize("owners", [{}, {"account_id": 1, "rater_id": 1}])
def test_a_session_has_exactly_one_owner(database: Database, settings: Settings, owners: dict[str, Any]) -> None:
    with database.reading() as session, pytest.raises(sa.exc.IntegrityError):
        start_session(session, settings, **owners)
