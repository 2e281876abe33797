"""A recording by its definition: all activations of a layer at once, in plain numpy and loops. Slow and independent."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.recording.drawing import drawn_excerpts, excerpt_keys, neuron_keys
from worker.recording.plan import BLOCK, RecordingPlan

Array = npt.NDArray[Any]
Records = list[tuple[int, float, list[float]]]
"""(excerpt, maximum, activations as stored) by rank."""


@dataclass(frozen=True)
class DenseNeuron:
    """What a plan keeps of one neuron. statistics: by column, None where undefined."""

    statistics: dict[str, float | None]
    histogram: list[int]
    bands: dict[str, Records]


def dense_neuron(plan: RecordingPlan, layer: int, neuron: int, activations: Array) -> DenseNeuron:
    """activations: of the layer, float32 (excerpts, tokens, neurons); at most 4096 excerpts, the panel's size."""
    mine = activations[:, :, neuron]
    stored = np.clip(mine, -65504, 65504).astype(np.float16)
    stored[:, : plan.n_ignored] = 0
    counted = stored[:, plan.n_ignored :].astype(float)
    maxima, minima = counted.max(axis=1), counted.min(axis=1)
    excerpts = range(plan.n_excerpts)
    best = sorted(excerpts, key=lambda e: (-maxima[e], e))
    worst = sorted(excerpts, key=lambda e: (minima[e], e))
    drawn = drawn_excerpts(activations.shape[2], plan.n_excerpts, plan.n_random, seed=plan.seed, layer=layer)[neuron]

    def records(chosen: Any, values: Array) -> Records:
        return [(int(e), float(values[e]), stored[e].tolist()) for e in chosen]

    statistics = _quantiles(maxima) | _place("maximum", best[0], counted, plan, counted[best[0]].argmax())
    bands = {"top": records(best[: plan.n_top], maxima), "random": records(drawn, maxima)}
    if plan.has_statistics:
        statistics |= _place("minimum", worst[0], counted, plan, counted[worst[0]].argmin())
        statistics |= _moments(mine[:, plan.n_ignored :])
        if plan.polarity == "both":
            bands["bottom"] = records(worst[: plan.n_top], minima)
            statistics["q90_negative"] = float(np.quantile(-minima, 0.9))
    if plan.has_bands:
        keys = _keys(plan, layer, neuron, activations.shape[2])
        lower = -np.inf
        for name in ("q50", "q90", "q99", "q999"):
            upper = statistics[name]
            in_order = [e for e in best if maxima[e] >= lower]
            draws = sorted(in_order, key=lambda e: (keys[e], in_order.index(e)))[: plan.n_sketched]
            preferred = [e for e in dict.fromkeys([*draws, *drawn.tolist()]) if lower <= maxima[e] < upper]
            bands[name] = records(sorted(preferred[: plan.n_band], key=lambda e: (-maxima[e], e)), maxima)
            lower = upper
    return DenseNeuron(statistics, _histogram(maxima), bands)


def _quantiles(maxima: Array) -> dict[str, float]:
    shares = {"q50": 0.5, "q90": 0.9, "q99": 0.99, "q999": 0.999}
    quantiles = {name: float(np.quantile(maxima, share)) for name, share in shares.items()}
    return quantiles | {"histogram_low": float(maxima.min()), "histogram_high": float(maxima.max())}


def _place(name: str, excerpt: int, counted: Array, plan: RecordingPlan, token: Any) -> dict[str, float]:
    value = float(counted[excerpt, token])
    return {name: value, f"{name}_excerpt": excerpt, f"{name}_token": int(token) + plan.n_ignored}


def _histogram(maxima: Array) -> list[int]:
    low, high = maxima.min(), maxima.max()
    counts = [0] * 64
    for value in maxima:
        counts[min(63, int((value - low) / (high - low) * 64)) if high > low else 0] += 1
    return counts


def _keys(plan: RecordingPlan, layer: int, neuron: int, n_neurons: int) -> list[int]:
    of_neuron = int(neuron_keys(n_neurons, seed=plan.seed, layer=layer)[neuron])
    return [mixed(int(key) ^ of_neuron) for key in excerpt_keys(plan.n_excerpts, seed=plan.seed)]


def mixed(key: int) -> int:
    """The last steps of MurmurHash3 on 32 bits, in Python's own whole numbers."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        key = (key ^ (key >> shift)) * factor % 2**32
    return key ^ (key >> 16)


def _moments(counted: Array) -> dict[str, float | None]:
    """In the order that moments.py fixes: token by token in an excerpt, then excerpts, blocks, pairs."""
    blocks = [_block(counted[first : first + BLOCK]) for first in range(0, len(counted), BLOCK)]
    n, n_active, mean, m2, m3, m4 = _tree(blocks)
    variance = m2 / n
    is_varied = variance > 0 and m4 / n / (variance * variance) >= 0.99
    return {
        "mean": mean,
        "variance": variance,
        "skewness": m3 / n / (variance * np.sqrt(variance)) if is_varied else None,
        "kurtosis": m4 / n / (variance * variance) if is_varied else None,
        "share_active": n_active / n,
    }


def _tree(blocks: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The largest power of two of blocks that is not all of them on the left, the rest on the right."""
    if len(blocks) == 1:
        return blocks[0]
    half = 1 << ((len(blocks) - 1).bit_length() - 1)
    return _joined(_tree(blocks[:half]), _tree(blocks[half:]))


def _block(excerpts: Array) -> tuple[Any, ...]:
    origin = excerpts[0, 0]
    sums = np.zeros(5)
    for excerpt in excerpts:
        # float32 all the way through one excerpt, one token after the other.
        distances = excerpt - origin
        squares = distances * distances
        powers = [(excerpt > 0).astype(np.float32), distances, squares, squares * distances, squares * squares]
        sums += [np.add.accumulate(power)[-1] for power in powers]
    n_active, s1, s2, s3, s4 = sums
    n = excerpts.size
    d = s1 / n
    m2 = max(s2 - d * s1, 0.0)
    m3 = s3 - 3 * d * s2 + 2 * d * d * s1
    m4 = s4 - 4 * d * s3 + 6 * d * d * s2 - 3 * d * d * d * s1
    return n, n_active, np.float64(origin) + d, m2, m3, m4


def _joined(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    a, active_a, mean_a, p2, p3, p4 = left
    b, active_b, mean_b, q2, q3, q4 = right
    a, b = float(a), float(b)
    n, d = a + b, mean_b - mean_a
    d2 = d * d
    m2 = p2 + q2 + d2 * (a * b / n)
    m3 = p3 + q3 + d * d2 * (a * b * (a - b) / n**2) + 3 * d * (a * q2 - b * p2) / n
    m4 = p4 + q4 + d2 * d2 * (a * b * (a * a - a * b + b * b) / n**3)
    m4 = m4 + (6 * d2 * (a * a * q2 + b * b * p2) / n**2 + 4 * d * (a * q3 - b * p3) / n)
    return n, active_a + active_b, mean_a + d * (b / n), m2, m3, m4
