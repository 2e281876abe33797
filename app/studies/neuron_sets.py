"""Which neurons a study is about: so many per layer, drawn with a seed, or those of a CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput, UnknownName
from app.explanations.models import DONE, Explanation
from app.neurons.models import MLP, Neuron, SubjectModel
from app.studies.design import keyed_permutation

MOST_REASONS_SHOWN = 20
Conditions = Sequence[tuple[str, str]]
"""(method, explainer) pairs."""


@dataclass(frozen=True)
class PerLayer:
    """n neurons of each of these layers (None: of every layer), drawn with the study's seed."""

    n: int
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ListedNeurons:
    """The neurons of a CSV text with the columns `layer` and `neuron`; others are ignored. file_name: for messages."""

    file_name: str
    text: str


NeuronSet = PerLayer | ListedNeurons


def chosen_neurons(
    session: Session, subject: SubjectModel, conditions: Conditions, neurons: NeuronSet, seed: int
) -> list[Neuron]:
    """The neurons of the set, by layer and index. Errors: InvalidInput, which says what is missing where."""
    if isinstance(neurons, PerLayer):
        chosen = _drawn(session, subject, conditions, neurons, seed)
    else:
        chosen = _listed(session, subject, conditions, neurons)
    return sorted(chosen, key=lambda neuron: (neuron.layer, neuron.index))


def described_choice(neurons: NeuronSet, n: int, seed: int) -> dict[str, Any]:
    """How the n neurons were chosen, for people to read."""
    if isinstance(neurons, PerLayer):
        layers = "all" if neurons.layers is None else list(neurons.layers)
        return {"kind": "per layer", "n_per_layer": neurons.n, "layers": layers, "n_neurons": n, "seed": seed}
    return {"kind": "csv", "file": neurons.file_name, "n_neurons": n, "seed": seed}


def qualifying_neurons(
    session: Session, subject_name: str, conditions: Conditions, layers: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """(layer, index) of every neuron that all conditions have described, in order.

    Errors: UnknownName for the subject.
    """
    subject = subject_named(session, subject_name)
    query = _qualifying(subject, conditions, layers).order_by(Neuron.layer, Neuron.index)
    return [(neuron.layer, neuron.index) for neuron in session.scalars(query)]


def subject_named(session: Session, name: str) -> SubjectModel:
    """The subject model of that name. Errors: UnknownName, with the names there are."""
    subject = session.scalar(sa.select(SubjectModel).where(SubjectModel.name == name))
    if subject is None:
        names = ", ".join(session.scalars(sa.select(SubjectModel.name).order_by(SubjectModel.name))) or "none yet"
        raise UnknownName(f"there is no subject model {name!r}; recorded are: {names}")
    return subject


def check_conditions_exist(session: Session, subject: SubjectModel, conditions: Conditions) -> None:
    """Refuses a condition that has described no neuron of this subject.

    Errors: UnknownName, with the conditions there are.
    """
    unknown = [condition for condition in conditions if not _exists(session, subject, condition)]
    if not unknown:
        return
    # Only the error needs the whole list, which reads every explanation of the subject.
    pairs = sa.select(Explanation.method, Explanation.explainer).join(Explanation.neuron).distinct()
    mine = pairs.where(Neuron.subject_id == subject.id, Explanation.status == DONE).order_by(*pairs.selected_columns)
    known = ", ".join(condition_name(*pair) for pair in session.execute(mine)) or "none yet"
    missing = ", ".join(condition_name(*condition) for condition in unknown)
    raise UnknownName(f"no explanation of {subject.name} by {missing}; there are explanations by: {known}")


def condition_name(method: str, explainer: str) -> str:
    """How messages name a condition: `summary@openai:gpt-4`."""
    return f"{method}@{explainer}"


def _exists(session: Session, subject: SubjectModel, condition: tuple[str, str]) -> bool:
    described = sa.exists().where(Neuron.subject_id == subject.id, _described_by(condition))
    return bool(session.scalar(sa.select(described)))


def _described_by(condition: tuple[str, str]) -> sa.ColumnElement[bool]:
    """Whether the neuron at hand has an explanation by this condition: one look into the index of explanations."""
    method, explainer = condition
    mine = (Explanation.neuron_id == Neuron.id, Explanation.method == method, Explanation.explainer == explainer)
    return sa.exists().where(*mine, Explanation.status == DONE).correlate(Neuron)


def _qualifying(subject: SubjectModel, conditions: Conditions, layers: Sequence[int] | None) -> sa.Select[Neuron]:
    query = sa.select(Neuron).where(Neuron.subject_id == subject.id, Neuron.site == MLP)
    if layers is not None:
        query = query.where(Neuron.layer.in_(layers))
    return query.where(*(_described_by(condition) for condition in conditions))


def _drawn(
    session: Session, subject: SubjectModel, conditions: Conditions, neurons: PerLayer, seed: int
) -> list[Neuron]:
    layers = _checked_layers(subject, neurons)
    by_layer: dict[int, list[Neuron]] = {layer: [] for layer in layers}
    # Sorted by index first: the draw must depend on the seed alone and not on how the rows came back.
    for neuron in session.scalars(_qualifying(subject, conditions, layers).order_by(Neuron.index)):
        by_layer[neuron.layer].append(neuron)
    if short := [layer for layer in layers if len(by_layer[layer]) < neurons.n]:
        counts = ", ".join(f"layer {layer}: {len(by_layer[layer])}" for layer in short)
        raise InvalidInput(
            f"too few neurons have an explanation by every condition: {counts}; expected {neurons.n} in each"
        )
    return [
        by_layer[layer][place]
        for layer in layers
        for place in keyed_permutation(str(seed).encode(), len(by_layer[layer]), "draw", layer)[: neurons.n]
    ]


def _checked_layers(subject: SubjectModel, neurons: PerLayer) -> Sequence[int]:
    if neurons.n < 1:
        raise InvalidInput(f"{neurons.n} neurons per layer; expected 1 or more")
    layers = range(subject.n_layers) if neurons.layers is None else sorted(set(neurons.layers))
    if not layers:
        raise InvalidInput("no layer was given; expected one or more")
    if beyond := [layer for layer in layers if not 0 <= layer < subject.n_layers]:
        raise InvalidInput(f"{subject.name} has no layer {beyond[0]}; expected 0 to {subject.n_layers - 1}")
    return layers


def _listed(session: Session, subject: SubjectModel, conditions: Conditions, neurons: ListedNeurons) -> list[Neuron]:
    chosen: dict[int, Neuron] = {}
    reasons: list[str] = []
    for line, row in _csv_rows(neurons):
        found = _listed_neuron(session, subject, conditions, row)
        if isinstance(found, str):
            reasons.append(f"{neurons.file_name}, line {line}: {found}")
        elif found.id in chosen:
            reasons.append(f"{neurons.file_name}, line {line}: neuron {found.layer}:{found.index} is there twice")
        else:
            chosen[found.id] = found
    if reasons:
        raise InvalidInput(first_reasons(reasons))
    if not chosen:
        raise InvalidInput(f"{neurons.file_name} lists no neuron; expected one or more lines below layer,neuron")
    return list(chosen.values())


def first_reasons(reasons: Sequence[str]) -> str:
    """The reasons as one line; of very many the first, and how many more there are."""
    n_more = len(reasons) - MOST_REASONS_SHOWN
    return "; ".join(reasons[:MOST_REASONS_SHOWN]) + (f"; and {n_more} more" if n_more > 0 else "")


def _csv_rows(neurons: ListedNeurons) -> list[tuple[int, dict[str, str | None]]]:
    """(line number, row) of each line that is not empty. Errors: InvalidInput for missing columns or broken CSV."""
    reader = csv.DictReader(io.StringIO(neurons.text.removeprefix("\ufeff")), strict=True)
    try:
        reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        if missing := [name for name in ("layer", "neuron") if name not in reader.fieldnames]:
            raise InvalidInput(
                f"{neurons.file_name}, line 1: no column {' and no column '.join(missing)}; expected layer,neuron"
            )
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"{neurons.file_name}, line {reader.reader.line_num}: not CSV ({error})") from None


def _listed_neuron(
    session: Session, subject: SubjectModel, conditions: Conditions, row: dict[str, str | None]
) -> Neuron | str:
    """The neuron of a row, or the reason why it cannot be used."""
    place = []
    for column in ("layer", "neuron"):
        text = (row[column] or "").strip()
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return f"{column} {text!r} is not a whole number from 0"
        place.append(int(text))
    layer, index = place
    mine = (Neuron.subject_id == subject.id, Neuron.site == MLP, Neuron.layer == layer, Neuron.index == index)
    neuron = session.scalar(sa.select(Neuron).where(*mine))
    if neuron is None:
        return f"{subject.name} has no neuron {layer}:{index}"
    known = [session.scalar(sa.select(Neuron.id).where(*mine, _described_by(c))) is not None for c in conditions]
    missing = [
        condition_name(*condition) for condition, is_known in zip(conditions, known, strict=True) if not is_known
    ]
    return f"neuron {layer}:{index} has no explanation by {', '.join(missing)}" if missing else neuron
