"""Whether two methods differ on the same neurons: mean difference, its interval, and a paired test. Pure and seeded.

The test flips the signs of the differences: if two methods are equally good, a neuron's difference is as likely to be
+d as -d. It was chosen over Wilcoxon's signed ranks because it is about the mean difference that stands beside it, and
because neurons whose two descriptions are identical (d = 0, one in twenty in the paper) need no rule of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from app.findings.values import ByMethod, Floats, in_table_order, matched

MOST_ENUMERATED = 12
"""Up to so many neurons all 2^n sign patterns are gone through."""
MOST_DRAWN = 500
"""Up to so many they are drawn; beyond, the sum of so many independent terms is normal for every practical purpose."""
N_DRAWS = 9999
SEED = 0
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """One method minus another, over the same neurons.

    n: neurons that both have. n_left_out: those that one of them lacks. mean: of the differences. low, high: 95 %
    interval of it (Student's t); None of a single neuron. p: two-sided, of the sign-flip test; p_holm: corrected for
    all pairs of the family.
    """

    method: str
    other: str
    n: int
    n_left_out: int
    mean: float
    low: float | None
    high: float | None
    p: float
    p_holm: float


def differences(methods: ByMethod) -> list[Difference]:
    """All pairs of methods, the later one minus the earlier one, each pair over the neurons that both have; without
    pairs that share none."""
    found = []
    for pair in combinations(in_table_order(set(methods)), 2):
        _, values, n_left_out = matched({name: methods[name] for name in pair})
        if len(values):
            found.append((*pair, values[:, 1] - values[:, 0], n_left_out))
    probabilities = _probabilities([each for _, _, each, _ in found])
    return [
        Difference(later, earlier, len(each), n_left_out, float(each.mean()), *_interval(each), float(p), float(p_holm))
        for (earlier, later, each, n_left_out), p, p_holm in zip(found, probabilities, holm(probabilities), strict=True)
    ]


def _probabilities(pairs: Sequence[Floats]) -> Floats:
    """Of the sign-flip test, one per pair. pairs: their differences, shape (neurons,) each."""
    probabilities = np.empty(len(pairs))
    # Pairs of as many neurons share their sign patterns, which take longer to draw than to use.
    for n in {len(each) for each in pairs}:
        alike = [index for index, each in enumerate(pairs) if len(each) == n]
        probabilities[alike] = sign_flip(np.stack([pairs[index] for index in alike], axis=1))
    return probabilities


def sign_flip(each: Floats) -> Floats:
    """Two-sided probability of a sum as far from 0 as this one, if signs were a coin's; one per column.

    each: differences, shape (neurons, pairs). Exact up to 12 neurons, drawn with a fixed seed up to 500 (then at least
    1 / 10,000), normal beyond.
    """
    n = len(each)
    if n > MOST_DRAWN:
        spread = np.sqrt((each**2).sum(axis=0))
        z = np.divide(np.abs(each.sum(axis=0)), spread, out=np.zeros_like(spread), where=spread > 0)
        return np.asarray(2 * stats.norm.sf(z))
    is_exact = n <= MOST_ENUMERATED
    signs = _all_signs(n) if is_exact else np.random.default_rng(SEED).choice([-1.0, 1.0], size=(N_DRAWS, n))
    # Sums that are equal on paper differ in their last bits by the order of their terms.
    bound = np.abs(each.sum(axis=0)) - 1e-12 * np.abs(each).sum(axis=0)
    n_as_far = (np.abs(signs @ each) >= bound).sum(axis=0)
    # What was observed is itself one of the patterns: without it a drawn probability could be 0.
    return np.asarray(n_as_far / len(signs) if is_exact else (n_as_far + 1) / (N_DRAWS + 1))


def _all_signs(n: int) -> Floats:
    """Shape (2^n, n)."""
    return np.asarray(1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1), dtype=np.float64)


def holm(probabilities: Floats) -> Floats:
    """Holm's step-down correction: with it the chance of any false alarm among all is what is claimed for one."""
    order = np.argsort(probabilities, kind="stable")
    stepped = probabilities[order] * np.arange(len(order), 0, -1)
    corrected = np.empty_like(probabilities)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return corrected


def _interval(each: Floats) -> tuple[float | None, float | None]:
    n = len(each)
    if n < 2:
        return None, None
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(each, ddof=1) / np.sqrt(n))
    return float(each.mean()) - half, float(each.mean()) + half
