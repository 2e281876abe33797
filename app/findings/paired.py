"""Whether two methods differ on the same neurons: mean difference, its interval, and a paired test. Pure and seeded.

The test flips the signs of the differences: if two methods are equally good, a neuron's difference is as likely to be
+d as -d. It was chosen over Wilcoxon's signed ranks because it is about the mean difference that stands beside it, and
because neurons whose two descriptions are identical (d = 0, one in twenty in the paper) need no rule of their own.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from app.findings.values import Floats

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

    mean: of the differences. low, high: 95 % interval of it (Student's t); None of a single neuron. p: two-sided, of
    the sign-flip test; p_holm: corrected for all pairs of the family.
    """

    method: str
    other: str
    n: int
    mean: float
    low: float | None
    high: float | None
    p: float
    p_holm: float


def differences(names: list[str], values: Floats) -> list[Difference]:
    """All pairs of methods, the later one minus the earlier one; empty without neurons or with a single method.

    values: shape (neurons, methods), in the order of the names.
    """
    pairs = list(combinations(range(len(names)), 2))
    if not pairs or not len(values):
        return []
    each = np.stack([values[:, later] - values[:, earlier] for earlier, later in pairs], axis=1)
    probabilities = sign_flip(each)
    corrected = holm(probabilities)
    return [
        Difference(
            names[later],
            names[earlier],
            len(each),
            float(each[:, index].mean()),
            *_interval(each[:, index]),
            float(probabilities[index]),
            float(corrected[index]),
        )
        for index, (earlier, later) in enumerate(pairs)
    ]


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
