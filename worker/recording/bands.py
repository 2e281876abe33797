"""The bands of a layer out of the records that all chunks left: the best of a ranking, draws between two quantiles."""

from typing import Any

import numpy as np
import numpy.typing as npt

from app.neurons.records import QUANTILE_BANDS
from app.neurons.storing import Band, Float64Array
from worker.recording.plan import RecordingPlan
from worker.recording.selection import drawn_among

Entries = dict[str, npt.NDArray[Any]]
"""As in worker/recording/parts.py."""


def ranked_band(entries: Entries, n_neurons: int, n_kept: int, sign: float) -> Band:
    """The n_kept entries of each neuron with the largest values, the earlier excerpt first among equals.

    sign: -1 where values are the negatives of minima, and the band's maxima are these minima.
    """
    order = np.lexsort((entries["excerpt"], -entries["value"], entries["neuron"]))
    neurons = entries["neuron"][order]
    ranks = np.arange(len(neurons)) - np.searchsorted(neurons, neurons)
    is_kept = ranks < n_kept
    return _band(entries, order[is_kept], neurons[is_kept], ranks[is_kept], n_neurons, sign * entries["value"])


def quantile_bands(plan: RecordingPlan, sketch: Entries, random: Entries, boundaries: Float64Array) -> dict[str, Band]:
    """boundaries: the quantiles at which the bands end, rising, (neurons, bands).

    A band has the draws above its lower boundary that lie below its upper one, those with the smallest keys first; and
    where these are fewer than it keeps, random records that lie in it too, which were drawn as evenly.
    """
    n_neurons = len(boundaries)
    random = random | {"value": random["activations"][:, plan.n_ignored :].max(axis=1).astype(np.float32)}
    lower = np.concatenate([np.full((n_neurons, 1), -np.inf), boundaries[:, :-1]], axis=1)
    pool, drawn = _draws(plan, sketch, lower)
    return {
        name: _quantile_band(plan, pool, drawn[:, band], random, lower[:, band], boundaries[:, band])
        for band, name in enumerate(QUANTILE_BANDS)
    }


def _draws(plan: RecordingPlan, sketch: Entries, lower: Float64Array) -> tuple[Entries, npt.NDArray[np.int64]]:
    """The sketch in order, and places in it of the draws above each lower boundary, (neurons, bands, drawn)."""
    n_neurons, n_bands = lower.shape
    order = np.lexsort((sketch["excerpt"], -sketch["value"], sketch["neuron"]))
    pool = {name: values[order] for name, values in sketch.items() if name != "activations"}
    pool["place"] = order
    pool["activations"] = sketch["activations"]
    starts = np.searchsorted(pool["neuron"], np.arange(n_neurons + 1))
    # From the highest boundary down, as the records come.
    chosen = np.empty((n_neurons, n_bands, plan.n_sketched), dtype=np.int64)
    falling = np.ascontiguousarray(lower[:, ::-1])
    drawn_among(pool["value"], pool["key"], starts, falling, plan.n_sketched, chosen)
    return pool, chosen[:, ::-1]


def _quantile_band(
    plan: RecordingPlan,
    pool: Entries,
    drawn: npt.NDArray[np.int64],
    random: Entries,
    lower: Float64Array,
    upper: Float64Array,
) -> Band:
    n_neurons = len(lower)
    is_drawn = (drawn >= 0) & (pool["value"][drawn] < upper[:, None])
    neurons, preference = np.nonzero(is_drawn)
    places = drawn[neurons, preference]
    value = random["value"]
    filling = np.nonzero((value >= lower[random["neuron"]]) & (value < upper[random["neuron"]]))[0]
    candidates = {
        "neuron": np.concatenate([neurons, random["neuron"][filling]]),
        "preference": np.concatenate([preference, plan.n_sketched + random["rank"][filling]]),
        "excerpt": np.concatenate([pool["excerpt"][places], random["excerpt"][filling]]),
        "value": np.concatenate([pool["value"][places], value[filling]]),
        "activations": np.concatenate([pool["activations"][pool["place"][places]], random["activations"][filling]]),
    }
    return ranked_band(_preferred(candidates, plan.n_band), n_neurons, plan.n_band, 1.0)


def _preferred(candidates: Entries, n_kept: int) -> Entries:
    """Of each neuron's candidates the first n_kept by preference, no excerpt twice."""
    # Within a neuron and excerpt the preferred one comes first, and alone stays.
    order = np.lexsort((candidates["preference"], candidates["excerpt"], candidates["neuron"]))
    pairs = np.stack([candidates["neuron"][order], candidates["excerpt"][order]])
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    order = order[is_first]
    order = order[np.lexsort((candidates["preference"][order], candidates["neuron"][order]))]
    neurons = candidates["neuron"][order]
    order = order[np.arange(len(order)) - np.searchsorted(neurons, neurons) < n_kept]
    return {name: values[order] for name, values in candidates.items()}


def _band(
    entries: Entries,
    order: npt.NDArray[np.int64],
    neurons: npt.NDArray[Any],
    ranks: npt.NDArray[np.int64],
    n_neurons: int,
    values: npt.NDArray[Any],
) -> Band:
    n_ranks = int(ranks.max()) + 1 if len(ranks) else 0
    excerpts = np.full((n_neurons, n_ranks), -1, dtype=np.int64)
    maxima = np.zeros((n_neurons, n_ranks))
    activations = np.zeros((n_neurons, n_ranks, entries["activations"].shape[1]), dtype=np.float16)
    excerpts[neurons, ranks] = entries["excerpt"][order]
    maxima[neurons, ranks] = values[order]
    activations[neurons, ranks] = entries["activations"][order]
    return Band(excerpts, maxima, activations)
