"""Deleting a rater: everything goes that should, nothing else, and the numbers told before are true."""

import pytest
import sqlalchemy as sa

from app.accounts.models import BrowserSession
from app.accounts.sessions import start_session
from app.database import Base, Database
from app.errors import Conflict, UnknownName
from app.settings import Settings
from app.studies.audit import DELETED, audit_lines
from app.studies.dealing.slots import slots_taken
from app.studies.models import (
    Assignment,
    BestPick,
    Card,
    CardCondition,
    Guess,
    JudgementEvent,
    PracticeAnswer,
    Rater,
    Rating,
)
from app.studies.queries import study_named, study_status
from app.studies.results.export import raters_csv, ratings_csv
from app.studies.results.summary import study_results
from app.studies.running.deletion import DeletionEffect, delete_rater, effect_of_deletion
from tests.studies.careful_raters import CHECKED, guess, judge
from tests.studies.factories import NOW, OpenStudy, close, make_open_study

TABLES = (Assignment, Card, CardCondition, Rating, BestPick, JudgementEvent, PracticeAnswer, Guess, BrowserSession)


def n_rows(database: Database) -> dict[str, int]:
    with database.reading() as session:
        return {table.__tablename__: n_of(session, table) for table in TABLES}


def n_of(session: sa.orm.Session, table: type[Base]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def study_of_two(database: Database, settings: Settings) -> OpenStudy:
    """Two neurons; rater 1 has judged one, rater 2 both; rater 1 has practised, guessed and signed in."""
    study = make_open_study(database, n_neurons=2, n_raters=2, protocol=CHECKED)
    judge(database, study, 1, n=1)
    judge(database, study, 2)
    guess(database, "demo", 1, "hs")
    with database.writing() as session:
        first = session.scalars(sa.select(Rater).where(Rater.number == 1)).one()
        first.external_id, first.external_study, first.comment = "5f-person", "there", "bye"
        answer = {"attempt": 1, "position": 0, "puzzle": "p", "judgement": {}, "is_right": True, "at": NOW}
        session.add(PracticeAnswer(rater_id=first.id, **answer))
        start_session(session, settings, rater_id=first.id)
    return study


EFFECT = DeletionEffect(
    n_judgements=1,
    n_ratings=5,
    n_open=1,
    n_entries=1,
    n_practice_answers=1,
    n_guesses=10,
    n_judgements_before=3,
    n_judgements_after=2,
    n_ratings_before=15,
    n_ratings_after=10,
    n_raters_before=2,
    n_raters_after=1,
)


def test_the_effect_is_told_before_and_is_what_happens(database: Database, settings: Settings) -> None:
    study_of_two(database, settings)
    before = n_rows(database)
    with database.reading() as session:
        assert effect_of_deletion(session, "demo", 1) == EFFECT
    assert n_rows(database) == before
    with database.writing() as session:
        assert delete_rater(session, "demo", 1, NOW, "ada") == EFFECT
    with database.reading() as session:
        status, study = study_status(session, "demo"), study_named(session, "demo")
        assert (status.n_judged, status.n_raters) == (EFFECT.n_judgements_after, 1)
        assert sum(slots_taken(session, study).values()) == 2
    close_study_and_compare(database)


def close_study_and_compare(database: Database) -> None:
    """After the closing the results rest on what was said to stay."""
    close(database, OpenStudy("demo", ()))
    with database.reading() as session:
        results = study_results(session, "demo")
        rows = list(ratings_csv(session, "demo"))[1:]
        people = raters_csv(session, "demo", names_people=True)
    assert (results.n_judgements, results.n_raters) == (EFFECT.n_judgements_after, EFFECT.n_raters_after)
    assert len(rows) == EFFECT.n_ratings_after
    assert "rater-1," not in people
    assert "5f-person" not in people


def test_only_this_raters_rows_go(database: Database, settings: Settings) -> None:
    study_of_two(database, settings)
    judge(database, make_open_study(database, slug="other", n_neurons=2, n_raters=1))
    before = n_rows(database)
    with database.writing() as session:
        delete_rater(session, "demo", 1, NOW, "ada")
    gone = {name: before[name] - left for name, left in n_rows(database).items()}
    assert gone == {
        "assignment": 2,
        "card": 12,
        "card_condition": 10,
        "rating": 6,
        "best_pick": 1,
        "judgement_event": 1,
        "practice_answer": 1,
        "guess": 10,
        "browser_session": 1,
    }


def test_the_number_and_the_times_stay_and_the_person_goes(database: Database, settings: Settings) -> None:
    study_of_two(database, settings)
    with database.writing() as session:
        delete_rater(session, "demo", 1, NOW, "ada")
    with database.reading() as session:
        rater = session.scalars(sa.select(Rater).where(Rater.number == 1)).one()
        line = audit_lines(session, study_named(session, "demo"), DELETED)[0]
    assert (rater.external_id, rater.external_study, rater.external_session, rater.comment) == (None,) * 4
    assert (rater.deleted_at, rater.revoked_at, rater.passed_practice_at) == (NOW, NOW, NOW)
    assert (line.who, line.details["rater"]) == ("ada", "rater-1")
    assert (line.details["n_judgements"], line.details["n_judgements_after"]) == (1, 2)


def test_deleting_twice_and_deleting_nobody_are_refused(database: Database, settings: Settings) -> None:
    study_of_two(database, settings)
    with database.writing() as session:
        delete_rater(session, "demo", 1, NOW, "ada")
    with database.writing() as session:
        with pytest.raises(Conflict, match="rater-1 of study demo is deleted already"):
            delete_rater(session, "demo", 1, NOW, "ada")
        with pytest.raises(UnknownName, match="study demo has no rater 9"):
            delete_rater(session, "demo", 9, NOW, "ada")
    with database.reading() as session:
        effect = effect_of_deletion(session, "demo", 1)
    assert (effect.n_judgements, effect.n_judgements_before, effect.n_judgements_after) == (0, 2, 2)


def test_a_person_may_ask_after_the_closing_too(database: Database, settings: Settings) -> None:
    close(database, study_of_two(database, settings))
    with database.writing() as session:
        delete_rater(session, "demo", 2, NOW, "ada")
    with database.reading() as session:
        assert study_results(session, "demo").n_judgements == 1
