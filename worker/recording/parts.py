"""Parts of a recording as bytes, and the recording of a layer out of all its parts.

A part is what one chunk of the corpus added to one layer. Parts join to the same recording whoever made them: each
holds at least what of its chunk belongs in the whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from app.neurons.records import BOTTOM, QUANTILE_BANDS, RANDOM, TOP
from app.neurons.storing import Band, Float64Array, LayerRecording
from worker.recording import moments
from worker.recording.bands import quantile_bands, ranked_band
from worker.recording.moments import Node
from worker.recording.plan import RecordingPlan

N_BINS = 64

Arrays = Mapping[str, npt.NDArray[Any]]
Entries = dict[str, npt.NDArray[Any]]
"""Records of a layer: neuron, excerpt, activations (entries, tokens), and value, key or rank, by the kind."""

KINDS = ("top", "bottom", "sketch", "random")


def encoded(
    *,
    chunk: range,
    top: Arrays,
    bottom: Arrays,
    sketch: Arrays,
    random: Arrays,
    panel_maxima: npt.NDArray[np.float16],
    panel_minima: npt.NDArray[np.float16] | None,
    nodes: Sequence[Node],
) -> bytes:
    """panel_maxima, panel_minima: of the panel's excerpts in the chunk, (excerpts, neurons)."""
    arrays: Entries = {"chunk": np.array([chunk.start, chunk.stop]), "panel.maxima": panel_maxima}
    if panel_minima is not None:
        arrays["panel.minima"] = panel_minima
    for kind, entries in zip(KINDS, (top, bottom, sketch, random), strict=True):
        arrays |= {f"{kind}.{name}": values for name, values in entries.items()}
    if nodes:
        arrays["nodes.place"] = np.array([[node.level, node.index, node.n_tokens] for node in nodes])
        arrays["nodes.values"] = np.stack([node.values for node in nodes])
    return bytes(safetensors.numpy.save({name: np.ascontiguousarray(values) for name, values in arrays.items()}))


def merged_layer(plan: RecordingPlan, layer: int, parts: Sequence[bytes]) -> LayerRecording:
    """parts: of every chunk, in the order of the corpus."""
    loaded = [safetensors.numpy.load(part) for part in parts]
    maxima = np.concatenate([arrays["panel.maxima"] for arrays in loaded]).astype(np.float64)
    n_neurons = maxima.shape[1]
    top = ranked_band(_entries(loaded, "top"), n_neurons, plan.n_top, 1.0)
    statistics = _quantiles(maxima) | _extreme("maximum", top, plan)
    random = _entries(loaded, "random")
    bands = {TOP: top, RANDOM: _random_band(random, n_neurons, plan)}
    if plan.has_statistics:
        bottom = ranked_band(_entries(loaded, "bottom"), n_neurons, plan.n_bottom, -1.0)
        statistics |= _extreme("minimum", bottom, plan) | moments.finished(_nodes(loaded))
        if plan.polarity == "both":
            bands[BOTTOM] = bottom
            minima = np.concatenate([arrays["panel.minima"] for arrays in loaded]).astype(np.float64)
            statistics["q90_negative"] = np.quantile(-minima, 0.9, axis=0)
    if plan.has_bands:
        boundaries = np.stack([statistics[name] for name in QUANTILE_BANDS], axis=1)
        bands |= quantile_bands(plan, _entries(loaded, "sketch"), random, boundaries)
    return LayerRecording(layer, statistics, _histogram(maxima, statistics), bands)


def _entries(loaded: Sequence[Arrays], kind: str) -> Entries:
    names = [name for name in loaded[0] if name.startswith(f"{kind}.")]
    return {name.partition(".")[2]: np.concatenate([arrays[name] for arrays in loaded]) for name in names}


def _nodes(loaded: Sequence[Arrays]) -> list[Node]:
    nodes: list[Node] = []
    for arrays in loaded:
        for place, values in zip(arrays["nodes.place"].tolist(), arrays["nodes.values"], strict=True):
            level, index, n_tokens = place
            moments.append(nodes, Node(level, index, n_tokens, values))
    return nodes


def _quantiles(maxima: Float64Array) -> dict[str, Float64Array]:
    """The boundaries of the bands, named after them, linear between two excerpts; lowest and highest maximum."""
    shares = [upper for _, upper in QUANTILE_BANDS.values()]
    quantiles = np.quantile(maxima, shares, axis=0, method="linear")
    ends = {"histogram_low": maxima.min(axis=0), "histogram_high": maxima.max(axis=0)}
    return dict(zip(QUANTILE_BANDS, quantiles, strict=True)) | ends


def _histogram(maxima: Float64Array, statistics: Mapping[str, Float64Array]) -> npt.NDArray[np.int32]:
    """Counts in bins of equal width from the lowest to the highest maximum, (neurons, bins)."""
    low, width = statistics["histogram_low"], statistics["histogram_high"] - statistics["histogram_low"]
    scaled = np.zeros_like(maxima)
    np.divide(maxima - low, width, out=scaled, where=width > 0)
    bins = np.minimum((scaled * N_BINS).astype(np.int64), N_BINS - 1)
    n_neurons = maxima.shape[1]
    flat = bins + np.arange(n_neurons) * N_BINS
    return np.bincount(flat.ravel(), minlength=n_neurons * N_BINS).reshape(n_neurons, N_BINS).astype(np.int32)


def _extreme(name: str, band: Band, plan: RecordingPlan) -> dict[str, Float64Array]:
    """`maximum` or `minimum`, and its excerpt and token, from the first record of a band."""
    first = band.activations[:, 0, plan.n_ignored :]
    token = first.argmax(axis=1) if name == "maximum" else first.argmin(axis=1)
    value = np.take_along_axis(first, token[:, None], axis=1)[:, 0]
    places = {f"{name}_excerpt": band.excerpts[:, 0], f"{name}_token": token + plan.n_ignored}
    return {name: value.astype(np.float64)} | {column: place.astype(np.float64) for column, place in places.items()}


def _random_band(random: Entries, n_neurons: int, plan: RecordingPlan) -> Band:
    n_kept = min(plan.n_random, plan.n_excerpts)
    excerpts = np.empty((n_neurons, n_kept), dtype=np.int64)
    activations = np.empty((n_neurons, n_kept, plan.n_tokens), dtype=np.float16)
    excerpts[random["neuron"], random["rank"]] = random["excerpt"]
    activations[random["neuron"], random["rank"]] = random["activations"]
    return Band(excerpts, activations[:, :, plan.n_ignored :].max(axis=2).astype(np.float64), activations)
