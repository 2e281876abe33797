"""Paired differences against scipy, and against what follows from their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.findings.paired import MOST_DRAWN, differences, holm, sign_flip
from app.findings.values import NeuronValues

RNG = np.random.default_rng(7)
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=12).map(np.array)


def by_method(names: tuple[str, ...], values: np.ndarray) -> dict[str, NeuronValues]:
    """values: shape (neurons, methods)."""
    return {name: NeuronValues(np.arange(len(values)), values[:, index]) for index, name in enumerate(names)}


def scipy_sign_flip(each: np.ndarray, n_resamples: float) -> float:
    found = stats.permutation_test(
        (each,), np.mean, permutation_type="samples", n_resamples=n_resamples, alternative="two-sided", rng=1
    )
    return float(found.pvalue)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_few_neurons_are_tested_exactly(n: int) -> None:
    each = RNG.normal(0.3, 1, size=(n, 3))
    exact = [scipy_sign_flip(each[:, index], np.inf) for index in range(3)]
    assert sign_flip(each) == pytest.approx(exact, abs=1e-12)


def test_the_most_that_two_neurons_can_show_is_a_half() -> None:
    assert sign_flip(np.array([[0.5], [0.5]])) == pytest.approx([0.5])


def test_ties_by_rounding_count_as_far_as_what_was_seen() -> None:
    """0.1 + 0.2 and 0.3 differ in binary: the pattern with the sum 0.6 must not be missed in another order."""
    each = np.array([[0.1], [0.2], [0.3]])
    assert sign_flip(each) == pytest.approx([0.25])
    assert sign_flip(each[::-1]) == pytest.approx([0.25])


@pytest.mark.parametrize("n", [40, MOST_DRAWN])
def test_more_neurons_are_tested_by_draws(n: int) -> None:
    each = RNG.normal(1.5 / np.sqrt(n), 1, size=(n, 1))
    drawn = scipy_sign_flip(each[:, 0], 20_000)
    assert sign_flip(each) == pytest.approx([drawn], abs=0.02)
    assert sign_flip(each).tolist() == sign_flip(each).tolist(), "the same every time"


def test_a_drawn_probability_is_never_zero() -> None:
    assert sign_flip(np.ones((100, 1))).tolist() == [1 / 10_000]


def test_beyond_that_the_sum_is_normal() -> None:
    each = RNG.normal(0.04, 1, size=(3 * MOST_DRAWN, 1))
    assert sign_flip(each) == pytest.approx([scipy_sign_flip(each[:, 0], 9_999)], abs=0.02)


@pytest.mark.parametrize("n", [1, 8, 100, 600])
def test_identical_descriptions_are_no_evidence(n: int) -> None:
    assert sign_flip(np.zeros((n, 2))).tolist() == [1.0, 1.0]


def test_holm_as_worked_out_by_hand() -> None:
    corrected = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(PROBABILITIES)
def test_holm_by_its_definition(probabilities: np.ndarray) -> None:
    """Each is the largest of m * p, (m - 1) * p' ... up to itself, at most 1."""
    m = len(probabilities)
    ranked = sorted(probabilities)
    expected = [
        max(min(1.0, (m - index) * ranked[index]) for index in range(list(ranked).index(one) + 1))
        for one in probabilities
    ]
    ties = [sum(one == other for other in probabilities) > 1 for one in probabilities]
    for got, wanted, is_tied in zip(holm(probabilities), expected, ties, strict=True):
        assert is_tied or got == pytest.approx(wanted)


def test_every_pair_is_the_later_method_minus_the_earlier_one() -> None:
    values = np.array([[0.1, 0.4, 0.2], [0.2, 0.3, 0.2], [0.3, 0.8, 0.2]])
    found = differences(by_method(("original", "summary", "hs"), values))
    assert [(one.method, one.other, one.n) for one in found] == [
        ("summary", "original", 3),
        ("hs", "original", 3),
        ("hs", "summary", 3),
    ]
    assert [one.mean for one in found] == pytest.approx([0.3, 0.0, -0.3])
    for one, (later, earlier) in zip(found, ((1, 0), (2, 0), (2, 1)), strict=True):
        interval = stats.ttest_rel(values[:, later], values[:, earlier]).confidence_interval(0.95)
        assert (one.low, one.high) == pytest.approx((interval.low, interval.high))
        assert one.p == pytest.approx(scipy_sign_flip(values[:, later] - values[:, earlier], np.inf))
    assert [one.p_holm for one in found] == pytest.approx(holm(np.array([one.p for one in found])).tolist())


def test_a_single_neuron_has_no_interval() -> None:
    (one,) = differences(by_method(("original", "summary"), np.array([[0.1, 0.4]])))
    assert (one.n, one.mean, one.low, one.high, one.p) == (1, pytest.approx(0.3), None, None, 1.0)


@pytest.mark.parametrize(("names", "n"), [(("original",), 3), (("original", "summary"), 0)])
def test_nothing_to_compare_gives_no_difference(names: tuple[str, ...], n: int) -> None:
    assert differences(by_method(names, np.zeros((n, len(names))))) == []
