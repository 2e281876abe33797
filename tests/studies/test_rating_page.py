"""What a rater sees: blind, the same every time, and nothing of anybody else."""

import dataclasses
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, NotAllowed, UnknownName
from app.studies.invitations import revoke_rater
from app.studies.judging import record_judgement
from app.studies.models import Assignment, Condition
from app.studies.rating_page import (
    RatingCard,
    RatingPage,
    assignment_page,
    card_letter,
    mark_shown,
    next_assignment,
    rater_progress,
)
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
        assert [len(record.tokens) for record in (*page.top, *page.random)] == [5, 5, 5]
        assert [record.maximum for record in page.top] == [5.0, 4.921875]
        assert [record.maximum for record in page.random] == [2.5]
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


def test_cards_are_lettered_beyond_the_alphabet() -> None:
    assert [card_letter(position) for position in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]
