"""Seeing results early: only with a reason, and on record for ever."""

import pytest

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.studies.audit import UNMASKED, audit_lines
from app.studies.queries import study_named, study_status
from app.studies.results.export import ratings_csv
from app.studies.results.summary import study_results
from app.studies.results.unmasking import unmask
from tests.studies.careful_raters import judge
from tests.studies.factories import NOW, close, make_open_study


def test_an_unmasked_study_shows_its_results_and_says_so_for_ever(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    judge(database, study, n=1)
    with database.writing() as session:
        unmask(session, "demo", "  an interim\n look ", NOW, "ada")
    with database.reading() as session:
        assert study_status(session, "demo").are_results_open
        assert study_results(session, "demo").n_judgements == 1
        assert len(list(ratings_csv(session, "demo"))) == 6
        (line,) = audit_lines(session, study_named(session, "demo"), UNMASKED)
    assert (line.who, line.at, line.details) == ("ada", NOW, {"reason": "an interim look", "n_judgements": 1})
    close(database, study)
    with database.reading() as session:
        results = study_results(session, "demo")
    assert results.events[0] == line
    assert results.unmaskings == (line,)


@pytest.mark.parametrize("reason", ["", " \n ", "x" * 501])
def test_without_a_reason_nothing_is_unmasked(database: Database, reason: str) -> None:
    make_open_study(database, n_neurons=2, n_raters=1)
    with database.writing() as session, pytest.raises(InvalidInput, match="expected 1 to 500"):
        unmask(session, "demo", reason, NOW, "ada")
    with database.reading() as session:
        assert not study_status(session, "demo").are_results_open


def test_only_an_open_and_masked_study_can_be_unmasked(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    make_open_study(database, slug="other", n_neurons=2, n_raters=1)
    with database.writing() as session:
        unmask(session, "demo", "curious", NOW, "ada")
        with pytest.raises(Conflict, match="the results of study demo are unmasked already"):
            unmask(session, "demo", "curious", NOW, "ada")
    close(database, study)
    with database.writing() as session, pytest.raises(Conflict, match="study demo is closed"):
        unmask(session, "demo", "curious", NOW, "ada")
    with database.reading() as session, pytest.raises(Conflict, match="study other is open"):
        study_results(session, "other")
