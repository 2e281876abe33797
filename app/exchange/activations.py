"""From the records of an imported neuron to the values that are stored of it. Pure: knows no database.

An unknown activation (null, NaN) is not 0 and nothing else either, so a neuron with one is refused; one beyond float16
is clipped, as in our own recordings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from app.errors import InvalidInput
from app.exchange.excerpt_texts import ExcerptText, excerpt_text
from app.exchange.storable import finite, first_wrong_number, shown
from app.neurons.records import BANDS, BOTTOM, QUANTILE_BANDS, RANDOM, Float16Array

LARGEST_FLOAT16 = 65504.0
MOST_LAYERS = 10_000
MOST_NEURONS_PER_LAYER = 10_000_000
MOST_RECORDS_PER_BAND = 100
STATISTICS = (*("mean", "variance", "skewness", "kurtosis", "share_active"), *QUANTILE_BANDS)
"""The columns of Neuron that an import may bring."""


@dataclass(frozen=True)
class ImportedRecord:
    """One excerpt of a foreign file. activations: one number per token, as read: may still be null or no number."""

    tokens: Sequence[str]
    activations: Sequence[float]


@dataclass(frozen=True)
class ImportedNeuron:
    """One neuron of a foreign file.

    layer, index: from 0. bands: records by band (app/neurons/records.py), in the file's order. statistics: by the name
    of Neuron's column, see STATISTICS; what the file lacks is missing or None.
    """

    layer: int
    index: int
    bands: Mapping[str, Sequence[ImportedRecord]]
    statistics: Mapping[str, float | None]


@dataclass(frozen=True)
class CheckedRecord:
    """A record as it is stored. maximum, minimum: of the activations, which are float16, shape (tokens,)."""

    text: ExcerptText
    activations: Float16Array
    maximum: float
    minimum: float


@dataclass(frozen=True)
class CheckedNeuron:
    """A neuron as it is stored.

    bands: records in rank order. statistics: a value for each of STATISTICS. peak: the record with the largest
    activation. n_cut: records beyond MOST_RECORDS_PER_BAND.
    """

    layer: int
    index: int
    bands: Mapping[str, Sequence[CheckedRecord]]
    statistics: Mapping[str, float | None]
    peak: CheckedRecord
    n_cut: int

    @property
    def n_records(self) -> int:
        return sum(len(records) for records in self.bands.values())


def checked_neuron(neuron: ImportedNeuron) -> CheckedNeuron:
    """Errors: InvalidInput, which says which record and token, what was found and what was expected."""
    check_place(neuron.layer, neuron.index)
    bands = _checked_bands(neuron.bands)
    statistics = {name: _statistic(name, neuron.statistics.get(name)) for name in STATISTICS}
    records = list(chain.from_iterable(bands.values()))
    if not records:
        raise InvalidInput(f"neuron {neuron.layer}:{neuron.index} has no record; expected one or more")
    peak = max(records, key=lambda record: record.maximum)
    n_cut = sum(map(len, neuron.bands.values())) - len(records)
    return CheckedNeuron(neuron.layer, neuron.index, bands, statistics, peak, n_cut)


def check_place(layer: object, index: object) -> None:
    """Errors: InvalidInput for a layer or an index that no neuron can have."""
    for name, number, most in (("layer", layer, MOST_LAYERS), ("neuron index", index, MOST_NEURONS_PER_LAYER)):
        if type(number) is not int or not 0 <= number < most:
            raise InvalidInput(f"the {name} is {shown(number)}; expected a whole number from 0 to {most - 1}")


def _statistic(name: str, value: object) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidInput(f"{name} is {shown(value)}; expected a number or null")
    return finite(value)


def _checked_bands(bands: Mapping[str, Sequence[ImportedRecord]]) -> dict[str, Sequence[CheckedRecord]]:
    if unknown := set(bands) - set(BANDS):
        raise InvalidInput(f"the band is {min(unknown)!r}; expected some of {', '.join(BANDS)}")
    named = [(f"{band} record {rank}", record) for band in bands for rank, record in enumerate(bands[band])]
    checked = iter(_checked_records(named))
    return {
        band: _in_rank_order(band, [next(checked) for _ in records])[:MOST_RECORDS_PER_BAND]
        for band, records in bands.items()
        if records
    }


def _in_rank_order(band: str, records: list[CheckedRecord]) -> list[CheckedRecord]:
    """Random records stay as they were drawn; equal ones of the other bands keep the file's order."""
    if band == RANDOM:
        return records
    if band == BOTTOM:
        return sorted(records, key=lambda record: record.minimum)
    return sorted(records, key=lambda record: -record.maximum)


def _checked_records(named: Sequence[tuple[str, ImportedRecord]]) -> list[CheckedRecord]:
    if not named:
        return []
    texts = [excerpt_text(record.tokens, name) for name, record in named]
    for (name, record), text in zip(named, texts, strict=True):
        _check_activations(record.activations, len(text.tokens), name)
    # All records of the neuron at once: one array for each would cost more than reading the file.
    numbers = _as_stored(list(chain.from_iterable(record.activations for _, record in named)))
    ends = np.cumsum([len(text.tokens) for text in texts])
    starts = [0, *ends[:-1].tolist()]
    maxima = np.maximum.reduceat(numbers, starts).tolist()
    minima = np.minimum.reduceat(numbers, starts).tolist()
    stretches = [numbers[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]
    return [CheckedRecord(*values) for values in zip(texts, stretches, maxima, minima, strict=True)]


def _check_activations(activations: Sequence[object], n_tokens: int, name: str) -> None:
    if not isinstance(activations, list | tuple):
        raise InvalidInput(f"the activations of {name} are {type(activations).__name__}; expected a list of numbers")
    if len(activations) != n_tokens:
        raise InvalidInput(f"{name} has {n_tokens} tokens and {len(activations)} activations; expected one for each")
    if (wrong := first_wrong_number(activations)) is not None:
        found = shown(activations[wrong])
        raise InvalidInput(f"activation {wrong} of {name} is {found}; expected a number, for unknown is not 0")


def _as_stored(activations: list[float]) -> npt.NDArray[np.float16]:
    try:
        numbers = np.array(activations, dtype=np.float64)
    except OverflowError:
        numbers = np.array([max(-LARGEST_FLOAT16, min(LARGEST_FLOAT16, value)) for value in activations])
    return numbers.clip(-LARGEST_FLOAT16, LARGEST_FLOAT16).astype("<f2")
