"""What admins see of studies while they run."""

import pytest

from app.database import Database
from app.errors import Conflict, UnknownName
from app.studies.invitations import dry_run, revoke_rater
from app.studies.models import Rater
from app.studies.queries import (
    StudySummary,
    list_studies,
    locked_study_of,
    study_status,
    study_with_results,
)
from tests.studies.careful_raters import add_dry_run, protocol
from tests.studies.factories import (
    CONDITIONS,
    NOW,
    close,
    judge_everything,
    make_draft,
    make_explained_subject,
    make_open_study,
)


def test_the_list_counts_each_studys_own_rows(database: Database) -> None:
    judge_everything(database, make_open_study(database, slug="first", n_neurons=2, n_raters=3))
    make_open_study(database, slug="second", n_neurons=4, n_raters=1)
    with database.writing() as session:
        make_explained_subject(session, "toy-draft")
        make_draft(session, "draft", n_per_layer=1)
    with database.reading() as session:
        studies = list_studies(session)
    title = "Which description fits?"
    assert studies == [
        StudySummary("draft", title, "draft", "toy-draft", 2, 5, 0, 0, 0, studies[0].created_at),
        StudySummary("second", title, "open", "toy-second", 4, 5, 1, 0, 20, studies[1].created_at),
        StudySummary("first", title, "open", "toy-first", 2, 5, 3, 2, 10, studies[2].created_at),
    ]


def test_the_status_counts_who_and_what_counts(database: Database) -> None:
    study = make_open_study(database, slug="demo", n_neurons=2, n_raters=2)
    judge_everything(database, make_open_study(database, slug="other", n_neurons=4, n_raters=2))
    judge_everything(database, study, 2)
    with database.writing() as session:
        revoke_rater(session, "demo", 1, NOW)
        code = dry_run(session, "demo", NOW, "ada").code
    add_dry_run(database, "demo", code)
    with database.reading() as session:
        status = study_status(session, "demo")
    assert (status.n_raters, status.n_judged, status.n_wanted) == (1, 2, 10)
    assert (status.slug, status.status, status.subject, status.n_neurons) == ("demo", "open", "toy-demo", 2)
    assert status.conditions == CONDITIONS
    assert (status.opened_at, status.paused_at, status.closed_at) == (NOW, None, None)
    assert not status.are_results_open
    assert len(status.design_hash or "") == 64


def test_what_is_wanted_follows_the_quotas(database: Database) -> None:
    mixed = protocol(sharing="mixed", shared_percent=50, n_raters=3)
    make_open_study(database, n_neurons=4, n_raters=1, protocol=mixed)
    with database.reading() as session:
        assert study_status(session, "demo").n_wanted == 2 * 3 + 2 * 1
        assert list_studies(session)[0].n_wanted == 8


def test_a_raters_study_is_found_by_the_rater(database: Database) -> None:
    for slug in ("demo", "other"):
        make_open_study(database, slug=slug, n_neurons=2, n_raters=1)
    with database.writing() as session:
        raters = session.query(Rater).order_by(Rater.id).all()
        assert [locked_study_of(session, rater.id).slug for rater in raters] == ["demo", "other"]


def test_results_can_be_seen_once_a_study_is_closed(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    with database.reading() as session, pytest.raises(Conflict, match="study demo is open; its results can be seen"):
        study_with_results(session, "demo")
    close(database, study)
    with database.reading() as session:
        assert study_with_results(session, "demo").slug == "demo"


def test_a_study_that_is_not_there_is_named(database: Database) -> None:
    with database.reading() as session, pytest.raises(UnknownName, match="there is no study 'demo'"):
        study_status(session, "demo")


def test_a_study_without_raters_has_a_status(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=1)
        status = study_status(session, "demo")
    assert (status.n_raters, status.n_judged, status.n_wanted, status.design_hash) == (0, 0, 0, None)
