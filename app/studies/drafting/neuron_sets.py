"""Which neurons a study is about: so many per layer or in all, drawn with a seed, those of a CSV, or a saved set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.choosing import SavedSet
from app.errors import InvalidInput, UnknownName
from app.explanations.models import DONE, Explanation
from app.neurons.lists import ListedNeurons, first_reasons, listed_neurons
from app.neurons.models import MLP, Neuron, NeuronSetMember, SubjectModel
from app.neurons.reading import subject_named
from app.neurons.sets import find_set
from app.studies.conditions import Conditions, condition_name
from app.studies.dealing.design import keyed_permutation
from app.studies.drafting.spreading import evenly_spread


@dataclass(frozen=True)
class PerLayer:
    """n neurons of each of these layers (None: of every layer), drawn with the study's seed."""

    n: int
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Stratified:
    """n neurons in all, drawn with the study's seed and spread evenly over these layers (None: over every layer)."""

    n: int
    layers: tuple[int, ...] | None = None


NeuronSet = PerLayer | Stratified | ListedNeurons | SavedSet


def chosen_neurons(
    session: Session, subject: SubjectModel, conditions: Conditions, neurons: NeuronSet, seed: int
) -> list[Neuron]:
    """The neurons of the set, by layer and index.

    Errors: InvalidInput, which says what is missing where; UnknownName for a set that is not saved.
    """
    if isinstance(neurons, PerLayer):
        chosen = _drawn(session, subject, conditions, neurons, seed)
    elif isinstance(neurons, Stratified):
        chosen = _spread(session, subject, conditions, neurons, seed)
    elif isinstance(neurons, SavedSet):
        chosen = _saved(session, subject, conditions, neurons)
    else:
        chosen = listed_neurons(session, subject, neurons, _objection(session, subject, conditions))
    return sorted(chosen, key=lambda neuron: (neuron.layer, neuron.index))


def described_choice(neurons: NeuronSet, n: int, seed: int) -> dict[str, Any]:
    """How the n neurons were chosen, for people to read."""
    if isinstance(neurons, ListedNeurons):
        return {"kind": "csv", "file": neurons.file_name, "n_neurons": n, "seed": seed}
    if isinstance(neurons, SavedSet):
        return {"kind": "saved set", "name": neurons.name.strip(), "n_neurons": n, "seed": seed}
    layers = "all" if neurons.layers is None else list(neurons.layers)
    if isinstance(neurons, Stratified):
        return {"kind": "spread over the layers", "layers": layers, "n_neurons": n, "seed": seed}
    return {"kind": "per layer", "n_per_layer": neurons.n, "layers": layers, "n_neurons": n, "seed": seed}


def qualifying_neurons(
    session: Session, subject_name: str, conditions: Conditions, layers: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """(layer, index) of every neuron that all conditions have described, in order.

    Errors: UnknownName for the subject.
    """
    subject = subject_named(session, subject_name)
    query = _qualifying(subject, conditions, layers).order_by(Neuron.layer, Neuron.index)
    return [(neuron.layer, neuron.index) for neuron in session.scalars(query)]


def check_conditions_exist(session: Session, subject: SubjectModel, conditions: Conditions) -> None:
    """Refuses a condition that has described no neuron of this subject.

    Errors: UnknownName, with the conditions there are.
    """
    unknown = [condition for condition in conditions if not _exists(session, subject, condition)]
    if not unknown:
        return
    # Only the error needs the whole list, which reads every explanation of the subject.
    pairs = sa.select(Explanation.method, Explanation.explainer).join(Explanation.neuron).distinct()
    mine = pairs.where(Neuron.subject_id == subject.id, Explanation.status == DONE, Explanation.side == "positive")
    in_order = session.execute(mine.order_by(*pairs.selected_columns))
    known = ", ".join(condition_name(*pair) for pair in in_order) or "none yet"
    missing = ", ".join(condition_name(*condition) for condition in unknown)
    raise UnknownName(f"no explanation of {subject.name} by {missing}; there are explanations by: {known}")


def _exists(session: Session, subject: SubjectModel, condition: tuple[str, str]) -> bool:
    described = sa.exists().where(Neuron.subject_id == subject.id, _described_by(condition))
    return bool(session.scalar(sa.select(described)))


def _described_by(condition: tuple[str, str]) -> sa.ColumnElement[bool]:
    """Whether the neuron at hand has an explanation by this condition: one look into the index of explanations."""
    method, explainer = condition
    mine = (Explanation.neuron_id == Neuron.id, Explanation.method == method, Explanation.explainer == explainer)
    is_judged = (Explanation.status == DONE, Explanation.side == "positive")
    return sa.exists().where(*mine, *is_judged).correlate(Neuron)


def _qualifying(subject: SubjectModel, conditions: Conditions, layers: Sequence[int] | None) -> sa.Select[Neuron]:
    query = sa.select(Neuron).where(Neuron.subject_id == subject.id, Neuron.site == MLP)
    if layers is not None:
        query = query.where(Neuron.layer.in_(layers))
    return query.where(*(_described_by(condition) for condition in conditions))


def _drawn(
    session: Session, subject: SubjectModel, conditions: Conditions, neurons: PerLayer, seed: int
) -> list[Neuron]:
    if neurons.n < 1:
        raise InvalidInput(f"{neurons.n} neurons per layer; expected 1 or more")
    by_layer = _shuffled(session, subject, conditions, neurons.layers, seed)
    if short := [layer for layer in by_layer if len(by_layer[layer]) < neurons.n]:
        counts = ", ".join(f"layer {layer}: {len(by_layer[layer])}" for layer in short)
        raise InvalidInput(
            f"too few neurons have an explanation by every condition: {counts}; expected {neurons.n} in each"
        )
    return [neuron for candidates in by_layer.values() for neuron in candidates[: neurons.n]]


def _spread(
    session: Session, subject: SubjectModel, conditions: Conditions, neurons: Stratified, seed: int
) -> list[Neuron]:
    """One more from each layer, round after round; the last round takes layers at equal distances."""
    if neurons.n < 1:
        raise InvalidInput(f"{neurons.n} neurons; expected 1 or more")
    by_layer = _shuffled(session, subject, conditions, neurons.layers, seed)
    if (n_known := sum(map(len, by_layer.values()))) < neurons.n:
        raise InvalidInput(f"{n_known} neurons have an explanation by every condition; expected {neurons.n} or more")
    chosen: list[Neuron] = []
    for turn in range(neurons.n):
        layers = [layer for layer in by_layer if len(by_layer[layer]) > turn]
        n = min(neurons.n - len(chosen), len(layers))
        taken = evenly_spread(str(seed).encode(), n, len(layers), "draw", turn)
        chosen += [by_layer[layers[place]][turn] for place in taken]
    return chosen


def _saved(session: Session, subject: SubjectModel, conditions: Conditions, neurons: SavedSet) -> list[Neuron]:
    set_id = find_set(session, subject, neurons.name).id
    of_set = sa.select(Neuron).join(NeuronSetMember, NeuronSetMember.neuron_id == Neuron.id)
    members = list(session.scalars(of_set.where(NeuronSetMember.set_id == set_id).order_by(Neuron.layer, Neuron.index)))
    objections = [reason for reason in map(_objection(session, subject, conditions), members) if reason is not None]
    if objections or not members:
        raise InvalidInput(f"neuron set {neurons.name.strip()!r}: {first_reasons(objections) or 'no neuron is in it'}")
    return members


def _shuffled(
    session: Session, subject: SubjectModel, conditions: Conditions, wanted: tuple[int, ...] | None, seed: int
) -> dict[int, list[Neuron]]:
    """The neurons that every condition has described, by layer and there in the order of the draw."""
    layers = _checked_layers(subject, wanted)
    by_layer: dict[int, list[Neuron]] = {layer: [] for layer in layers}
    # Sorted by index first: the draw must depend on the seed alone and not on how the rows came back.
    for neuron in session.scalars(_qualifying(subject, conditions, layers).order_by(Neuron.index)):
        by_layer[neuron.layer].append(neuron)
    key = str(seed).encode()
    return {
        layer: [candidates[place] for place in keyed_permutation(key, len(candidates), "draw", layer)]
        for layer, candidates in by_layer.items()
    }


def _checked_layers(subject: SubjectModel, wanted: tuple[int, ...] | None) -> Sequence[int]:
    layers = range(subject.n_layers) if wanted is None else sorted(set(wanted))
    if not layers:
        raise InvalidInput("no layer was given; expected one or more")
    if beyond := [layer for layer in layers if not 0 <= layer < subject.n_layers]:
        raise InvalidInput(f"{subject.name} has no layer {beyond[0]}; expected 0 to {subject.n_layers - 1}")
    return layers


def _objection(session: Session, subject: SubjectModel, conditions: Conditions) -> Callable[[Neuron], str | None]:
    """Why a neuron cannot be taken: the conditions that have not described it."""
    described = {condition: set(session.scalars(_ids_described(subject, condition))) for condition in conditions}

    def objection(neuron: Neuron) -> str | None:
        missing = [condition_name(*condition) for condition in conditions if neuron.id not in described[condition]]
        place = f"neuron {neuron.layer}:{neuron.index}"
        return f"{place} has no explanation by {', '.join(missing)}" if missing else None

    return objection


def _ids_described(subject: SubjectModel, condition: tuple[str, str]) -> sa.Select[int]:
    return _qualifying(subject, [condition], None).with_only_columns(Neuron.id)
