"""The NeuronRecord JSON of OpenAI's neuron explainer, between its objects and plain values. Pure: knows no file.

Source: github.com/openai/automated-interpretability. Every object may carry `dataclass_name`; null stands for NaN.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.errors import InvalidInput
from app.exchange.activations import ImportedNeuron, ImportedRecord
from app.neurons.records import QUANTILE_BANDS, RANDOM, TOP, ActivationRecord

MOMENTS = ("mean", "variance", "skewness", "kurtosis")


def read_neuron_record(content: Any) -> ImportedNeuron:
    """A NeuronRecord as parsed JSON. Errors: InvalidInput for a wrong shape; values are not looked at."""
    fields = read_object(content, "a neuron record")
    neuron_id = read_object(fields.get("neuron_id"), "neuron_id")
    bands = {
        TOP: _records(fields.get("most_positive_activation_records"), "most_positive_activation_records"),
        RANDOM: _records(fields.get("random_sample"), "random_sample"),
        **_quantile_bands(fields.get("random_sample_by_quantile")),
    }
    return ImportedNeuron(
        layer=neuron_id.get("layer_index", "missing"),
        index=neuron_id.get("neuron_index", "missing"),
        bands=bands,
        statistics={name: fields.get(name) for name in MOMENTS} | _boundaries(fields.get("quantile_boundaries")),
    )


def read_object(content: Any, name: str) -> Mapping[str, Any]:
    """Errors: InvalidInput when the content is no JSON object."""
    if not isinstance(content, dict):
        raise InvalidInput(f"{name} is {_kind(content)}; expected an object")
    return content


def read_list(content: Any, name: str) -> Sequence[Any]:
    """null is an empty list. Errors: InvalidInput when the content is something else."""
    if content is None:
        return []
    if not isinstance(content, list):
        raise InvalidInput(f"{name} is {_kind(content)}; expected a list")
    return content


def _kind(content: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "missing or null"}
    return kinds.get(type(content), "a number")


def _records(content: Any, name: str) -> list[ImportedRecord]:
    return [_record(record, f"{name}[{rank}]") for rank, record in enumerate(read_list(content, name))]


def _record(content: Any, name: str) -> ImportedRecord:
    fields = read_object(content, name)
    return ImportedRecord(fields.get("tokens", ()), fields.get("activations", ()))


def _quantile_bands(content: Any) -> dict[str, list[ImportedRecord]]:
    bands = read_list(content, "random_sample_by_quantile")
    if bands and len(bands) != len(QUANTILE_BANDS):
        raise InvalidInput(f"random_sample_by_quantile has {len(bands)} lists; expected {len(QUANTILE_BANDS)}")
    return {
        band: _records(records, f"random_sample_by_quantile[{index}]")
        for index, (band, records) in enumerate(zip(QUANTILE_BANDS, bands, strict=False))
    }


def _boundaries(content: Any) -> dict[str, float | None]:
    """Which boundary is which tells the length: the four inner ones, or these between the range's two ends."""
    boundaries = read_list(content, "quantile_boundaries")
    n_inner = len(QUANTILE_BANDS)
    if len(boundaries) not in (0, n_inner, n_inner + 2):
        raise InvalidInput(f"quantile_boundaries has {len(boundaries)} numbers; expected {n_inner} or {n_inner + 2}")
    inner = boundaries[1:-1] if len(boundaries) == n_inner + 2 else boundaries
    return dict(zip(QUANTILE_BANDS, inner, strict=False))


def neuron_record_json(
    layer: int,
    index: int,
    bands: Mapping[str, Sequence[ActivationRecord]],
    statistics: Mapping[str, float | None],
) -> dict[str, Any]:
    """A NeuronRecord as JSON values. bands, statistics: by the names of records.py and of Neuron's columns."""
    boundaries = [statistics[name] for name in QUANTILE_BANDS]
    has_quantiles = any(bands.get(name) for name in QUANTILE_BANDS)
    by_quantile = [_records_json(bands.get(name, ())) for name in QUANTILE_BANDS]
    return {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": layer, "neuron_index": index},
        "random_sample": _records_json(bands.get(RANDOM, ())),
        "random_sample_by_quantile": by_quantile if has_quantiles else None,
        "quantile_boundaries": None if boundaries == [None] * len(boundaries) else [None, *boundaries, None],
        **{name: statistics[name] for name in MOMENTS},
        "most_positive_activation_records": _records_json(bands.get(TOP, ())),
    }


def _records_json(records: Iterable[ActivationRecord]) -> list[dict[str, Any]]:
    return [
        {
            "dataclass_name": "ActivationRecord",
            "tokens": list(record.tokens),
            # Recordings of broken models have NaN, for which JSON has no word but null.
            "activations": [value if math.isfinite(value) else None for value in record.activations.tolist()],
        }
        for record in records
    ]
