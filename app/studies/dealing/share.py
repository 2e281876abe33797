"""Deals a rater's share: which neurons, in which order, with which cards where, and what evidence beside them.

Works while the study's row is locked: who takes which slot is decided by one rater after the other. The orders come
from design.py, the cards from blinding.py, the false ones from checks.py; which neurons are free, from slots.py.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.models import Explanation
from app.neurons.models import ActivationRow, Neuron
from app.studies.dealing.blinding import DealtCard, deal_cards
from app.studies.dealing.checks import check_place, checked_positions, false_text
from app.studies.dealing.design import keyed_digest, neuron_order, neuron_ranks
from app.studies.dealing.evidence import shown_ranks
from app.studies.dealing.showing import pool_of_false_texts, texts_by_neuron
from app.studies.dealing.slots import is_live, reclaim_expired, slots_taken, takes_slots, touch_lease
from app.studies.models import CLOSED, OPEN, Assignment, Card, CardCondition, FrozenText, Rater, Study, StudyNeuron
from app.studies.protocol import Protocol
from app.studies.queries import locked_study_of

TOKEN_BYTES = 16
Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A neuron of the study as dealing sees it. n_taken: live assignments. quota: None for every rater."""

    neuron_id: int
    position: int
    layer: int
    quota: int | None
    n_taken: int

    @property
    def is_free(self) -> bool:
        return self.quota is None or self.n_taken < self.quota


def deal_share(session: Session, rater: Rater, now: datetime) -> int:
    """Gives the rater what is left of their share, as far as slots are free; how many neurons were added.

    Neurons of the rater's own that were reclaimed come back first, then new ones. Leases that are over end here, so
    that the slots of those who stopped go to those who ask. Nothing for a rater who may not judge, while the study is
    paused or after its closing; a dry run is dealt from a draft too. session: a writing one.
    """
    study = locked_study_of(session, rater.id)
    rater = session.get_one(Rater, rater.id, populate_existing=True)
    touch_lease(session, rater, now)
    if not _may_be_dealt(study, rater):
        return 0
    if not rater.is_dry_run:
        reclaim_expired(session, study, now)
    places = _places(session, study)
    protocol = Protocol.model_validate(study.protocol)
    n_wanted = protocol.share_of_each(len(places)) - _n_held(session, rater)
    n_back = _give_back(session, rater, places, n_wanted)
    chosen = _chosen(session, study, rater, places, n_wanted - n_back)
    if chosen:
        _deal(session, study, protocol, rater, chosen, len(places))
    return n_back + len(chosen)


def new_token() -> str:
    """128 random bits, hexadecimal: all that a browser learns about a row."""
    return secrets.token_hex(TOKEN_BYTES)


def _may_be_dealt(study: Study, rater: Rater) -> bool:
    ended = (rater.revoked_at, rater.deleted_at, rater.finished_at, rater.failed_practice_at)
    is_running = study.status != CLOSED if rater.is_dry_run else study.status == OPEN and study.paused_at is None
    return is_running and all(moment is None for moment in ended)


def _places(session: Session, study: Study) -> list[Place]:
    taken = slots_taken(session, study)
    query = sa.select(StudyNeuron.neuron_id, StudyNeuron.position, Neuron.layer, StudyNeuron.quota)
    mine = query.join(StudyNeuron.neuron).where(StudyNeuron.study_id == study.id).order_by(StudyNeuron.position)
    return [Place(*row, n_taken=taken[row.neuron_id]) for row in session.execute(mine)]


def _n_held(session: Session, rater: Rater) -> int:
    mine = sa.select(sa.func.count()).select_from(Assignment).where(Assignment.rater_id == rater.id, is_live())
    return session.scalar(mine) or 0


# Which neurons --------------------------------------------------------------------------------------------------------


def _give_back(session: Session, rater: Rater, places: Sequence[Place], n: int) -> int:
    """The rater's reclaimed neurons whose slots nobody took, at most n, in the rater's order."""
    free = {place.neuron_id for place in places if place.is_free or rater.is_dry_run}
    mine = sa.select(Assignment.id, Assignment.neuron_id).where(Assignment.rater_id == rater.id, ~is_live())
    rows = session.execute(mine.order_by(Assignment.position)).all()
    ids = [row.id for row in rows if row.neuron_id in free][: max(n, 0)]
    session.execute(sa.update(Assignment).where(Assignment.id.in_(ids)).values(reclaimed_at=None))
    return len(ids)


def _chosen(session: Session, study: Study, rater: Rater, places: Sequence[Place], n: int) -> list[Place]:
    """n free neurons that the rater never had, those for every rater first."""
    had = sa.select(Assignment.neuron_id, Neuron.layer).join(Assignment.neuron).where(Assignment.rater_id == rater.id)
    layer_of = dict(session.execute(had).all())
    free = [p for p in places if p.neuron_id not in layer_of and (p.is_free or rater.is_dry_run)]
    free.sort(key=lambda place: keyed_digest(study.order_key, "share", rater.number, place.position))
    shared = [place for place in free if place.quota is None][: max(n, 0)]
    n_of_layer = Counter(layer_of.values()) + Counter(place.layer for place in shared)
    return shared + spread([place for place in free if place.quota is not None], n_of_layer, n - len(shared))


def spread(candidates: Sequence[Place], n_of_layer: Counter[int], n: int) -> list[Place]:
    """n of the candidates: one layer after the other, within a layer the least judged first, then in the order given.

    n_of_layer: how many neurons of each layer the rater has already; the paper gives each rater one of every layer.
    """
    n_of_layer = Counter(n_of_layer)
    remaining = list(candidates)
    chosen: list[Place] = []
    while remaining and len(chosen) < n:
        best = min(remaining, key=lambda place: (n_of_layer[place.layer], place.n_taken))
        remaining.remove(best)
        chosen.append(best)
        n_of_layer[best.layer] += 1
    return chosen


# Cards ----------------------------------------------------------------------------------------------------------------


def _deal(
    session: Session, study: Study, protocol: Protocol, rater: Rater, chosen: Sequence[Place], n_neurons: int
) -> None:
    key, by_position = study.order_key, {place.position: place for place in chosen}
    order = [by_position[position] for position in neuron_order(key, rater.number, tuple(by_position))]
    texts = texts_by_neuron(session, study, [place.neuron_id for place in order])
    hands = _hands(session, study, protocol, rater, order, texts, neuron_ranks(key, n_neurons))
    assignment_ids = _stored(session, Assignment, _frames(session, protocol, rater, order))
    card_rows = [
        {"assignment_id": assignment_id, "position": position, "token": new_token(), "text": card.text}
        | {"is_check": not card.members}
        for assignment_id, hand in zip(assignment_ids, hands, strict=True)
        for position, card in enumerate(hand)
    ]
    card_ids = _stored(session, Card, card_rows)
    condition_ids = [condition.id for condition in study.conditions]
    dealt = [card for hand in hands for card in hand]
    links = [
        {"card_id": card_id, "condition_id": condition_ids[member], "assignment_id": row["assignment_id"]}
        for card_id, row, card in zip(card_ids, card_rows, dealt, strict=True)
        for member in card.members
    ]
    session.execute(sa.insert(CardCondition), links)


def _hands(
    session: Session,
    study: Study,
    protocol: Protocol,
    rater: Rater,
    order: Sequence[Place],
    texts: dict[int, list[str]],
    ranks: Sequence[int],
) -> list[list[DealtCard]]:
    """The cards of each neuron in the order of its page; a false one has no members."""
    key = study.order_key
    ordinals = _n_dealt(session, study)
    checked = checked_positions(key, rater.number, [place.position for place in order], protocol.check_percent)
    pool = pool_of_false_texts(session, study, protocol.check_source) if checked else []
    hands = []
    for place in order:
        own = texts[place.neuron_id]
        hand = list(deal_cards(key, ordinals[place.neuron_id], ranks[place.position], place.position, own))
        if place.position in checked and (text := false_text(key, rater.number, place.position, own, pool)):
            hand.insert(check_place(key, rater.number, place.position, len(hand)), DealtCard(text, ()))
        hands.append(hand)
    return hands


def _n_dealt(session: Session, study: Study) -> Counter[int]:
    """How many raters were dealt each neuron so far, by its id; reclaimed ones too: their order was used."""
    query = sa.select(Assignment.neuron_id, sa.func.count()).join(Assignment.rater)
    rows = session.execute(query.where(takes_slots(study.id)).group_by(Assignment.neuron_id))
    return Counter(dict(rows.all()))


def _frames(session: Session, protocol: Protocol, rater: Rater, order: Sequence[Place]) -> list[Row]:
    last = session.scalar(sa.select(sa.func.max(Assignment.position)).where(Assignment.rater_id == rater.id))
    first = 0 if last is None else last + 1
    recorded = _n_by_band(session, [place.neuron_id for place in order])
    prompt_packs = _prompt_packs(session, rater.study_id, [place.neuron_id for place in order])
    return [
        {"rater_id": rater.id, "neuron_id": place.neuron_id, "position": first + i, "token": new_token()}
        | {"evidence": shown_ranks(protocol, recorded.get(place.neuron_id, {}), prompt_packs[place.neuron_id])}
        for i, place in enumerate(order)
    ]


def _prompt_packs(session: Session, study_id: int, neuron_ids: Sequence[int]) -> dict[int, list[str]]:
    """Of the descriptions of each of these neurons, by its id."""
    frozen = sa.select(FrozenText.neuron_id, Explanation.prompt_pack).join(FrozenText.explanation)
    mine = frozen.where(FrozenText.study_id == study_id, FrozenText.neuron_id.in_(neuron_ids)).distinct()
    packs: dict[int, list[str]] = {neuron_id: [] for neuron_id in neuron_ids}
    for neuron_id, prompt_pack in session.execute(mine):
        packs[neuron_id].append(prompt_pack)
    return packs


def _n_by_band(session: Session, neuron_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    columns = (ActivationRow.neuron_id, ActivationRow.band)
    query = sa.select(*columns, sa.func.count()).where(ActivationRow.neuron_id.in_(neuron_ids)).group_by(*columns)
    counts: dict[int, dict[str, int]] = {}
    for neuron_id, band, n in session.execute(query):
        counts.setdefault(neuron_id, {})[band] = n
    return counts


def _stored(session: Session, table: type[Assignment | Card], rows: list[Row]) -> Sequence[int]:
    """Stores the rows and returns their ids in the order of the rows."""
    return session.scalars(sa.insert(table).returning(table.id, sort_by_parameter_order=True), rows).all()
