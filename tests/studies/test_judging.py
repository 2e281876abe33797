"""A judgement is stored whole or not at all, once, and every change of it is on record."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidJudgement, NotAllowed, UnknownName
from app.studies.invitations import revoke_rater
from app.studies.lifecycle import close_study
from app.studies.models import Assignment, BestPick, JudgementEvent, Rater, Rating, Study
from app.studies.rating.judging import Outcome, record_judgement
from app.studies.rating.reading import RatingPage, assignment_page, mark_shown
from tests.studies.factories import NOW, OpenStudy, answers, close, first_page, make_open_study, rater_of

NEW = Outcome(is_new=True, is_changed=False)
CHANGED = Outcome(is_new=False, is_changed=True)
SAME = Outcome(is_new=False, is_changed=False)


def stored(session: Session, page: RatingPage) -> tuple[list[int], int | None, int, list[str]]:
    """(ratings by position, position of the best pick, revisions, kinds of events) of one assignment."""
    assignment = session.scalars(sa.select(Assignment).where(Assignment.token == page.token)).one()
    session.refresh(assignment)
    ratings = [card.rating.value for card in assignment.cards if card.rating is not None]
    best = session.scalar(sa.select(BestPick.card_id).where(BestPick.assignment_id == assignment.id))
    position = next((card.position for card in assignment.cards if card.id == best), None)
    events = sa.select(JudgementEvent.kind).where(JudgementEvent.assignment_id == assignment.id)
    return ratings, position, assignment.revisions, list(session.scalars(events.order_by(JudgementEvent.id)))


def everything(database: Database) -> tuple[int, int, int, int]:
    """How many ratings, best picks, events and submitted assignments there are in the whole database."""
    with database.reading() as session:
        counts = [session.scalar(sa.select(sa.func.count()).select_from(t)) for t in (Rating, BestPick, JudgementEvent)]
        submitted = session.scalar(sa.select(sa.func.count(Assignment.submitted_at)))
        return counts[0] or 0, counts[1] or 0, counts[2] or 0, submitted or 0


def whole(ratings: dict[str, int], best: int) -> dict[str, Any]:
    """A complete judgement as events have it."""
    return {"ratings": ratings, "best": best, "cannot_judge": None, "comment": None}


def test_a_judgement_is_stored_with_its_time_and_its_event(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        mark_shown(session, rater, page.token, NOW)
        later = NOW + timedelta(seconds=42.5)
        outcome = record_judgement(session, rater, page.token, answers(page, "54321"), [page.cards[1].token], later)
        assert outcome == NEW
    with database.reading() as session:
        assert stored(session, page) == ([5, 4, 3, 2, 1], 1, 0, ["submitted"])
        assignment = session.scalars(sa.select(Assignment).where(Assignment.token == page.token)).one()
        assert (assignment.submitted_at, assignment.seconds) == (later, 42.5)
        event = session.scalars(sa.select(JudgementEvent)).one()
        assert (event.at, event.judgement) == (later, whole({"0": 5, "1": 4, "2": 3, "3": 2, "4": 1}, 1))
    assert everything(database) == (5, 1, 1, 1)


def test_the_same_judgement_again_changes_nothing(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        same = (page.token, answers(page, (4,)), [page.cards[0].token])
        assert record_judgement(session, rater, *same, NOW) == NEW
        assert record_judgement(session, rater, *same, NOW + timedelta(hours=1)) == SAME
        assignment = session.scalars(sa.select(Assignment).where(Assignment.token == page.token)).one()
        assert (assignment.submitted_at, assignment.revisions, assignment.seconds) == (NOW, 0, None)
    assert everything(database) == (5, 1, 1, 1)


@pytest.mark.parametrize(("values", "best"), [((4, 4, 4, 4, 5), 0), ((4,), 3)])
def test_another_judgement_is_a_revision_on_record(database: Database, values: tuple[int, ...], best: int) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        mark_shown(session, rater, page.token, NOW)
        first, later = NOW + timedelta(seconds=10), NOW + timedelta(hours=1)
        record_judgement(session, rater, page.token, answers(page, (4,)), [page.cards[0].token], first)
        changed = (answers(page, values), [page.cards[best].token])
        assert record_judgement(session, rater, page.token, *changed, later) == CHANGED
        assert record_judgement(session, rater, page.token, *changed, later) == SAME
    with database.reading() as session:
        expected = [values[place % len(values)] for place in range(5)]
        assert stored(session, page) == (expected, best, 1, ["submitted", "revised"])
        assignment = session.scalars(sa.select(Assignment).where(Assignment.token == page.token)).one()
        assert (assignment.submitted_at, assignment.seconds) == (later, 10.0)
        events = session.scalars(sa.select(JudgementEvent.judgement).order_by(JudgementEvent.id)).all()
        assert events[0] == whole({str(position): 4 for position in range(5)}, 0)
        assert events[1] == whole({str(place): value for place, value in enumerate(expected)}, best)


def test_a_refused_judgement_leaves_nothing_behind(database: Database) -> None:
    study = make_open_study(database)
    with database.reading() as session:
        page, rater = first_page(session, study), rater_of(session, study)
    with pytest.raises(InvalidJudgement), database.writing() as session:
        record_judgement(session, rater, page.token, answers(page, (1, 2, 3, 4, 9)), [page.cards[0].token], NOW)
    assert everything(database) == (0, 0, 0, 0)


def refusal(database: Database, study: OpenStudy, act: Callable[[Session], None], kind: type[Exception]) -> str:
    """The message with which rater 1's judgement is refused after `act`; nothing must have been stored."""
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        act(session)
    with pytest.raises(kind) as refused, database.writing() as session:
        record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], NOW)
    assert everything(database) == (0, 0, 0, 0)
    return str(refused.value)


def test_a_closed_study_takes_no_judgement(database: Database) -> None:
    study = make_open_study(database)
    message = refusal(database, study, lambda session: void(close_study(session, study.slug, NOW)), Conflict)
    assert message == "this study is closed and takes no more judgements"


def test_a_withdrawn_rater_cannot_judge(database: Database) -> None:
    study = make_open_study(database)
    message = refusal(database, study, lambda session: revoke_rater(session, study.slug, 1, NOW), NotAllowed)
    assert message == "this invitation has been withdrawn"


def reclaim(session: Session) -> None:
    session.execute(sa.update(Assignment).values(reclaimed_at=NOW))


def test_a_neuron_that_went_to_others_takes_no_judgement(database: Database) -> None:
    assert refusal(database, make_open_study(database), reclaim, UnknownName) == "there is no such page among yours"


def test_a_rater_who_has_finished_cannot_judge(database: Database) -> None:
    def finish(session: Session) -> None:
        session.execute(sa.update(Rater).values(finished_at=NOW))

    message = refusal(database, make_open_study(database), finish, Conflict)
    assert message == "you have finished, and your answers stand"


def test_a_deleted_rater_cannot_judge(database: Database) -> None:
    def delete(session: Session) -> None:
        session.execute(sa.update(Rater).values(deleted_at=NOW))

    assert refusal(database, make_open_study(database), delete, NotAllowed) == "this invitation has been withdrawn"


def test_a_paused_study_takes_what_is_on_the_screen(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        session.execute(sa.update(Study).values(paused_at=NOW))
        assert record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], NOW) == NEW


def test_a_judged_neuron_takes_changes_although_its_lease_is_over(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], NOW)
        reclaim(session)
        changed = (answers(page, (2,)), [page.cards[0].token])
        assert record_judgement(session, rater, page.token, *changed, NOW) == CHANGED


def void(_: object) -> None:
    """For a lambda that must give nothing back."""


def test_a_judgement_of_a_closed_study_cannot_be_changed(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], NOW)
    close(database, study)
    with pytest.raises(Conflict), database.writing() as session:
        record_judgement(session, rater, page.token, answers(page, (4,)), [page.cards[0].token], NOW)
    with database.reading() as session:
        assert stored(session, page) == ([3] * 5, 0, 0, ["submitted"])


def test_nobody_judges_another_raters_assignment(database: Database) -> None:
    study = make_open_study(database)
    other = make_open_study(database, slug="other")
    with database.reading() as session:
        mine = rater_of(session, study, 1)
        pages = [first_page(session, study, 2), first_page(session, other, 1)]
    for page in pages:
        with pytest.raises(UnknownName, match="no such page among yours"), database.writing() as session:
            record_judgement(session, mine, page.token, answers(page, (3,)), [page.cards[0].token], NOW)
    assert everything(database) == (0, 0, 0, 0)


def test_a_judgement_touches_only_its_own_assignment(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        assert page.next is not None
        second = assignment_page(session, rater, page.next)
        record_judgement(session, rater, page.token, answers(page, (3,)), [page.cards[0].token], NOW)
        record_judgement(session, rater, second.token, answers(second, (1,)), [second.cards[1].token], NOW)
        record_judgement(session, rater, page.token, answers(page, (5,)), [page.cards[4].token], NOW)
        assert stored(session, page) == ([5] * 5, 4, 1, ["submitted", "revised"])
        assert stored(session, second) == ([1] * 5, 1, 0, ["submitted"])


def test_the_same_submission_sent_ten_times_at_once_is_stored_once(database: Database) -> None:
    study = make_open_study(database)
    with database.reading() as session:
        page, rater = first_page(session, study), rater_of(session, study)
    together = Barrier(10)

    def submit(_: int) -> Outcome:
        together.wait()
        with database.writing() as session:
            return record_judgement(session, rater, page.token, answers(page, (2,)), [page.cards[3].token], NOW)

    with ThreadPoolExecutor(10) as threads:
        outcomes = list(threads.map(submit, range(10)))
    assert sorted(outcome.is_new for outcome in outcomes) == [False] * 9 + [True]
    assert [outcome for outcome in outcomes if not outcome.is_new] == [SAME] * 9
    assert everything(database) == (5, 1, 1, 1)


def test_ten_different_changes_at_once_follow_each_other(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        page, rater = first_page(session, study), rater_of(session, study)
        record_judgement(session, rater, page.token, answers(page, (1, 1, 1, 1, 1)), [page.cards[0].token], NOW)
    together = Barrier(10)
    changes = [((1 + place % 5, 1 + place // 5, 5, 5, 5), place % 5) for place in range(10)]

    def submit(change: tuple[tuple[int, ...], int]) -> Outcome:
        values, best = change
        together.wait()
        with database.writing() as session:
            return record_judgement(session, rater, page.token, answers(page, values), [page.cards[best].token], NOW)

    with ThreadPoolExecutor(10) as threads:
        outcomes = list(threads.map(submit, changes))
    assert outcomes == [CHANGED] * 10
    with database.reading() as session:
        ratings, best, revisions, kinds = stored(session, page)
        assert (tuple(ratings), best) in changes
        assert (revisions, kinds) == (10, ["submitted"] + ["revised"] * 10)
        last = session.scalars(sa.select(JudgementEvent.judgement).order_by(JudgementEvent.id.desc())).first()
        assert last == whole({str(place): value for place, value in enumerate(ratings)}, best)
