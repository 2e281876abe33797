"""Inviting raters deals their cards; the code lets them in."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput, InvitationRefused, UnknownName
from app.studies.dealing.blinding import deal_cards
from app.studies.dealing.design import neuron_order
from app.studies.invitations import invite_raters, redeem_invitation, revoke_rater
from app.studies.lifecycle import open_study
from app.studies.models import Assignment, Card, CardCondition, FrozenText, Rater, Study, StudyNeuron
from tests.studies.factories import (
    METHODS,
    NOW,
    close,
    distinct_text,
    make_draft,
    make_explained_subject,
    make_open_study,
    rater_of,
)

IN_A_WEEK = NOW + timedelta(days=7)


def assignments_of(session: Session, rater: Rater) -> list[Assignment]:
    query = sa.select(Assignment).where(Assignment.rater_id == rater.id).order_by(Assignment.position)
    return list(session.scalars(query))


def test_every_rater_is_dealt_every_neuron_in_an_order_of_their_own(database: Database) -> None:
    study = make_open_study(database, n_neurons=8, n_raters=3)
    with database.reading() as session:
        stored = session.scalars(sa.select(Study)).one()
        neuron_ids = session.scalars(sa.select(StudyNeuron.neuron_id).order_by(StudyNeuron.position)).all()
        orders = []
        for number in (1, 2, 3):
            assignments = assignments_of(session, rater_of(session, study, number))
            assert [each.position for each in assignments] == list(range(8))
            orders.append(tuple(neuron_ids.index(each.neuron_id) for each in assignments))
        assert orders == [neuron_order(stored.order_key, number, 8) for number in (1, 2, 3)]
        assert len(set(orders)) == 3


def test_the_stored_cards_are_those_of_the_design_with_their_conditions(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    with database.reading() as session:
        stored = session.scalars(sa.select(Study)).one()
        for assignment in assignments_of(session, rater_of(session, study)):
            neuron = assignment.neuron.index
            texts = [distinct_text(0, neuron, method) for method in METHODS]
            dealt = deal_cards(stored.order_key, 1, neuron, texts)
            assert [card.position for card in assignment.cards] == [0, 1, 2, 3, 4]
            assert [card.text for card in assignment.cards] == [card.text for card in dealt]
            assert [
                [METHODS.index(link.condition.method) for link in card.card_conditions] for card in assignment.cards
            ] == [list(card.members) for card in dealt]


def test_identical_texts_become_one_card_for_all_their_conditions(database: Database) -> None:
    def texts(layer: int, index: int, method: str) -> str:
        return "the same words" if method in ("hs", "original") else distinct_text(layer, index, method)

    study = make_open_study(database, n_neurons=2, n_raters=1, texts=texts)
    with database.reading() as session:
        for assignment in assignments_of(session, rater_of(session, study)):
            shared = next(card for card in assignment.cards if card.text == "the same words.")
            assert len(assignment.cards) == 4
            assert {link.condition.method for link in shared.card_conditions} == {"original", "hs"}


def test_tokens_are_random_and_all_different(database: Database) -> None:
    make_open_study(database, n_neurons=4, n_raters=3)
    with database.reading() as session:
        tokens = [*session.scalars(sa.select(Assignment.token)), *session.scalars(sa.select(Card.token))]
    assert len(tokens) == len(set(tokens)) == 3 * 4 * 6
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)


def test_a_second_round_of_invitations_counts_on(database: Database) -> None:
    study = make_open_study(database, n_raters=2)
    with database.writing() as session:
        later = invite_raters(session, study.slug, 2, NOW, IN_A_WEEK)
        assert [invitation.number for invitation in later] == [3, 4]
        n_dealt = Counter(session.scalars(sa.select(Rater.number).join(Assignment, Assignment.rater_id == Rater.id)))
    assert n_dealt == {1: 4, 2: 4, 3: 4, 4: 4}


def test_two_studies_deal_their_own_neurons_and_number_their_own_raters(database: Database) -> None:
    make_open_study(database, slug="demo", n_neurons=2, n_raters=2)
    other = make_open_study(database, slug="other", n_neurons=4, n_raters=1)
    with database.reading() as session:
        assert [invitation.number for invitation in other.invitations] == [1]
        rater = rater_of(session, other)
        own = set(session.scalars(sa.select(StudyNeuron.neuron_id).where(StudyNeuron.study_id == rater.study_id)))
        assert {assignment.neuron_id for assignment in assignments_of(session, rater)} == own
        dealt = sa.select(CardCondition.condition_id).join(Assignment, CardCondition.assignment_id == Assignment.id)
        condition_ids = set(session.scalars(dealt.where(Assignment.rater_id == rater.id)))
        frozen = sa.select(FrozenText.condition_id).where(FrozenText.study_id == rater.study_id)
        assert condition_ids == set(session.scalars(frozen))


def test_a_code_is_stored_nowhere_and_lets_its_rater_in_again_and_again(database: Database) -> None:
    study = make_open_study(database, n_raters=2)
    code = study.invitations[1].code
    assert len(bytes.fromhex(code)) == 16
    with database.reading() as session:
        assert redeem_invitation(session, code, NOW).number == 2
        assert redeem_invitation(session, code, IN_A_WEEK - timedelta(seconds=1)).number == 2
        hashes = session.scalars(sa.select(Rater.invitation_hash)).all()
    assert all(code not in stored and len(stored) == 64 for stored in hashes)


def test_unknown_expired_and_withdrawn_invitations_are_refused(database: Database) -> None:
    study = make_open_study(database, n_raters=2)
    code = study.invitations[0].code
    with database.writing() as session:
        for wrong in ("", code[:-1], code.upper() + "0", "f" * 32):
            with pytest.raises(InvitationRefused, match="this invitation is not known"):
                redeem_invitation(session, wrong, NOW)
        with pytest.raises(InvitationRefused, match="this invitation expired at 2026-03-08 12:00 UTC"):
            redeem_invitation(session, code, IN_A_WEEK)
        revoke_rater(session, study.slug, 1, NOW)
        with pytest.raises(InvitationRefused, match="this invitation has been withdrawn"):
            redeem_invitation(session, code, NOW)
        assert redeem_invitation(session, study.invitations[1].code, NOW).number == 2


def test_withdrawing_is_within_the_study_and_keeps_its_first_moment(database: Database) -> None:
    study = make_open_study(database, slug="demo", n_raters=1)
    other = make_open_study(database, slug="other", n_raters=2)
    with database.writing() as session:
        revoke_rater(session, study.slug, 1, NOW)
        revoke_rater(session, study.slug, 1, IN_A_WEEK)
        assert rater_of(session, other, 1).revoked_at is None
        with pytest.raises(UnknownName, match="study demo has no rater 2"):
            revoke_rater(session, study.slug, 2, NOW)
        revoked = session.scalars(sa.select(Rater).where(Rater.revoked_at.is_not(None))).one()
        assert revoked.revoked_at == NOW


def test_a_closed_study_lets_nobody_in_and_invites_nobody(database: Database) -> None:
    study = make_open_study(database)
    close(database, study)
    with database.writing() as session:
        with pytest.raises(Conflict, match="this study is closed and takes no more judgements"):
            redeem_invitation(session, study.invitations[0].code, NOW)
        with pytest.raises(Conflict, match="study demo is closed; raters are invited while it is open"):
            invite_raters(session, study.slug, 1, NOW, IN_A_WEEK)


def test_a_draft_invites_nobody(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=1)
        with pytest.raises(Conflict, match="study demo is draft; raters are invited while it is open"):
            invite_raters(session, "demo", 1, NOW, IN_A_WEEK)
        open_study(session, "demo", NOW)
        with pytest.raises(InvalidInput, match="0 raters; expected 1 to 1000 at once"):
            invite_raters(session, "demo", 0, NOW, IN_A_WEEK)
        with pytest.raises(InvalidInput, match="expected a moment in the future"):
            invite_raters(session, "demo", 1, NOW, NOW)
        with pytest.raises(UnknownName, match="there is no study 'other'"):
            invite_raters(session, "other", 1, NOW, IN_A_WEEK)
        assert session.scalars(sa.select(Rater)).all() == []


def test_two_admins_who_invite_at_once_get_different_raters(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    together = Barrier(2)

    def invite(_: int) -> list[int]:
        together.wait()
        with database.writing() as session:
            return [invitation.number for invitation in invite_raters(session, study.slug, 2, NOW, IN_A_WEEK)]

    with ThreadPoolExecutor(2) as threads:
        numbers = sorted(threads.map(invite, range(2)))
    assert numbers == [[2, 3], [4, 5]]
