"""Whatever admins and raters do, in whatever order: a machine that does it by chance and looks for a broken state.

The model beside the database is small: what every rater was told is stored, and what admins took away for good.
"""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import NeuronJuryError
from app.studies.dealing.slots import extend, reclaim_rater, slots_taken
from app.studies.invitations import invite_raters, revoke_rater
from app.studies.lifecycle import close_study, open_study, pause_study, resume_study
from app.studies.models import Assignment, Card, Condition, Rater, Study, StudyNeuron
from app.studies.rating.entries import Entries
from app.studies.rating.judging import record_judgement, save_entries
from app.studies.rating.stages import finish
from app.studies.results.export import ratings_csv
from app.studies.running.deletion import delete_rater
from tests.studies.factories import NOW, PLAIN, bring_to_the_judging, make_draft, make_explained_subject

pytestmark = pytest.mark.long

N_NEURONS = 4
MOST_RATERS = 6
LEASE_HOURS = 2
OVERLAP = PLAIN.model_copy(
    update={
        "sharing": "overlap",
        "raters_per_neuron": 2,
        "n_raters": 3,
        "lease_hours": LEASE_HOURS,
        "check_percent": 50,
    }
)
RATERS = st.integers(0, MOST_RATERS - 1)
"""Which of the invited raters, counted round."""
N_AT_THE_START = 4
PLACES = st.integers(0, 5)
VALUES = st.integers(1, 5)


@dataclass
class Told:
    """What the model knows of one page: the entries that were acknowledged last, and whether they were submitted."""

    ratings: dict[int, int] = field(default_factory=dict)
    best: int | None = None
    is_submitted: bool = False


class AnyOrder(RuleBasedStateMachine):
    numbers = itertools.count()

    def __init__(self, database: Database):
        super().__init__()
        self.database = database
        self.now: datetime = NOW
        self.told: dict[str, Told] = {}
        self.tokens_of: dict[int, set[str]] = {}
        self.barred: set[int] = set()
        self.finished: set[int] = set()
        self.codes: dict[int, str] = {}
        self.is_closed = False

    @initialize()
    def a_study_is_open(self) -> None:
        self.slug = f"study-{next(self.numbers)}"
        with self.database.writing() as session:
            make_explained_subject(session, f"toy-{self.slug}", n_layers=N_NEURONS // 2)
            make_draft(session, self.slug, n_per_layer=2, protocol=OVERLAP)
            open_study(session, self.slug, self.now)
        for place in range(N_AT_THE_START):
            self.invites()
            self.arrives_or_asks_for_more(place)

    # What raters do ---------------------------------------------------------------------------------------------------

    @rule(place=RATERS)
    def arrives_or_asks_for_more(self, place: int) -> None:
        number = self._number(place)
        self._try(lambda session: bring_to_the_judging(session, self._rater(session, number), self.now))

    @rule(place=RATERS, page=PLACES, card=PLACES, value=VALUES)
    def clicks_a_rating(self, place: int, page: int, card: int, value: int) -> None:
        number = self._number(place)
        with self.database.reading() as session:
            cards = self._cards(session, number, page)
        if not cards:
            return
        token, card = cards[0].assignment.token, card % len(cards)
        told = self.told.setdefault(token, Told())
        ratings = told.ratings | {card: value}
        entries = Entries(
            ratings={cards[place].token: given for place, given in ratings.items()}, best=self._best(cards, told)
        )
        if self._try(
            lambda session: save_entries(session, self._rater(session, number), token, entries, None, self.now)
        ):
            self._check_was_allowed(number, cards[0].assignment)
            told.ratings = ratings

    @rule(place=RATERS, page=PLACES, values=st.lists(VALUES, min_size=6, max_size=6), best=PLACES)
    def submits(self, place: int, page: int, values: list[int], best: int) -> None:
        number = self._number(place)
        with self.database.reading() as session:
            cards = self._cards(session, number, page)
        if not cards:
            return
        token, best = cards[0].assignment.token, best % len(cards)
        ratings: dict[str, int | str] = {card.token: value for card, value in zip(cards, values, strict=False)}
        picked = [cards[best].token]
        if self._try(lambda s: record_judgement(s, self._rater(s, number), token, ratings, picked, self.now)):
            self._check_was_allowed(number, cards[0].assignment)
            self.told[token] = Told(dict(enumerate(values[: len(cards)])), best, is_submitted=True)

    @rule(place=RATERS)
    def finishes(self, place: int) -> None:
        number = self._number(place)
        if self._try(lambda session: finish(session, self._rater(session, number), self.now)):
            # Whoever finished before may press the button again: nothing happens.
            assert number in self.finished or (number not in self.barred and not self.is_closed)
            self.finished.add(number)

    # What admins do ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.codes) < MOST_RATERS and not self.is_closed)
    @rule()
    def invites(self) -> None:
        with self.database.writing() as session:
            invitation = invite_raters(session, self.slug, 1, self.now, NOW + timedelta(days=365))[0]
        self.codes[invitation.number] = invitation.code

    @rule(place=RATERS)
    def reclaims(self, place: int) -> None:
        number = self._number(place)
        self._try(lambda session: reclaim_rater(session, self.slug, number, self.now, "ada"))

    @rule(place=RATERS)
    def revokes(self, place: int) -> None:
        number = self._number(place)
        if self._try(lambda session: revoke_rater(session, self.slug, number, self.now)):
            self.barred.add(number)

    @rule(place=RATERS)
    def deletes(self, place: int) -> None:
        number = self._number(place)
        with self.database.reading() as session:
            tokens = set(session.scalars(sa.select(Assignment.token).join(Rater).where(*self._is(number))))
        if self._try(lambda session: delete_rater(session, self.slug, number, self.now, "ada")):
            self.barred.add(number)
            self.told = {token: told for token, told in self.told.items() if token not in tokens}

    @rule(n=st.integers(1, 4))
    def extends(self, n: int) -> None:
        self._try(lambda session: extend(session, self.slug, n, self.now, "ada"))

    @rule()
    def pauses(self) -> None:
        self._try(lambda session: pause_study(session, self.slug, self.now))

    @rule()
    def resumes(self) -> None:
        self._try(lambda session: resume_study(session, self.slug, self.now))

    @rule(chance=st.integers(0, 9))
    def closes(self, chance: int) -> None:
        # One in ten, or most runs would be over before anything happened.
        if chance == 0 and self._try(lambda session: close_study(session, self.slug, self.now)):
            self.is_closed = True

    @rule(minutes=st.integers(1, 60 * LEASE_HOURS))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    # What must hold ---------------------------------------------------------------------------------------------------

    @invariant()
    def no_neuron_has_more_live_raters_than_slots(self) -> None:
        with self.database.reading() as session:
            study = self._study(session)
            quotas = sa.select(StudyNeuron.neuron_id, StudyNeuron.quota).where(StudyNeuron.study_id == study.id)
            taken = slots_taken(session, study)
            assert [row for row in session.execute(quotas) if taken[row.neuron_id] > row.quota] == []

    @invariant()
    def what_was_acknowledged_is_stored_and_nothing_else(self) -> None:
        with self.database.reading() as session:
            stored = {assignment.token: self._stored(assignment) for assignment in self._assignments(session)}
        expected = {token: told for token, told in self.told.items() if told.ratings or told.best is not None}
        assert {token: told for token, told in stored.items() if told.ratings or told.best is not None} == expected

    @invariant()
    def every_judgement_has_each_condition_once_and_one_best_pick(self) -> None:
        with self.database.reading() as session:
            n_conditions = session.scalar(
                sa.select(sa.func.count()).where(Condition.study_id == self._study(session).id)
            )
            for assignment in self._assignments(session):
                conditions = [link.condition_id for card in assignment.cards for link in card.card_conditions]
                assert len(conditions) == len(set(conditions)) == n_conditions
                if assignment.submitted_at is not None:
                    assert assignment.best_pick is not None
                    assert all(card.rating is not None for card in assignment.cards)

    @invariant()
    def a_closed_study_exports_every_judgement_once(self) -> None:
        if not self.is_closed:
            return
        with self.database.reading() as session:
            rows = list(ratings_csv(session, self.slug))[1:]
        keys = Counter(tuple(row.split(",")[place] for place in (1, 3, 4, 5)) for row in rows)
        assert set(keys.values()) <= {1}
        assert len(keys) == 5 * sum(told.is_submitted for told in self.told.values())

    # ------------------------------------------------------------------------------------------------------------------

    def _number(self, place: int) -> int:
        return sorted(self.codes)[place % len(self.codes)]

    def _try(self, act: object) -> bool:
        """Whether it was carried out; a refusal must leave everything as it was, which the invariants see."""
        assert callable(act)
        try:
            with self.database.writing() as session:
                act(session)
        except NeuronJuryError:
            return False
        return True

    def _check_was_allowed(self, number: int, before: Assignment) -> None:
        assert not self.is_closed
        assert number not in self.barred
        assert number not in self.finished
        assert before.reclaimed_at is None or before.submitted_at is not None

    def _is(self, number: int) -> tuple[sa.ColumnElement[bool], ...]:
        return Rater.number == number, Rater.study_id.in_(sa.select(Study.id).where(Study.slug == self.slug))

    def _study(self, session: Session) -> Study:
        return session.scalars(sa.select(Study).where(Study.slug == self.slug)).one()

    def _rater(self, session: Session, number: int) -> Rater:
        return session.scalars(sa.select(Rater).where(*self._is(number))).one()

    def _assignments(self, session: Session) -> list[Assignment]:
        mine = sa.select(Assignment).join(Assignment.rater).where(Rater.study_id == self._study(session).id)
        return list(session.scalars(mine))

    def _cards(self, session: Session, number: int, page: int) -> list[Card]:
        """The cards of one of the pages that this rater ever had, live or not."""
        query = sa.select(Assignment.id).join(Rater).where(*self._is(number)).order_by(Assignment.position)
        ids = session.scalars(query).all()
        if not ids:
            return []
        cards = sa.select(Card).where(Card.assignment_id == ids[page % len(ids)]).order_by(Card.position)
        return list(session.scalars(cards.options(sa.orm.joinedload(Card.assignment))))

    def _best(self, cards: list[Card], told: Told) -> list[str]:
        return [] if told.best is None else [cards[told.best].token]

    def _stored(self, assignment: Assignment) -> Told:
        ratings = {card.position: card.rating.value for card in assignment.cards if card.rating is not None}
        best_id = None if assignment.best_pick is None else assignment.best_pick.card_id
        best = next((card.position for card in assignment.cards if card.id == best_id), None)
        return Told(ratings, best, assignment.submitted_at is not None)


def test_no_order_of_events_breaks_a_study(database: Database) -> None:
    is_sqlite = database.engine.dialect.name == "sqlite"
    run_state_machine_as_test(
        lambda: AnyOrder(database),
        settings=settings(
            max_examples=25 if is_sqlite else 8,
            stateful_step_count=40,
            deadline=None,
            # Shortening a failure takes many minutes of a run that has failed anyway.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
