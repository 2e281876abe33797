"""The questions after the last neuron: which description came from which condition, and a comment.

By now the answers stand, so a rater may learn which conditions there are; never which of them wrote what. The choice
of descriptions and the order of everything depend on the key, the rater and the positions alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from app.errors import Conflict, InvalidInput
from app.explanations.methods import method_title
from app.studies.dealing.design import keyed_permutation
from app.studies.models import Assignment, Card, Guess, Rater
from app.studies.protocol import Protocol
from app.studies.rating.entries import checked_comment
from app.studies.rating.review import neuron_name
from app.studies.rating.stages import Stage, current_stage

MOST_NEURONS = 3
"""Of which a rater is asked: enough for a blinding index over all raters, little enough for one to answer."""


@dataclass(frozen=True)
class GuessCard:
    """token: the card's. text: its description."""

    token: str
    text: str


@dataclass(frozen=True)
class GuessNeuron:
    """name: as on the rater's pages, "7:12" or "3". cards: its real descriptions in the order of its page."""

    name: str
    cards: tuple[GuessCard, ...]


def guess_neurons(session: Session, rater: Rater) -> tuple[GuessNeuron, ...]:
    """Up to MOST_NEURONS of the rater's judged neurons, in the rater's order; none where the protocol does not ask."""
    protocol = Protocol.model_validate(rater.study.protocol)
    if not protocol.asks_for_guesses:
        return ()
    submitted = _submitted(session, rater)
    chosen = _chosen(rater.study.order_key, rater.number, submitted)
    return tuple(
        GuessNeuron(neuron_name(one.neuron, number, protocol.names_neurons), _real_cards(one))
        for number, one in enumerate(submitted, start=1)
        if one in chosen
    )


def _submitted(session: Session, rater: Rater) -> Sequence[Assignment]:
    query = sa.select(Assignment).options(selectinload(Assignment.cards), joinedload(Assignment.neuron))
    mine = query.where(Assignment.rater_id == rater.id, Assignment.submitted_at.is_not(None))
    return session.scalars(mine.order_by(Assignment.position)).all()


def _chosen(key: bytes, rater_number: int, submitted: Sequence[Assignment]) -> list[Assignment]:
    judged = [one for one in submitted if one.cannot_judge is None]
    shuffled = [judged[i] for i in keyed_permutation(key, len(judged), "guesses", rater_number)]
    # Neurons with a check come last: asked about all descriptions but one, a rater would see which one was false.
    return sorted(shuffled, key=lambda one: any(card.is_check for card in one.cards))[:MOST_NEURONS]


def _real_cards(assignment: Assignment) -> tuple[GuessCard, ...]:
    return tuple(GuessCard(card.token, card.text) for card in assignment.cards if not card.is_check)


def labels_of(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What raters read for each (method, explainer), in the order given: the method's title, and the explainer where
    there are several."""
    known = tuple(pairs)
    has_several = len({explainer for _, explainer in known}) > 1
    titles = [method_title(method) for method, _ in known]
    return tuple(
        f"{title}, {explainer}" if has_several else title for title, (_, explainer) in zip(titles, known, strict=True)
    )


def guess_labels(rater: Rater) -> tuple[str, ...]:
    """The labels of the study's conditions, alphabetically: an order that tells nothing."""
    return tuple(label for label, _ in _labelled_conditions(rater))


def _labelled_conditions(rater: Rater) -> list[tuple[str, int]]:
    conditions = rater.study.conditions
    labels = labels_of((condition.method, condition.explainer) for condition in conditions)
    ids = [condition.id for condition in conditions]
    return sorted(zip(labels, ids, strict=True), key=lambda one: (one[0].casefold(), one[0]))


def store_survey(
    session: Session, rater: Rater, guesses: Mapping[str, int | None], comment: str, now: datetime
) -> None:
    """Stores the answers, which may be none; a second time nothing changes.

    guesses: card token -> index of a label, or None for "cannot tell"; left out: not answered.
    Errors: Conflict before the rater has finished; InvalidInput for a card that was not asked about, a label that is
    not there or a comment that is too long.
    """
    # One answer at a time for one rater: the second of two equal ones finds the first.
    locked = sa.select(Rater).where(Rater.id == rater.id).with_for_update(of=Rater, key_share=True)
    session.scalars(locked.execution_options(populate_existing=True)).one()
    if rater.surveyed_at is not None:
        return
    if current_stage(session, rater) is not Stage.SURVEY:
        raise Conflict("the last questions come after the last neuron, while the study is open")
    rater.comment = checked_comment(comment) or None
    session.add_all(_guesses(session, rater, guesses))
    rater.surveyed_at = now
    session.flush()


def _guesses(session: Session, rater: Rater, guesses: Mapping[str, int | None]) -> list[Guess]:
    asked = [card.token for neuron in guess_neurons(session, rater) for card in neuron.cards]
    if not set(guesses) <= set(asked):
        raise InvalidInput("a guess about a description that was not asked about; reload the page and answer again")
    rows = session.execute(sa.select(Card.token, Card.id).where(Card.token.in_(guesses)))
    card_ids = {row.token: row.id for row in rows}
    conditions = [condition_id for _, condition_id in _labelled_conditions(rater)]
    return [Guess(card_id=card_ids[token], condition_id=_at(conditions, index)) for token, index in guesses.items()]


def _at(conditions: Sequence[int], index: int | None) -> int | None:
    if index is None:
        return None
    if not 0 <= index < len(conditions):
        raise InvalidInput(f"guess {index}; expected 0 to {len(conditions) - 1}")
    return conditions[index]
