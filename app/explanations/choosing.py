"""Which neurons to explain: some of each layer that have a clear peak, or those that a CSV names."""

import csv
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InvalidInput, UnknownName
from app.explanations.methods.splits import explain_ranks
from app.neurons.models import MLP, ActivationRow, Neuron, SubjectModel
from app.neurons.reading import is_readable
from app.neurons.records import TOP

SHARE_OF_CLEAREST = 0.05
MOST_REASONS_SHOWN = 20


@dataclass(frozen=True)
class ClearPeaks:
    """So many neurons with a clear peak of each of these layers; None: of every layer."""

    per_layer: int
    layers: Sequence[int] | None
    seed: int


@dataclass(frozen=True)
class ListedNeurons:
    """The neurons of a CSV text with the columns `layer` and `neuron`. file_name: for messages."""

    file_name: str
    text: str


NeuronChoice = ClearPeaks | ListedNeurons


def chosen_neurons(session: Session, subject_name: str, choice: NeuronChoice) -> list[int]:
    """Ids of the neurons. Errors: as the two functions that choose them."""
    if isinstance(choice, ClearPeaks):
        return neurons_with_a_clear_peak(session, subject_name, choice.layers, choice.per_layer, choice.seed)
    return neurons_from_csv_text(session, subject_name, choice.file_name, choice.text)


def readable_subject(session: Session, name: str) -> SubjectModel:
    """The subject model of that name, its recording whole. Errors: UnknownName, with the names there are."""
    readable = sa.select(SubjectModel).where(is_readable(SubjectModel.id))
    subject = session.scalar(readable.where(SubjectModel.name == name))
    if subject is None:
        names = ", ".join(known.name for known in session.scalars(readable.order_by(SubjectModel.name))) or "none yet"
        raise UnknownName(f"there is no recorded subject model {name!r}; recorded are: {names}")
    return subject


def neurons_with_a_clear_peak(
    session: Session, subject_name: str, layers: Iterable[int] | None, per_layer: int, seed: int
) -> list[int]:
    """Ids of `per_layer` neurons of each of these layers (None: of every layer), layer by layer.

    A neuron has a clear peak when even the weakest of the five excerpts that explaining shows stands far above what is
    usual for it: its peak is that excerpt's maximum divided by the 0.9 quantile of all excerpts' maxima. Of a layer's
    neurons the 5 % with the highest peaks are candidates (at least `per_layer`), and `per_layer` of them are drawn
    with the seed. The best ones alone would be the oddest: neurons that answer to one stray line of the text.
    Errors: UnknownName for the subject; InvalidInput for a layer it does not have, or with fewer neurons than asked.
    """
    subject = readable_subject(session, subject_name)
    if per_layer < 1:
        raise InvalidInput(f"per_layer={per_layer}; expected at least 1")
    chosen: list[int] = []
    for layer in range(subject.n_layers) if layers is None else layers:
        ranked = _neurons_by_peak(session, subject, layer)
        if len(ranked) < per_layer:
            raise InvalidInput(
                f"layer {layer} of {subject_name!r} has {len(ranked)} neurons with a peak, {per_layer} were asked for"
            )
        candidates = ranked[: max(per_layer, round(SHARE_OF_CLEAREST * len(ranked)))]
        # The layer is part of the seed: otherwise every layer would draw the same places of its ranking.
        chosen += sorted(random.Random(f"{seed}:{layer}").sample(candidates, per_layer))
    return chosen


def _neurons_by_peak(session: Session, subject: SubjectModel, layer: int) -> list[int]:
    """Ids of a layer's neurons, the clearest peak first; without those whose 0.9 quantile is not above 0."""
    weakest_shown = sa.func.min(ActivationRow.maximum)
    rows = session.execute(
        sa.select(Neuron.id)
        .join(ActivationRow, ActivationRow.neuron_id == Neuron.id)
        .where(
            Neuron.subject_id == subject.id,
            Neuron.site == MLP,
            Neuron.layer == layer,
            Neuron.q90 > 0,
            ActivationRow.band == TOP,
            ActivationRow.rank.in_(explain_ranks("every4th")),
        )
        .group_by(Neuron.id, Neuron.q90)
        .order_by((weakest_shown / Neuron.q90).desc(), Neuron.id)
    )
    return [neuron_id for (neuron_id,) in rows]


def neurons_from_csv(session: Session, subject_name: str, path: Path) -> list[int]:
    """Ids of the neurons in a CSV file, in its order. Errors: as neurons_from_csv_text; InvalidInput for the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}; expected a CSV file of neurons") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 at byte {error.start}") from error
    return neurons_from_csv_text(session, subject_name, str(path), text)


def neurons_from_csv_text(session: Session, subject_name: str, file_name: str, text: str) -> list[int]:
    """Ids of the neurons that a CSV names by its columns `layer` and `neuron`; other columns are ignored, repeats too.

    Errors: UnknownName for the subject; InvalidInput with file, line and reason of every row that cannot be used.
    """
    subject = readable_subject(session, subject_name)
    rows = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(rows, [])]
    if "layer" not in header or "neuron" not in header:
        raise InvalidInput(f"{file_name} line 1: expected a header with the columns layer and neuron")
    columns = header.index("layer"), header.index("neuron")
    neuron_ids: dict[int, None] = {}
    reasons: list[str] = []
    for row in rows:
        if not row:
            continue  # an empty line, often the last one
        try:
            cells = [row[column] if column < len(row) else "" for column in columns]
            neuron_ids[_neuron_id(session, subject, cells)] = None
        except InvalidInput as error:
            reasons.append(f"{file_name} line {rows.line_num}: {error}")
    _refuse(reasons)
    if not neuron_ids:
        raise InvalidInput(f"{file_name} names no neuron; expected at least one row under the header")
    return list(neuron_ids)


def _neuron_id(session: Session, subject: SubjectModel, cells: Sequence[str]) -> int:
    for name, cell in zip(("layer", "neuron"), cells, strict=True):
        if not cell.strip().isdecimal() or int(cell) >= 2**31:
            raise InvalidInput(f"{name} {cell!r}; expected a whole number from 0")
    layer, index = (int(cell) for cell in cells)
    place = (Neuron.subject_id == subject.id, Neuron.site == MLP, Neuron.layer == layer, Neuron.index == index)
    neuron_id = session.scalar(sa.select(Neuron.id).where(*place))
    if neuron_id is None:
        raise InvalidInput(f"there is no neuron {layer}:{index} in {subject.name!r}")
    return neuron_id


def _refuse(reasons: list[str]) -> None:
    if reasons:
        more = f"; and {len(reasons) - MOST_REASONS_SHOWN} more" if len(reasons) > MOST_REASONS_SHOWN else ""
        raise InvalidInput("; ".join(reasons[:MOST_REASONS_SHOWN]) + more)
