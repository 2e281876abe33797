"""Slots under a rush: never more raters at a neuron than its quota, and every neuron judged as often as planned."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.studies.dealing.share import deal_share
from app.studies.dealing.slots import RENEWED_EVERY, extend, is_live, keep_lease, reclaim_rater, slots_taken
from app.studies.invitations import invite_raters
from app.studies.models import CLOSED, Assignment, Rater, Study, StudyNeuron
from app.studies.rating.judging import record_judgement
from app.studies.rating.reading import assignment_page, next_assignment
from tests.studies.factories import NOW, PLAIN, answers, bring_to_the_judging, make_open_study, rater_of

K = 3
N_RATERS = 200
N_NEURONS = 20
OVERLAP = PLAIN.model_copy(
    update={"sharing": "overlap", "raters_per_neuron": K, "neurons_per_rater": 2, "lease_hours": 1}
)


def finished_per_neuron(session: Session) -> Counter[int]:
    done = sa.select(Assignment.neuron_id).where(Assignment.submitted_at.is_not(None))
    return Counter(session.scalars(done))


def most_live(database: Database) -> int:
    with database.reading() as session:
        return max(slots_taken(session, session.scalars(sa.select(Study)).one()).values())


def rush(database: Database, rater_id: int, now: datetime, stops: bool) -> None:
    """One rater's visit: asks for a share and judges it, or leaves after the first neuron."""
    with database.writing() as session:
        rater = session.get_one(Rater, rater_id)
        bring_to_the_judging(session, rater, now)
    while True:
        with database.writing() as session:
            token = next_assignment(session, session.get_one(Rater, rater_id))
            if token is None:
                return
            page = assignment_page(session, session.get_one(Rater, rater_id), token)
            ratings = answers(page, (1, 2, 3, 4, 5))
            record_judgement(session, session.get_one(Rater, rater_id), token, ratings, [page.cards[0].token], now)
        if stops:
            return


def test_200_raters_rushing_for_the_last_slots_end_with_exactly_three_per_neuron(database: Database) -> None:
    study = make_open_study(database, n_neurons=N_NEURONS, n_raters=1, protocol=OVERLAP)
    with database.writing() as session:
        invite_raters(session, study.slug, N_RATERS - 1, NOW, NOW + timedelta(days=7))
        rater_ids = list(session.scalars(sa.select(Rater.id).order_by(Rater.number)))
    # Four of ten leave in the middle. Those who found nothing come again when the leases of these are over.
    chance = random.Random(0)
    stopping = {rater_id for rater_id in rater_ids if chance.random() < 0.4}
    now = NOW
    n_rounds = 0
    while True:
        n_rounds += 1
        with ThreadPoolExecutor(16) as threads:
            for visit in [
                threads.submit(rush, database, id, now, n_rounds == 1 and id in stopping) for id in rater_ids
            ]:
                visit.result()
        assert most_live(database) <= K
        with database.reading() as session:
            finished = finished_per_neuron(session)
        if sum(finished.values()) == K * N_NEURONS:
            break
        assert n_rounds < 5
        chance.shuffle(rater_ids)
        now += timedelta(hours=1, minutes=1)
    assert set(finished.values()) == {K}
    assert len(finished) == N_NEURONS
    assert n_rounds > 1


def test_a_lease_is_renewed_at_most_once_a_minute(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    with database.reading() as session:
        rater = rater_of(session, study)
    for seconds, expected in ((30, 0), (61, 61), (90, 61)):
        now = NOW + timedelta(seconds=seconds)
        keep_lease(database, rater, now)
        with database.reading() as session:
            rater = rater_of(session, study)
            assert rater.seen_at == NOW + timedelta(seconds=expected)
            assert rater.lease_until == rater.seen_at + timedelta(hours=48)
    assert timedelta(seconds=60) == RENEWED_EVERY


def test_a_rater_whose_neurons_are_reclaimed_keeps_what_is_judged(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=1)
    with database.reading() as session:
        rater = rater_of(session, study)
        token = next_assignment(session, rater)
        assert token is not None
        page = assignment_page(session, rater, token)
    with database.writing() as session:
        record_judgement(session, rater, token, answers(page, (3,)), [page.cards[0].token], NOW)
    with database.writing() as session:
        assert reclaim_rater(session, study.slug, 1, NOW, "ada") == 3
        assert session.scalar(sa.select(sa.func.count()).select_from(Assignment).where(is_live())) == 1
        with pytest.raises(UnknownName, match="no rater 7"):
            reclaim_rater(session, study.slug, 7, NOW, "ada")


def test_more_raters_per_neuron_make_room(database: Database) -> None:
    protocol = PLAIN.model_copy(update={"sharing": "split", "n_raters": 1})
    study = make_open_study(database, n_neurons=4, n_raters=2, protocol=protocol)
    with database.writing() as session:
        assert deal_share(session, rater_of(session, study, 2), NOW) == 0
        assert extend(session, study.slug, 2, NOW, "ada") == 4
        assert deal_share(session, rater_of(session, study, 2), NOW) == 4
        assert set(session.scalars(sa.select(StudyNeuron.quota))) == {2}


def test_quotas_only_grow_and_only_while_the_study_is_open(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, protocol=OVERLAP)
    crossed = make_open_study(database, slug="crossed", n_neurons=2)
    with database.writing() as session:
        with pytest.raises(InvalidInput, match="3 raters per neuron; expected more than the 3 there are now"):
            extend(session, study.slug, 3, NOW, "ada")
        with pytest.raises(InvalidInput, match="invite more raters instead"):
            extend(session, crossed.slug, 3, NOW, "ada")
        session.execute(sa.update(Study).values(status=CLOSED))
        with pytest.raises(Conflict, match="is closed"):
            extend(session, study.slug, 4, NOW, "ada")
