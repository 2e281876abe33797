"""What a rater is dealt: the share of each design, balanced cards, hidden checks, stored evidence."""

from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.neurons.models import Neuron
from app.puzzles.loading import load_puzzles
from app.studies.dealing.blinding import shown_text
from app.studies.dealing.share import Place, deal_share, spread
from app.studies.dealing.slots import reclaim_rater
from app.studies.invitations import dry_run, invite_raters, redeem_invitation, revoke_rater
from app.studies.lifecycle import open_study
from app.studies.models import Assignment, Card, CardCondition, Rater, Study
from app.studies.protocol import Protocol
from tests.studies.factories import (
    METHODS,
    NOW,
    PLAIN,
    bring_to_the_judging,
    distinct_text,
    judge_everything,
    make_draft,
    make_explained_subject,
    make_open_study,
    rater_of,
)


def plain(**changes: object) -> Protocol:
    return PLAIN.model_copy(update=changes)


def raters_per_neuron(session: Session) -> Counter[int]:
    """How many neurons have how many live assignments."""
    live = sa.select(Assignment.neuron_id).where(Assignment.reclaimed_at.is_(None))
    return Counter(Counter(session.scalars(live)).values())


def neurons_of(session: Session, number: int) -> list[tuple[int, int]]:
    query = sa.select(Neuron.layer, Neuron.index).join(Assignment, Assignment.neuron_id == Neuron.id).join(Rater)
    rows = session.execute(query.where(Rater.number == number, Assignment.reclaimed_at.is_(None)))
    return sorted((layer, index) for layer, index in rows)


def test_crossed_every_rater_judges_every_neuron_in_another_order(database: Database) -> None:
    make_open_study(database, n_neurons=8, n_raters=3)
    with database.reading() as session:
        orders = [
            tuple(
                session.scalars(
                    sa.select(Assignment.neuron_id).where(Assignment.rater_id == rater_id).order_by(Assignment.position)
                )
            )
            for rater_id in session.scalars(sa.select(Rater.id))
        ]
    assert len(set(orders)) == 3
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}
    assert len(orders[0]) == 8


def test_split_gives_every_neuron_to_one_rater_and_every_rater_one_of_each_layer(database: Database) -> None:
    make_open_study(database, n_neurons=8, n_raters=2, protocol=plain(sharing="split", n_raters=2))
    with database.reading() as session:
        assert raters_per_neuron(session) == {1: 8}
        for number in (1, 2):
            assert [layer for layer, _ in neurons_of(session, number)] == [0, 1, 2, 3]


def test_overlap_gives_every_neuron_to_k_raters(database: Database) -> None:
    protocol = plain(sharing="overlap", raters_per_neuron=3, n_raters=4)
    make_open_study(database, n_neurons=8, n_raters=4, protocol=protocol)
    with database.reading() as session:
        assert raters_per_neuron(session) == {3: 8}
        assert [len(neurons_of(session, number)) for number in (1, 2, 3, 4)] == [6, 6, 6, 6]


def test_mixed_shares_a_fifth_with_all_and_splits_the_rest(database: Database) -> None:
    make_open_study(database, n_neurons=10, n_raters=4, protocol=plain(sharing="mixed", n_raters=4))
    with database.reading() as session:
        assert raters_per_neuron(session) == {4: 2, 1: 8}
        assert [len(neurons_of(session, number)) for number in (1, 2, 3, 4)] == [4, 4, 4, 4]


def test_the_share_of_each_rater_can_be_set(database: Database) -> None:
    make_open_study(database, n_neurons=8, n_raters=2, protocol=plain(neurons_per_rater=3))
    with database.reading() as session:
        assert [len(neurons_of(session, number)) for number in (1, 2)] == [3, 3]


def test_a_rater_who_comes_when_every_slot_is_taken_gets_nothing(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=3, protocol=plain(sharing="split", n_raters=2))
    with database.reading() as session:
        assert neurons_of(session, 3) == []
    with database.writing() as session:
        assert deal_share(session, rater_of(session, study, 3), NOW) == 0


def test_asking_again_adds_nothing(database: Database) -> None:
    study = make_open_study(database)
    with database.writing() as session:
        assert deal_share(session, rater_of(session, study), NOW) == 0


def test_slots_of_a_revoked_rater_go_to_the_next(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=3, protocol=plain(sharing="split", n_raters=2))
    with database.writing() as session:
        before = neurons_of(session, 1)
        revoke_rater(session, study.slug, 1, NOW)
        assert deal_share(session, rater_of(session, study, 3), NOW) == 2
        assert neurons_of(session, 3) == before
        assert neurons_of(session, 1) == []


def test_a_lease_that_is_over_ends_when_somebody_asks(database: Database) -> None:
    study = make_open_study(
        database, n_neurons=4, n_raters=3, protocol=plain(sharing="split", n_raters=2, lease_hours=1)
    )
    later = NOW + timedelta(hours=1, seconds=1)
    with database.writing() as session:
        deal_share(session, rater_of(session, study, 2), later)
        assert deal_share(session, rater_of(session, study, 3), later) == 2
        assert neurons_of(session, 1) == []
        assert len(neurons_of(session, 2)) == 2


def test_who_comes_back_gets_the_same_pages_again_where_they_are_still_free(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=1, protocol=plain(sharing="split", n_raters=1))
    tokens = sa.select(Assignment.token, Assignment.position).where(Assignment.reclaimed_at.is_(None))
    with database.writing() as session:
        before = session.execute(tokens).all()
        assert reclaim_rater(session, study.slug, 1, NOW, "ada") == 4
        assert session.execute(tokens).all() == []
        assert deal_share(session, rater_of(session, study), NOW) == 4
        assert session.execute(tokens).all() == before


def test_what_was_judged_is_never_reclaimed(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=1)
    judge_everything(database, study)
    with database.writing() as session:
        assert reclaim_rater(session, study.slug, 1, NOW, "ada") == 0


@pytest.mark.parametrize("column", ["finished_at", "failed_practice_at", "deleted_at"])
def test_whoever_may_not_judge_is_dealt_nothing(database: Database, column: str) -> None:
    study = make_open_study(database, n_raters=1)
    with database.writing() as session:
        new = invite_raters(session, study.slug, 1, NOW, NOW + timedelta(days=1))[0]
        rater = redeem_invitation(session, new.code, NOW)
        setattr(rater, column, NOW)
        assert bring_to_the_judging(session, rater) == 0


def test_nobody_is_dealt_anything_while_the_study_is_paused(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    with database.writing() as session:
        session.execute(sa.update(Study).values(paused_at=NOW))
        new = invite_raters(session, study.slug, 1, NOW, NOW + timedelta(days=1))[0]
        assert bring_to_the_judging(session, redeem_invitation(session, new.code, NOW)) == 0


# Cards ----------------------------------------------------------------------------------------------------------------


def test_five_raters_of_a_neuron_see_each_method_at_each_position_once(database: Database) -> None:
    make_open_study(database, n_neurons=4, n_raters=5)
    with database.reading() as session:
        query = sa.select(Card.position, CardCondition.condition_id, Assignment.neuron_id)
        rows = session.execute(query.join(Card.card_conditions).join(Card.assignment)).all()
    assert set(Counter((row.position, row.condition_id, row.neuron_id) for row in rows).values()) == {1}
    assert len(rows) == 4 * 5 * 5


def test_checks_are_hidden_among_the_set_share_of_neurons(database: Database) -> None:
    make_open_study(database, n_neurons=8, n_raters=2, protocol=plain(check_percent=25))
    with database.reading() as session:
        checks = session.scalars(sa.select(Card).where(Card.is_check)).all()
        assert len(checks) == 2 * 2
        for check in checks:
            cards = check.assignment.cards
            own = {
                f"{distinct_text(check.assignment.neuron.layer, check.assignment.neuron.index, m)}." for m in METHODS
            }
            assert sorted(card.position for card in cards) == list(range(6))
            assert {card.text for card in cards} - {check.text} == own
            assert check.text not in own
            assert check.card_conditions == []


def test_checks_can_come_from_puzzles(database: Database) -> None:
    make_open_study(database, n_neurons=4, n_raters=1, protocol=plain(check_percent=100, check_source="puzzles"))
    falses = {shown_text(text) for puzzle in load_puzzles() for text in puzzle.falses}
    with database.reading() as session:
        texts = session.scalars(sa.select(Card.text).where(Card.is_check)).all()
    assert len(texts) == 4
    assert set(texts) <= falses


def test_the_evidence_is_stored_with_the_assignment(database: Database) -> None:
    protocol = plain(evidence={"top": 1, "random": 5}, shows_explained=False)
    make_open_study(database, n_neurons=2, n_raters=1, protocol=protocol, n_top=7)
    with database.reading() as session:
        evidence = session.scalars(sa.select(Assignment.evidence)).all()
    # Seven top excerpts are recorded; the explainer sees 0, 1, 2, 4 and 5.
    assert evidence == [{"top": [3], "random": [0]}] * 2


# Dry runs -------------------------------------------------------------------------------------------------------------


def test_a_dry_run_of_a_draft_shows_the_texts_there_are(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=2)
        rater = redeem_invitation(session, dry_run(session, "demo", NOW, "ada").code, NOW)
        assert bring_to_the_judging(session, rater) == 4
        texts = set(session.scalars(sa.select(Card.text)))
    assert texts == {f"{distinct_text(layer, index, m)}." for layer in (0, 1) for index in (0, 1) for m in METHODS}


def test_a_dry_run_takes_no_slot_and_no_number(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=1, protocol=plain(sharing="split", n_raters=2))
    with database.writing() as session:
        invitation = dry_run(session, study.slug, NOW, "ada")
        assert invitation.number == 0
        assert bring_to_the_judging(session, redeem_invitation(session, invitation.code, NOW)) == 2
        second = invite_raters(session, study.slug, 1, NOW, NOW + timedelta(days=1))[0]
        assert second.number == 2
        assert bring_to_the_judging(session, redeem_invitation(session, second.code, NOW)) == 2


def test_a_dry_run_does_not_open_or_close_anything(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=2)
        rater = redeem_invitation(session, dry_run(session, "demo", NOW, "ada").code, NOW)
        bring_to_the_judging(session, rater)
        open_study(session, "demo", NOW)
        # Its cards were dealt from texts that were not frozen yet.
        assert session.get_one(Rater, rater.id, populate_existing=True).revoked_at is not None


def place(position: int, layer: int, n_taken: int = 0) -> Place:
    return Place(neuron_id=position, position=position, layer=layer, quota=3, n_taken=n_taken)


def test_layers_come_before_coverage_and_coverage_before_the_draw() -> None:
    candidates = [place(0, 0, 2), place(1, 0, 1), place(2, 1, 2), place(3, 1, 2), place(4, 2, 0)]
    chosen = spread(candidates, Counter({2: 1}), 4)
    assert [one.position for one in chosen] == [1, 2, 4, 0]
