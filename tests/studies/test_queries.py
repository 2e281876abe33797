"""What admins see of studies while they run."""

from datetime import timedelta

import pytest

from app.database import Database
from app.errors import UnknownName
from app.studies.invitations import revoke_rater
from app.studies.queries import RaterStatus, StudySummary, list_studies, study_status
from tests.studies.factories import (
    CONDITIONS,
    NOW,
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
        StudySummary("second", title, "open", "toy-second", 4, 5, 1, 0, 4, studies[1].created_at),
        StudySummary("first", title, "open", "toy-first", 2, 5, 3, 2, 6, studies[2].created_at),
    ]


def test_the_status_counts_rater_by_rater(database: Database) -> None:
    study = make_open_study(database, slug="demo", n_neurons=2, n_raters=2)
    judge_everything(database, make_open_study(database, slug="other", n_neurons=4, n_raters=2))
    judge_everything(database, study, 2)
    with database.writing() as session:
        revoke_rater(session, "demo", 1, NOW)
    with database.reading() as session:
        status = study_status(session, "demo")
    expires = NOW + timedelta(days=7)
    assert status.raters == (
        RaterStatus(1, "rater-1", 0, 2, NOW, expires, is_revoked=True),
        RaterStatus(2, "rater-2", 2, 2, NOW, expires, is_revoked=False),
    )
    assert (status.n_raters, status.n_judged, status.n_assignments) == (2, 2, 4)
    assert (status.slug, status.status, status.subject, status.n_neurons) == ("demo", "open", "toy-demo", 2)
    assert status.conditions == CONDITIONS
    assert (status.opened_at, status.closed_at) == (NOW, None)
    assert len(status.design_hash or "") == 64


def test_a_study_that_is_not_there_is_named(database: Database) -> None:
    with database.reading() as session, pytest.raises(UnknownName, match="there is no study 'demo'"):
        study_status(session, "demo")


def test_a_study_without_raters_has_a_status(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=1)
        status = study_status(session, "demo")
    assert (status.raters, status.n_judged, status.design_hash) == ((), 0, None)
