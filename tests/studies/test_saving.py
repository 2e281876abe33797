"""What is entered is stored as it is entered, never over something newer, and counts once it is submitted."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import InvalidJudgement, UnknownName
from app.studies.models import Assignment, JudgementEvent, Rater
from app.studies.rating.entries import Entries
from app.studies.rating.judging import Outcome, Saved, StaleJudgement, record_judgement, save_entries
from app.studies.rating.reading import RatingPage, assignment_page, next_assignment
from tests.studies.factories import NOW, OpenStudy, answers, first_page, make_open_study, rater_of

LATER = NOW + timedelta(minutes=1)


class Desk:
    """Rater 1 at the first neuron, one transaction per act."""

    def __init__(self, database: Database):
        self.database, self.study = database, make_open_study(database)
        with database.reading() as session:
            self.page, self.rater = first_page(session, self.study), rater_of(session, self.study)

    def entries(self, *values: int, best: int | None = None, cannot_judge: str = "", comment: str = "") -> Entries:
        """Ratings of the first cards."""
        cards = self.page.cards
        ratings = {card.token: value for card, value in zip(cards, values, strict=False)}
        return Entries(ratings, () if best is None else (cards[best].token,), cannot_judge, comment)

    def save(self, entries: Entries, version: int | None = None) -> Saved:
        with self.database.writing() as session:
            return save_entries(session, self.rater, self.page.token, entries, version, NOW)

    def submit(self, entries: Entries, version: int | None = None) -> Outcome:
        with self.database.writing() as session:
            return record_judgement(
                session,
                self.rater,
                self.page.token,
                entries.ratings,
                entries.best,
                LATER,
                version=version,
                cannot_judge=entries.cannot_judge,
                comment=entries.comment,
            )

    def again(self) -> RatingPage:
        with self.database.reading() as session:
            return assignment_page(session, self.rater, self.page.token)

    def shown(self) -> tuple[list[int | None], str | None, str | None, str]:
        """(ratings, letter of the best pick, reason, comment) on the page when it is opened again."""
        page = self.again()
        best = next((card.letter for card in page.cards if card.is_best), None)
        return [card.rating for card in page.cards], best, page.cannot_judge, page.comment

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        with self.database.reading() as session:
            query = sa.select(JudgementEvent.kind, JudgementEvent.judgement).order_by(JudgementEvent.id)
            return [(kind, judgement) for kind, judgement in session.execute(query)]


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_what_is_entered_is_there_when_the_page_is_opened_again(desk: Desk) -> None:
    assert desk.again().version == 0
    assert desk.save(desk.entries(4), 0) == Saved(1, is_changed=True)
    assert desk.save(desk.entries(4, 2, best=1, comment=" odd "), 1) == Saved(2, is_changed=True)
    assert desk.shown() == ([4, 2, None, None, None], "B", None, "odd")
    assert (desk.again().version, desk.again().is_judged) == (2, False)
    assert desk.events() == [
        ("saved", {"ratings": {"0": 4}, "best": None, "cannot_judge": None, "comment": None}),
        ("saved", {"ratings": {"0": 4, "1": 2}, "best": 1, "cannot_judge": None, "comment": "odd"}),
    ]


def test_entries_can_be_taken_back_until_they_are_submitted(desk: Desk) -> None:
    desk.save(desk.entries(4, 2, best=1, cannot_judge="other"))
    desk.save(desk.entries(4))
    assert desk.shown() == ([4, None, None, None, None], None, None, "")


def test_what_is_entered_counts_only_when_it_is_submitted(desk: Desk) -> None:
    entries = desk.entries(5, 4, 3, 2, 1, best=0)
    desk.save(entries, 0)
    with desk.database.reading() as session:
        assert next_assignment(session, desk.rater) == desk.page.token
        assert session.scalar(sa.select(sa.func.count(Assignment.submitted_at))) == 0
    outcome = desk.submit(entries, 1)
    assert (outcome, outcome.version) == (Outcome(is_new=True, is_changed=False), 2)
    assert desk.again().is_judged
    assert [kind for kind, _ in desk.events()] == ["saved", "submitted"]
    assert desk.events()[0][1] == desk.events()[1][1]


def test_the_same_entries_again_change_nothing_whatever_version_they_come_with(desk: Desk) -> None:
    entries = desk.entries(4, 2)
    desk.save(entries, 0)
    for version in (0, 1, None):
        assert desk.save(entries, version) == Saved(1, is_changed=False)
    assert len(desk.events()) == 1


def test_entries_over_an_older_version_are_refused_with_what_is_stored(desk: Desk) -> None:
    desk.save(desk.entries(4, 2, best=1, comment="first"), 0)
    for act in (desk.save, desk.submit):
        with pytest.raises(StaleJudgement) as refused:
            act(desk.entries(1, 1, 1, 1, 1, best=0), 0)
        assert refused.value.version == 1
        assert refused.value.stored == desk.entries(4, 2, best=1, comment="first")
    assert desk.shown() == ([4, 2, None, None, None], "B", None, "first")
    assert len(desk.events()) == 1


def test_an_answer_over_the_newest_version_is_taken_after_a_refusal(desk: Desk) -> None:
    desk.save(desk.entries(4), 0)
    with pytest.raises(StaleJudgement) as refused:
        desk.save(desk.entries(2), 0)
    assert desk.save(desk.entries(2), refused.value.version) == Saved(2, is_changed=True)


def test_without_a_version_the_last_one_to_come_wins(desk: Desk) -> None:
    desk.save(desk.entries(4), 0)
    assert desk.save(desk.entries(2), None) == Saved(2, is_changed=True)


def test_a_change_of_a_judgement_is_a_revision_and_keeps_it_complete(desk: Desk) -> None:
    desk.submit(desk.entries(5, 4, 3, 2, 1, best=0))
    assert desk.save(desk.entries(1, best=2), 1) == Saved(2, is_changed=True)
    assert desk.shown() == ([1, 4, 3, 2, 1], "C", None, "")
    assert desk.again().is_judged
    assert [kind for kind, _ in desk.events()] == ["submitted", "revised"]
    with desk.database.reading() as session:
        assert session.scalars(sa.select(Assignment.revisions).where(Assignment.token == desk.page.token)).one() == 1


def test_nothing_can_be_taken_away_from_a_judgement(desk: Desk) -> None:
    desk.submit(desk.entries(5, 4, 3, 2, 1, best=0))
    assert desk.save(Entries(), 1) == Saved(1, is_changed=False)
    assert desk.shown() == ([5, 4, 3, 2, 1], "A", None, "")


def test_a_neuron_that_cannot_be_judged_is_submitted_without_ratings(desk: Desk) -> None:
    outcome = desk.submit(desk.entries(4, cannot_judge="no_pattern", comment="nothing to see"), 0)
    assert outcome == Outcome(is_new=True, is_changed=False)
    assert desk.shown() == ([4, None, None, None, None], None, "no_pattern", "nothing to see")
    expected = {"ratings": {"0": 4}, "best": None, "cannot_judge": "no_pattern", "comment": "nothing to see"}
    assert desk.events() == [("submitted", expected)]
    with desk.database.reading() as session:
        assert next_assignment(session, desk.rater) != desk.page.token


def test_a_reason_gives_way_once_everything_is_rated(desk: Desk) -> None:
    desk.submit(desk.entries(cannot_judge="other"))
    desk.save(desk.entries(5, 4), 1)
    assert desk.shown() == ([5, 4, None, None, None], None, "other", "")
    desk.save(desk.entries(5, 4, 3, 2, 1, best=0), 2)
    assert desk.shown() == ([5, 4, 3, 2, 1], "A", None, "")


@pytest.mark.parametrize(
    "wrong",
    [
        Entries({"0" * 32: 3}),
        Entries(cannot_judge="bored"),
        Entries(comment="x" * 2001),
        Entries(best=("a", "b")),
    ],
)
def test_entries_that_nobody_can_store_leave_nothing_behind(desk: Desk, wrong: Entries) -> None:
    with pytest.raises(InvalidJudgement):
        desk.save(wrong, 0)
    assert desk.events() == []
    assert desk.again().version == 0


def test_another_raters_neuron_takes_no_entries(database: Database) -> None:
    desk = Desk(database)
    with database.reading() as session:
        theirs = first_page(session, desk.study, 2).token
    with pytest.raises(UnknownName), database.writing() as session:
        save_entries(session, desk.rater, theirs, Entries(), None, NOW)


def test_of_different_entries_over_the_same_version_sent_at_once_one_is_stored(desk: Desk) -> None:
    together = Barrier(10)

    def save(value: int) -> Saved | StaleJudgement:
        together.wait()
        try:
            return desk.save(desk.entries(1 + value % 5, 1 + value // 5), 0)
        except StaleJudgement as stale:
            return stale

    with ThreadPoolExecutor(10) as threads:
        outcomes = list(threads.map(save, range(10)))
    stored = [outcome for outcome in outcomes if isinstance(outcome, Saved)]
    assert stored == [Saved(1, is_changed=True)]
    assert {outcome.version for outcome in outcomes if isinstance(outcome, StaleJudgement)} == {1}
    assert len(desk.events()) == 1


def test_ten_equal_submissions_at_once_get_equal_replies(desk: Desk) -> None:
    entries, together = desk.entries(5, 4, 3, 2, 1, best=0), Barrier(10)

    def submit(_: int) -> int:
        together.wait()
        return desk.submit(entries, 0).version

    with ThreadPoolExecutor(10) as threads:
        assert list(threads.map(submit, range(10))) == [1] * 10
    assert [kind for kind, _ in desk.events()] == ["submitted"]


def test_what_a_rater_enters_is_on_nobody_elses_page(database: Database) -> None:
    desk = Desk(database)
    with database.writing() as session:
        judge_as_second(session, desk.study)
    assert desk.shown() == ([None] * 5, None, None, "")


def judge_as_second(session: Session, study: OpenStudy) -> None:
    page = first_page(session, study, 2)
    rater: Rater = rater_of(session, study, 2)
    entries = Entries(answers(page, (3,)), [page.cards[0].token], comment="mine")
    save_entries(session, rater, page.token, entries, 0, NOW)
