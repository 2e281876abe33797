"""What a rater sees: blind, the same every time, and nothing of anybody else."""

import dataclasses
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, NotAllowed, UnknownName
from app.neurons.models import Neuron
from app.studies.invitations import revoke_rater
from app.studies.models import Assignment, Condition, Rater, Study
from app.studies.rating.judging import record_judgement
from app.studies.rating.reading import (
    RatingCard,
    RatingPage,
    assignment_page,
    mark_shown,
    minutes_left,
    next_assignment,
    rater_progress,
)
from tests.factories import make_record
from tests.studies.factories import (
    CONDITIONS,
    METHODS,
    NOW,
    OpenStudy,
    answers,
    close,
    distinct_text,
    first_page,
    judge_everything,
    make_open_study,
    rater_of,
)


def all_pages(database: Database, study: OpenStudy) -> list[str]:
    """Every page of every rater as text, arrays included."""
    pages = []
    with database.reading() as session, np.printoptions(threshold=10_000):
        for invitation in study.invitations:
            rater = rater_of(session, study, invitation.number)
            query = sa.select(Assignment.token).where(Assignment.rater_id == rater.id).order_by(Assignment.position)
            pages += [repr(assignment_page(session, rater, token)) for token in session.scalars(query)]
            pages.append(repr(rater_progress(session, rater)))
    return pages


@pytest.mark.parametrize("n_judged", [0, 2])
def test_permuting_the_methods_of_the_same_texts_changes_nothing_that_a_rater_receives(
    database: Database, n_judged: int
) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=2)
    for number in range(1, n_judged + 1):
        judge_everything(database, study, number)
    before = all_pages(database, study)
    with database.writing() as session:
        conditions = session.scalars(sa.select(Condition).order_by(Condition.position)).all()
        # Through names that nobody has, so that no two conditions bear the same one on the way.
        for renamed in ([f"method {place}" for place in range(5)], [*METHODS[1:], METHODS[0]]):
            for condition, method in zip(conditions, renamed, strict=True):
                condition.method = method
            session.flush()
        assert [condition.method for condition in conditions] != list(METHODS)
    assert all_pages(database, study) == before


def test_no_page_holds_a_method_an_explainer_or_a_database_id(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=2)
    text = " ".join(all_pages(database, study)).lower()
    for method, explainer in CONDITIONS:
        assert method not in text
        assert explainer not in text
    names = {field.name for kind in (RatingPage, RatingCard) for field in dataclasses.fields(kind)}
    assert {name for name in names if "id" in name.split("_") or "method" in name or "condition" in name} == set()


def test_a_page_shows_one_neuron_its_records_and_its_cards(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=1)
    with database.reading() as session:
        page = first_page(session, study)
        tokens = session.scalars(sa.select(Assignment.token).order_by(Assignment.position)).all()
        assert (page.token, page.previous, page.next) == (tokens[0], None, tokens[1])
        assert (page.number, page.n_assignments, page.n_judged) == (1, 4, 0)
        assert (page.is_judged, page.was_shown, page.best) == (False, False, None)
        assert (page.study_title, page.maximum) == ("Which description fits?", 5.0)
        assert [(band.name, [record.maximum for record in band.records]) for band in page.bands] == [
            ("top", [5.0, 4.921875]),
            ("random", [2.5]),
        ]
        assert [len(record.tokens) for band in page.bands for record in band.records] == [5, 5, 5]
        assert (page.cannot_judge, page.comment, page.version, page.is_finished) == (None, "", 0, False)
        expected = {distinct_text(page.layer, page.index, method) + "." for method in METHODS}
        assert {card.text for card in page.cards} == expected
        assert [card.letter for card in page.cards] == ["A", "B", "C", "D", "E"]
        assert {(card.rating, card.is_best) for card in page.cards} == {(None, False)}
        last = assignment_page(session, rater_of(session, study), tokens[3])
        assert (last.number, last.previous, last.next) == (4, tokens[2], None)


def test_a_judged_page_shows_what_was_given(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page = first_page(session, study)
        rater = rater_of(session, study)
        record_judgement(session, rater, page.token, answers(page, (5, 4, 3, 2, 1)), [page.cards[2].token], NOW)
        judged = assignment_page(session, rater, page.token)
        assert [(card.rating, card.is_best) for card in judged.cards] == [
            (5, False),
            (4, False),
            (3, True),
            (2, False),
            (1, False),
        ]
        assert (judged.is_judged, judged.n_judged, judged.best) == (True, 1, page.cards[2].token)


def test_a_rater_who_comes_back_is_at_the_same_place_with_the_same_cards(database: Database) -> None:
    study = make_open_study(database, n_neurons=4)
    with database.writing() as session:
        page = first_page(session, study)
        rater = rater_of(session, study)
        record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], NOW)
        second = first_page(session, study)
    with database.reading() as session:
        again = first_page(session, study)
        assert (again.token, again.cards, again.number) == (second.token, second.cards, 2)
        progress = rater_progress(session, rater_of(session, study))
        assert (progress.n_judged, progress.n_assignments, progress.is_open, progress.is_finished) == (
            1,
            4,
            True,
            False,
        )


def test_a_finished_rater_has_no_next_assignment_and_the_others_still_have_theirs(database: Database) -> None:
    study = make_open_study(database, n_neurons=4)
    judge_everything(database, study, 1)
    with database.reading() as session:
        assert next_assignment(session, rater_of(session, study, 1)) is None
        assert rater_progress(session, rater_of(session, study, 1)).is_finished
        assert rater_progress(session, rater_of(session, study, 2)).n_judged == 0
        assert {(card.rating, card.is_best) for card in first_page(session, study, 2).cards} == {(None, False)}


def test_another_raters_page_is_unknown(database: Database) -> None:
    study = make_open_study(database)
    with database.reading() as session:
        theirs = first_page(session, study, 2).token
        for token in (theirs, "0" * 32, ""):
            with pytest.raises(UnknownName, match="there is no such page among yours"):
                assignment_page(session, rater_of(session, study, 1), token)


def test_a_withdrawn_rater_sees_nothing_any_more(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        rater, token = rater_of(session, study), first_page(session, study).token
        revoke_rater(session, study.slug, 1, NOW)
        with pytest.raises(NotAllowed, match="has been withdrawn"):
            assignment_page(session, rater, token)
        with pytest.raises(NotAllowed, match="has been withdrawn"):
            next_assignment(session, rater)
        with pytest.raises(NotAllowed, match="has been withdrawn"):
            rater_progress(session, rater)


def test_a_closed_study_shows_no_page_but_how_far_the_rater_came(database: Database) -> None:
    study = make_open_study(database, n_neurons=4)
    judge_everything(database, study)
    with database.reading() as session:
        rater, token = rater_of(session, study), first_page(session, study, 2).token
    close(database, study)
    with database.reading() as session:
        with pytest.raises(Conflict, match="this study is closed"):
            assignment_page(session, rater, token)
        progress = rater_progress(session, rater)
        assert (progress.n_judged, progress.is_open) == (4, False)


def test_the_clock_starts_when_a_page_is_first_shown(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        mine, theirs = first_page(session, study, 1).token, first_page(session, study, 2).token
        rater = rater_of(session, study, 1)
        mark_shown(session, rater, mine, NOW)
        mark_shown(session, rater, mine, NOW + timedelta(hours=1))
        mark_shown(session, rater, theirs, NOW)
        assert first_page(session, study, 1).was_shown
        assert not first_page(session, study, 2).was_shown
        shown = sa.select(Assignment.token, Assignment.shown_at).where(Assignment.shown_at.is_not(None))
        assert session.execute(shown).all() == [(mine, NOW)]


def evidence_of(database: Database, evidence: dict[str, list[int]]) -> list[tuple[str, list[str]]]:
    """The bands of rater 1's first page, each with the first tokens of its excerpts, where that evidence was stored."""
    study = make_open_study(database)
    with database.writing() as session:
        token = first_page(session, study).token
        neuron_id = session.scalars(sa.select(Assignment.neuron_id).where(Assignment.token == token)).one()
        neuron = session.get_one(Neuron, neuron_id)
        for rank in (2, 3):
            make_record(session, neuron, "top", rank, tokens=(f"top{rank}",) * 5)
        make_record(session, neuron, "q99", 0, tokens=("q99",) * 5)
        session.execute(sa.update(Assignment).where(Assignment.token == token).values(evidence=evidence))
        page = assignment_page(session, rater_of(session, study), token)
    return [(band.name, [record.tokens[0] for record in band.records]) for band in page.bands]


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ({"top": [0, 1], "random": [0]}, [("top", ["top0", "top1"]), ("random", ["random0"])]),
        ({"random": [0], "top": [3, 1]}, [("random", ["random0"]), ("top", ["top3", "top1"])]),
        ({"q99": [0], "top": []}, [("q99", ["q99"])]),
        ({"top": [0, 17], "q50": [0]}, [("top", ["top0"])]),
        ({}, []),
    ],
)
def test_a_page_shows_the_evidence_that_was_dealt_in_its_order(
    database: Database, evidence: dict[str, list[int]], expected: list[tuple[str, list[str]]]
) -> None:
    assert evidence_of(database, evidence) == expected


def test_neurons_that_went_to_others_are_not_there_for_their_rater(database: Database) -> None:
    study = make_open_study(database, n_neurons=4)
    with database.writing() as session:
        rater = rater_of(session, study)
        mine = sa.select(Assignment.token).where(Assignment.rater_id == rater.id).order_by(Assignment.position)
        tokens = session.scalars(mine).all()
        gone = Assignment.token.in_([tokens[0], tokens[2]])
        session.execute(sa.update(Assignment).where(gone).values(reclaimed_at=NOW))
        assert next_assignment(session, rater) == tokens[1]
        page = assignment_page(session, rater, tokens[1])
        assert (page.number, page.n_assignments, page.previous, page.next) == (1, 2, None, tokens[3])
        assert rater_progress(session, rater).n_assignments == 2
        with pytest.raises(UnknownName, match="there is no such page among yours"):
            assignment_page(session, rater, tokens[0])


def test_a_judged_neuron_stays_although_it_was_reclaimed(database: Database) -> None:
    study = make_open_study(database, n_neurons=4)
    judge_everything(database, study)
    with database.writing() as session:
        session.execute(sa.update(Assignment).values(reclaimed_at=NOW))
        progress = rater_progress(session, rater_of(session, study))
        assert (progress.n_judged, progress.n_assignments) == (4, 4)


@pytest.mark.parametrize(
    ("seconds", "n_left", "expected"),
    [
        ([10, 10], 5, None),
        ([10, 10, 10], 5, 1),
        ([10, 10, 10], 6, 1),
        ([10, 10, 10], 7, 2),
        ([5, 20, 3600], 9, 3),
        ([10, 20, 30, 40], 24, 10),
        ([0.1, 0.1, 0.1], 1, 1),
        ([10, 10, 10], 0, None),
    ],
)
def test_the_time_left_is_the_median_of_this_raters_own(
    seconds: list[float], n_left: int, expected: int | None
) -> None:
    assert minutes_left(seconds, n_left) == expected


def test_the_time_left_is_shown_from_the_third_judgement_on(database: Database) -> None:
    study = make_open_study(database, n_neurons=6)
    judge_everything(database, study, 2)
    found = []
    with database.writing() as session:
        rater = rater_of(session, study)
        for number in range(4):
            page = first_page(session, study)
            found.append(page.minutes_left)
            mark_shown(session, rater, page.token, NOW)
            later = NOW + timedelta(seconds=60 + number)
            record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], later)
    assert found == [None, None, None, 4]


def test_a_dry_run_is_shown_and_timed_before_the_study_opens(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        session.execute(sa.update(Study).values(status="draft"))
        token, rater = next_assignment(session, rater_of(session, study)), rater_of(session, study)
        with pytest.raises(Conflict):
            assignment_page(session, rater, token or "")
        session.execute(sa.update(Rater).where(Rater.id == rater.id).values(is_dry_run=True))
        mark_shown(session, rater, token or "", NOW)
        assert assignment_page(session, rater, token or "").was_shown
        assert rater_progress(session, rater).is_open


def test_a_pause_is_for_all_but_dry_runs(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        session.execute(sa.update(Study).values(paused_at=NOW))
        rater = rater_of(session, study)
        assert rater_progress(session, rater).is_paused
        session.execute(sa.update(Rater).where(Rater.id == rater.id).values(is_dry_run=True))
        assert not rater_progress(session, rater).is_paused
