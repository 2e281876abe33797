"""The questions at the end: what they ask about, what they never tell, and that they are answered once."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.studies.models import Assignment, Card, Condition, Guess, Rater
from app.studies.rating.stages import finish
from app.studies.rating.survey import GuessNeuron, guess_labels, guess_neurons, labels_of, store_survey
from tests.studies.factories import (
    METHODS,
    NOW,
    PLAIN,
    OpenStudy,
    close,
    judge_everything,
    make_open_study,
    rater_of,
)

ASKING = PLAIN.model_copy(update={"asks_for_guesses": True})
LABELS = ("AVHS", "Highlight", "HS", "Original", "Summary")


def make_finished(database: Database, **how: object) -> OpenStudy:
    """A study that asks for guesses, whose rater 1 has judged everything and finished."""
    study = make_open_study(database, **({"n_neurons": 4, "protocol": ASKING} | how))  # type: ignore[arg-type]
    judge_everything(database, study)
    with database.writing() as session:
        finish(session, rater_of(session, study), NOW)
    return study


def asked(session: Session, study: OpenStudy, number: int = 1) -> tuple[GuessNeuron, ...]:
    return guess_neurons(session, rater_of(session, study, number))


def stored(session: Session) -> dict[str, str | None]:
    """Card token -> method that was guessed."""
    rows = session.execute(
        sa.select(Card.token, Condition.method)
        .select_from(Guess)
        .join(Card, Card.id == Guess.card_id)
        .join(Condition, Condition.id == Guess.condition_id, isouter=True)
    )
    return {row.token: row.method for row in rows}


def test_three_judged_neurons_are_asked_about_with_all_their_descriptions_in_page_order(database: Database) -> None:
    study = make_finished(database)
    with database.reading() as session:
        neurons = asked(session, study)
        assert [len(neuron.cards) for neuron in neurons] == [5, 5, 5]
        order = sa.select(Card.token, Card.text).join(Assignment).join(Rater).where(Rater.number == 1)
        rows = session.execute(order.order_by(Assignment.position, Card.position)).all()
        shown = [(card.token, card.text) for neuron in neurons for card in neuron.cards]
        assert shown == [tuple(row) for row in rows if tuple(row) in shown]
        assert asked(session, study) == neurons


def test_another_key_asks_about_other_neurons(database: Database) -> None:
    names = set()
    for number in range(6):
        study = make_finished(database, slug=f"study-{number}", order_key=bytes([number]) * 32)
        with database.reading() as session:
            names.add(frozenset(neuron.name for neuron in asked(session, study)))
    assert len(names) > 1


def test_neurons_that_could_not_be_judged_are_not_asked_about(database: Database) -> None:
    study = make_finished(database, n_neurons=2)
    with database.writing() as session:
        first = session.scalars(sa.select(Assignment).where(Assignment.submitted_at.is_not(None))).first()
        assert first is not None
        first.cannot_judge = "no_pattern"
        session.flush()
        neuron = session.get_one(Assignment, first.id).neuron
        assert len(asked(session, study)) == 1
        assert f"{neuron.layer}:{neuron.index}" not in [one.name for one in asked(session, study)]


def test_a_false_description_is_never_asked_about_and_its_neuron_only_when_there_is_no_other(
    database: Database,
) -> None:
    study = make_finished(database)
    with database.writing() as session:
        mine = sa.select(Assignment).where(Assignment.submitted_at.is_not(None)).order_by(Assignment.position)
        assignments = session.scalars(mine).all()
        assignments[0].cards[2].is_check = True
        session.flush()
        with_check = assignments[0].neuron
        names = [neuron.name for neuron in asked(session, study)]
        assert len(names) == 3
        assert f"{with_check.layer}:{with_check.index}" not in names
        for assignment in assignments[1:]:
            assignment.cards[0].is_check = True
        session.flush()
        assert [len(neuron.cards) for neuron in asked(session, study)] == [4, 4, 4]


def test_a_protocol_that_does_not_ask_asks_for_no_guess(database: Database) -> None:
    study = make_finished(database, protocol=PLAIN)
    with database.reading() as session:
        assert asked(session, study) == ()


def test_labels_are_alphabetical_whichever_condition_came_first(database: Database) -> None:
    study = make_finished(database)
    with database.writing() as session:
        assert guess_labels(rater_of(session, study)) == LABELS
        count = len(METHODS)
        session.execute(sa.update(Condition).values(position=Condition.position + count))
        session.execute(sa.update(Condition).values(position=2 * count - 1 - Condition.position))
        session.expire_all()
        assert guess_labels(rater_of(session, study)) == LABELS


def test_labels_name_the_explainer_only_where_there_are_several() -> None:
    assert labels_of([("hs", "a"), ("avhs", "a")]) == ("HS", "AVHS")
    assert labels_of([("hs", "a"), ("hs", "b")]) == ("HS, a", "HS, b")


def test_guesses_and_comment_are_stored_once(database: Database) -> None:
    study = make_finished(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        cards = asked(session, study)[0].cards
        guesses = {cards[0].token: 0, cards[1].token: 4, cards[2].token: None}
        store_survey(session, rater, guesses, "  Long,\r\nbut fine. ", NOW)
        store_survey(session, rater, {cards[3].token: 1}, "again", NOW)
        assert stored(session) == {cards[0].token: "avhs", cards[1].token: "summary", cards[2].token: None}
        assert (rater.comment, rater.surveyed_at) == ("Long,\nbut fine.", NOW)


def test_everything_may_be_skipped(database: Database) -> None:
    study = make_finished(database)
    with database.writing() as session:
        rater = rater_of(session, study)
        store_survey(session, rater, {}, "", NOW)
        assert (stored(session), rater.comment, rater.surveyed_at) == ({}, None, NOW)


def test_what_was_not_asked_or_is_too_long_is_refused_whole(database: Database) -> None:
    study = make_finished(database)
    judge_everything(database, study, 2)
    with database.writing() as session:
        rater = rater_of(session, study)
        token = asked(session, study)[0].cards[0].token
        theirs = asked(session, study, 2)[0].cards[0].token
        for guesses, comment, problem in (
            ({theirs: 0}, "", "a description that was not asked about"),
            ({token: 5}, "", "guess 5; expected 0 to 4"),
            ({token: -1}, "", "guess -1; expected 0 to 4"),
            ({token: 0}, "x" * 2001, "comment of 2001 characters; expected at most 2000"),
        ):
            with pytest.raises(InvalidInput, match=problem), session.begin_nested():
                store_survey(session, rater, guesses, comment, NOW)
        session.expire_all()
        assert (stored(session), rater_of(session, study).surveyed_at) == ({}, None)


def test_the_questions_wait_for_the_end_and_end_with_the_study(database: Database) -> None:
    study = make_finished(database)
    with database.writing() as session, pytest.raises(Conflict, match="after the last neuron"):
        store_survey(session, rater_of(session, study, 2), {}, "too early", NOW)
    with database.reading() as session:
        rater = rater_of(session, study)
    close(database, study)
    with database.writing() as session, pytest.raises(Conflict, match="while the study is open"):
        store_survey(session, session.get_one(Rater, rater.id), {}, "too late", NOW)
