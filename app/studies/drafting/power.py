"""How small a difference between two conditions a study can tell from chance. Pure.

Two conditions are compared on the same neurons. The difference of their mean ratings over n neurons has the standard
error sqrt(2 s^2 (1 - r) / n), where s is the standard deviation of ratings and r their correlation within a neuron.
"""

from math import ceil, sqrt

from scipy.stats import norm

from app.errors import InvalidInput

TYPICAL_SD = 0.78
"""Of ratings on the scale 1-5 under one condition: what the paper's standard errors come to with GPT-4."""
TYPICAL_CORRELATION = 0.3
"""Between the ratings of two descriptions of one neuron: some neurons are easier to describe, by whatever method."""
SMALLEST_SD = 0.01
"""Far below any rater's; the square of one still smaller would vanish and be divided by."""
ALPHA, POWER = 0.05, 0.8
_CRITICAL = float(norm.ppf(1 - ALPHA / 2))
_FACTOR = (_CRITICAL + float(norm.ppf(POWER))) ** 2
"""7.85: two-sided 5 %, 80 % power."""


def neurons_needed(difference: float, sd: float, correlation: float) -> int:
    """Neurons, each judged once, to detect this difference in mean rating at 80 %. Errors: InvalidInput."""
    if difference <= 0:
        raise InvalidInput(f"a difference of {difference:g}; expected one above 0")
    return ceil(_FACTOR * _variance(sd, correlation) / difference**2)


def detectable_difference(n: int, sd: float, correlation: float) -> float:
    """The smallest difference in mean rating that n judgements of each condition detect at 80 %."""
    return sqrt(_FACTOR * _variance(sd, correlation) / max(n, 1))


def power_of(n: int, difference: float, sd: float, correlation: float) -> float:
    """The chance, 0 to 1, that a true difference is found with n judgements of each condition (two-sided 5 %)."""
    shift = abs(difference) / sqrt(_variance(sd, correlation) / max(n, 1))
    return float(norm.cdf(shift - _CRITICAL) + norm.cdf(-shift - _CRITICAL))


def _variance(sd: float, correlation: float) -> float:
    """Of the difference of two ratings of one neuron."""
    if not SMALLEST_SD <= sd <= 4:
        raise InvalidInput(f"a standard deviation of {sd:g}; expected one from {SMALLEST_SD:g} to 4, the whole scale")
    if not 0 <= correlation <= 0.99:
        raise InvalidInput(f"a correlation of {correlation:g}; expected one from 0 to 0.99")
    return 2 * sd**2 * (1 - correlation)
