"""Links and codes: personal ones, the joining link, dry runs; and what each rater is then dealt."""

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
from app.studies.dealing.design import neuron_order, neuron_ranks
from app.studies.invitations import (
    CODE_LETTERS,
    ExternalIds,
    completion_code,
    dry_run,
    invite_raters,
    join,
    make_joining_link,
    note_external_ids,
    redeem_invitation,
    revoke_rater,
)
from app.studies.lifecycle import open_study
from app.studies.models import Assignment, Card, CardCondition, FrozenText, Rater, Study, StudyNeuron
from tests.studies.factories import (
    METHODS,
    NOW,
    PLAIN,
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
        assert orders == [neuron_order(stored.order_key, number, range(8)) for number in (1, 2, 3)]
        assert len(set(orders)) == 3


def test_the_stored_cards_are_those_of_the_design_with_their_conditions(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1)
    with database.reading() as session:
        stored = session.scalars(sa.select(Study)).one()
        for assignment in assignments_of(session, rater_of(session, study)):
            neuron = assignment.neuron.index
            texts = [distinct_text(0, neuron, method) for method in METHODS]
            rank = neuron_ranks(stored.order_key, 2)[neuron]
            dealt = deal_cards(stored.order_key, 0, rank, neuron, texts)
            assert [card.position for card in assignment.cards] == [0, 1, 2, 3, 4]
            assert [card.text for card in assignment.cards] == [card.text for card in dealt]
            assert [
                [METHODS.index(link.condition.method) for link in card.card_conditions] for card in assignment.cards
            ] == [list(card.members) for card in dealt]


def test_identical_texts_become_one_card_for_all_their_conditions(database: Database) -> None:
    def texts(layer: int, index: int, method: str) -> str:
        return f"the same words of {index}" if method in ("hs", "original") else distinct_text(layer, index, method)

    study = make_open_study(database, n_neurons=2, n_raters=1, texts=texts)
    with database.reading() as session:
        for assignment in assignments_of(session, rater_of(session, study)):
            shared = next(card for card in assignment.cards if card.text.startswith("the same words of "))
            assert len(assignment.cards) == 4
            assert {link.condition.method for link in shared.card_conditions} == {"original", "hs"}


def test_tokens_are_random_and_all_different(database: Database) -> None:
    make_open_study(database, n_neurons=4, n_raters=3)
    with database.reading() as session:
        tokens = [*session.scalars(sa.select(Assignment.token)), *session.scalars(sa.select(Card.token))]
    assert len(tokens) == len(set(tokens)) == 3 * 4 * 6
    assert all(len(bytes.fromhex(token)) == 16 for token in tokens)


def test_a_second_round_of_invitations_counts_on_and_deals_nothing_before_they_come(database: Database) -> None:
    study = make_open_study(database, n_raters=2)
    with database.writing() as session:
        later = invite_raters(session, study.slug, 2, NOW, IN_A_WEEK)
        assert [invitation.number for invitation in later] == [3, 4]
        n_dealt = Counter(session.scalars(sa.select(Rater.number).join(Assignment, Assignment.rater_id == Rater.id)))
    assert n_dealt == {1: 4, 2: 4}


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


# The joining link -----------------------------------------------------------------------------------------------------


def joining_code(database: Database, slug: str, most: int = 2) -> str:
    with database.writing() as session:
        return make_joining_link(session, slug, most, NOW, "ada")


def test_a_person_who_comes_twice_is_the_same_rater_and_two_are_two(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    code = joining_code(database, study.slug)
    with database.writing() as session:
        first = join(session, code, ExternalIds("pid-1", "study-9", "session-1"), NOW)
        again = join(session, code, ExternalIds("pid-1", "study-9", "session-2"), NOW)
        other = join(session, code, ExternalIds("pid-2"), NOW)
        assert (first.number, again.id, other.number) == (2, first.id, 3)
        assert (first.external_id, first.external_study, first.external_session) == ("pid-1", "study-9", "session-1")


def test_no_more_join_than_there_are_places_and_those_inside_come_back(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    code = joining_code(database, study.slug, most=1)
    with database.writing() as session:
        inside = join(session, code, ExternalIds("pid-1"), NOW)
        with pytest.raises(InvitationRefused, match="all places in this study are taken"):
            join(session, code, ExternalIds("pid-2"), NOW)
        assert join(session, code, ExternalIds("pid-1"), NOW).id == inside.id


def test_of_many_who_join_at_once_only_as_many_as_places_get_in(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    code = joining_code(database, study.slug, most=3)

    def come(number: int) -> bool:
        try:
            with database.writing() as session:
                # Each person twice: a double click.
                join(session, code, ExternalIds(f"pid-{number // 2}"), NOW)
        except InvitationRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        n_in = sum(threads.map(come, range(16)))
    with database.reading() as session:
        names = session.scalars(sa.select(Rater.external_id).where(Rater.external_id.is_not(None))).all()
    assert len(names) == len(set(names)) == 3
    assert n_in == 6


def test_a_new_joining_link_replaces_the_old_one(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    old, new = joining_code(database, study.slug), joining_code(database, study.slug)
    with database.writing() as session:
        with pytest.raises(InvitationRefused, match="this link is not known"):
            join(session, old, ExternalIds("pid-1"), NOW)
        assert join(session, new, ExternalIds("pid-1"), NOW).number == 2


def test_nobody_new_joins_a_paused_study_and_nobody_at_all_a_closed_one(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    code = joining_code(database, study.slug)
    with database.writing() as session:
        known = join(session, code, ExternalIds("pid-1"), NOW)
        session.execute(sa.update(Study).values(paused_at=NOW))
    with database.writing() as session:
        with pytest.raises(Conflict, match="this study is paused"):
            join(session, code, ExternalIds("pid-2"), NOW)
        assert join(session, code, ExternalIds("pid-1"), NOW).id == known.id
    close(database, study)
    with database.writing() as session, pytest.raises(Conflict, match="this study is closed"):
        join(session, code, ExternalIds("pid-1"), NOW)


def test_a_withdrawn_person_does_not_get_in_as_somebody_new(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    code = joining_code(database, study.slug)
    with database.writing() as session:
        rater = join(session, code, ExternalIds("pid-1"), NOW)
        revoke_rater(session, study.slug, rater.number, NOW)
        with pytest.raises(InvitationRefused, match="this invitation has been withdrawn"):
            join(session, code, ExternalIds("pid-1"), NOW)


def test_wrong_numbers_and_names_are_refused_by_name(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    code = joining_code(database, study.slug)
    with database.writing() as session:
        with pytest.raises(InvalidInput, match="PROLIFIC_PID of 101 characters; expected at most 100"):
            join(session, code, ExternalIds("p" * 101), NOW)
        with pytest.raises(InvalidInput, match="0 raters may join; expected 1 to 100000"):
            make_joining_link(session, study.slug, 0, NOW, "ada")


def test_a_personal_link_keeps_the_first_outside_name(database: Database) -> None:
    study = make_open_study(database, n_raters=2)
    with database.writing() as session:
        first, second = rater_of(session, study, 1), rater_of(session, study, 2)
        note_external_ids(session, first, ExternalIds("pid-1", "s", "x"))
        note_external_ids(session, first, ExternalIds("pid-9"))
        # Whoever passes a link on does not become the person who has it already.
        note_external_ids(session, second, ExternalIds("pid-1"))
        assert [(rater.external_id, rater.external_study) for rater in (first, second)] == [
            ("pid-1", "s"),
            (None, None),
        ]


# Codes ----------------------------------------------------------------------------------------------------------------


def test_completion_codes_differ_by_rater_and_study_unless_the_protocol_names_one(database: Database) -> None:
    studies = [make_open_study(database, slug=slug) for slug in ("demo", "other")]
    named = make_open_study(database, slug="named", protocol=PLAIN.model_copy(update={"completion_code": "C0DE"}))
    with database.reading() as session:
        codes = [
            completion_code(rater_of(session, s, n).study, rater_of(session, s, n)) for s in studies for n in (1, 2)
        ]
        common = {completion_code(rater_of(session, named, n).study, rater_of(session, named, n)) for n in (1, 2)}
    assert len(set(codes)) == 4
    assert all(len(code) == 8 and set(code) <= set(CODE_LETTERS) for code in codes)
    assert common == {"C0DE"}


def test_a_dry_run_has_numbers_of_its_own_and_ends_with_the_study(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    with database.writing() as session:
        assert [dry_run(session, study.slug, NOW, "ada").number for _ in range(3)] == [0, -1, -2]
        assert invite_raters(session, study.slug, 1, NOW, IN_A_WEEK)[0].number == 2
    close(database, study)
    with database.writing() as session, pytest.raises(Conflict, match="study demo is closed"):
        dry_run(session, study.slug, NOW, "ada")
