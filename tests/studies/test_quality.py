"""How carefully raters judge, from stored judgements and from plain ones."""

import pytest

from app.database import Database
from app.studies.invitations import dry_run
from app.studies.queries import study_named
from app.studies.results.judgements import judgement_rows, qualities
from app.studies.results.quality import NOTHING_JUDGED, JudgementRow, RaterQuality, by_rater, rater_quality
from tests.studies.careful_raters import (
    A_REASON,
    CHECKED,
    add_dry_run,
    always_three,
    fooled,
    judge,
)
from tests.studies.factories import NOW, make_open_study


def row(**changes: object) -> JudgementRow:
    values: dict[str, object] = {
        "rater_number": 1,
        "layer": 0,
        "neuron": 0,
        "position": 1,
        "submitted_at": NOW,
        "seconds": 10.0,
        "revisions": 0,
        "cannot_judge": None,
        "comment": None,
        "evidence": {},
        "check_rating": None,
        "is_check_best": False,
        "is_straight_line": False,
    }
    return JudgementRow(**(values | changes))  # type: ignore[arg-type]


def stored(database: Database, slug: str = "demo") -> dict[int, RaterQuality]:
    with database.reading() as session:
        return qualities(session, study_named(session, slug))


def test_the_figures_of_a_few_judgements() -> None:
    rows = [
        row(seconds=4.99),
        row(seconds=5.0),
        row(seconds=None, is_straight_line=True),
        row(seconds=60.0, cannot_judge="other"),
        row(seconds=8.0, check_rating=4),
        row(seconds=9.0, check_rating=2, is_check_best=True),
        row(seconds=7.0, check_rating=3),
    ]
    assert rater_quality(rows, too_fast_seconds=5.0) == RaterQuality(
        n_judged=7,
        n_cannot_judge=1,
        n_timed=6,
        median_seconds=7.5,
        n_too_fast=1,
        n_straight_line=1,
        n_checks=3,
        n_checks_failed=2,
    )


def test_no_judgements_have_no_median() -> None:
    assert rater_quality([], 5.0) == NOTHING_JUDGED


def test_each_rater_has_figures_of_their_own() -> None:
    found = by_rater([row(), row(), row(rater_number=3, seconds=1.0)], 5.0)
    assert {number: (quality.n_judged, quality.n_too_fast) for number, quality in found.items()} == {
        1: (2, 0),
        3: (1, 1),
    }


@pytest.mark.parametrize(
    ("rating", "is_best", "is_failed"), [(5, False, True), (4, False, True), (3, False, False), (1, True, True)]
)
def test_a_check_is_failed_when_it_was_believed(rating: int, is_best: bool, is_failed: bool) -> None:
    assert row(check_rating=rating, is_check_best=is_best).is_check_failed is is_failed
    assert row().is_check_failed is None


def test_stored_judgements_are_read_with_their_checks_and_straight_lines(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=4, protocol=CHECKED)
    judge(database, study, 1)
    judge(database, study, 2, rate=fooled, seconds=2.0)
    judge(database, study, 3, rate=always_three, is_check_best=True)
    assert stored(database) == {
        1: RaterQuality(n_judged=2, n_timed=2, median_seconds=12.5, n_checks=2),
        2: RaterQuality(n_judged=2, n_timed=2, median_seconds=2.0, n_too_fast=2, n_checks=2, n_checks_failed=2),
        3: RaterQuality(n_judged=2, n_timed=2, median_seconds=12.5, n_straight_line=2, n_checks=2, n_checks_failed=2),
    }


def test_what_was_clicked_before_a_neuron_could_not_be_judged_counts_for_nothing(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1, protocol=CHECKED)
    judge(database, study, rate=always_three, is_check_best=True, cannot_judge=(0,))
    assert stored(database)[1] == RaterQuality(
        n_judged=2, n_cannot_judge=1, n_timed=2, median_seconds=12.5, n_straight_line=1, n_checks=1, n_checks_failed=1
    )
    with database.reading() as session:
        first, _ = judgement_rows(session, study_named(session, "demo"))
    assert (first.position, first.cannot_judge, first.check_rating, first.is_straight_line) == (
        1,
        A_REASON,
        None,
        False,
    )


def test_dry_runs_and_other_studies_stay_out(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    judge(database, make_open_study(database, slug="other", n_neurons=2, n_raters=1))
    with database.writing() as session:
        code = dry_run(session, "demo", NOW, "ada").code
    add_dry_run(database, "demo", code)
    assert stored(database) == {}
    judge(database, study, n=1)
    assert {number: quality.n_judged for number, quality in stored(database).items()} == {1: 1}
    with database.reading() as session:
        assert list(judgement_rows(session, study_named(session, "demo"), rater_number=2)) == []
