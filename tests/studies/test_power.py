"""How small a difference a study can tell from chance, against the formula, scipy and a simulation."""

import numpy as np
import pytest
from scipy import stats

from app.errors import InvalidInput
from app.studies.drafting.power import TYPICAL_CORRELATION, TYPICAL_SD, detectable_difference, neurons_needed, power_of


@pytest.mark.parametrize(("difference", "n"), [(0.1, 669), (0.2, 168), (0.3, 75)])
def test_the_neurons_needed_are_the_published_ones(difference: float, n: int) -> None:
    assert neurons_needed(difference, TYPICAL_SD, TYPICAL_CORRELATION) == n


@pytest.mark.parametrize("n", [24, 75, 668])
def test_the_detectable_difference_has_a_power_of_eighty_percent(n: int) -> None:
    smallest = detectable_difference(n, 0.9, 0.25)
    assert power_of(n, smallest, 0.9, 0.25) == pytest.approx(0.8, abs=1e-4)
    assert neurons_needed(smallest + 1e-9, 0.9, 0.25) == n


def test_without_a_difference_the_power_is_the_error_of_five_percent() -> None:
    assert power_of(50, 0.0, 0.78, 0.3) == pytest.approx(0.05)


def test_the_power_agrees_with_simulated_studies() -> None:
    rng = np.random.default_rng(5)
    n, difference, sd, correlation = 150, 0.2, 0.78, 0.3
    covariance = sd**2 * np.array([[1, correlation], [correlation, 1]])
    ratings = rng.multivariate_normal([3.0, 3.0 + difference], covariance, size=(4000, n))
    found = stats.ttest_rel(ratings[..., 1], ratings[..., 0], axis=1).pvalue < 0.05
    assert power_of(n, difference, sd, correlation) == pytest.approx(found.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("sd", "correlation", "problem"),
    [(0.0, 0.3, "standard deviation of 0"), (4.5, 0.3, "of 4.5"), (1.0, 1.0, "correlation of 1"), (1.0, -0.1, "-0.1")],
)
def test_impossible_assumptions_are_refused(sd: float, correlation: float, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        detectable_difference(10, sd, correlation)


def test_no_difference_needs_no_number_of_neurons() -> None:
    with pytest.raises(InvalidInput, match="a difference of 0; expected one above 0"):
        neurons_needed(0.0, 0.78, 0.3)
