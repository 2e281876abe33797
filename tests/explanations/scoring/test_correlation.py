"""Agreement of predicted and true activations, against scipy and the formulas as the paper writes them."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from app.explanations.scoring.correlation import absolute_deviation_explained, correlation, is_constant, rsquared

TRUE = np.array([-0.25, 0.0, 5.5, 1.25, 0.0, 2.0], dtype=np.float16)
PREDICTED = np.array([0.5, 0.1, 9.0, 1.0, 0.3, 0.2], dtype=np.float32)

halves = st.floats(-60000, 60000, width=16)
pairs = st.lists(st.tuples(halves, st.floats(0, 10, width=32)), min_size=3, max_size=40)


@given(pairs)
def test_correlation_is_scipys_wherever_both_vary(values: list[tuple[float, float]]) -> None:
    true = np.array([a for a, _ in values], dtype=np.float16)
    predicted = np.array([p for _, p in values], dtype=np.float32)
    found = correlation(true, predicted)
    if is_constant(true) or is_constant(predicted):
        assert found.value is None
        assert found.reason
    else:
        expected = scipy.stats.pearsonr(true.astype(np.float64), predicted.astype(np.float64)).statistic
        assert found.value == pytest.approx(expected, abs=1e-9)
        assert found.reason is None


def test_negative_activations_count_as_they_are() -> None:
    clipped = np.maximum(TRUE, 0)
    assert correlation(TRUE, PREDICTED).value == pytest.approx(np.corrcoef(TRUE.astype(float), PREDICTED)[0, 1])
    assert correlation(TRUE, PREDICTED).value != correlation(clipped, PREDICTED).value


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_values_whose_squares_no_float_holds_correlate_all_the_same(scale: float) -> None:
    wide = TRUE.astype(np.float64) * scale
    assert correlation(wide, PREDICTED).value == pytest.approx(correlation(TRUE, PREDICTED).value)
    assert correlation(wide, wide).value == 1.0
    assert correlation(wide, -wide).value == -1.0


@pytest.mark.parametrize(
    ("true", "predicted", "reason"),
    [
        ([], [], "there is no token to compare"),
        ([1, 2], [3, 3], "the predicted activations are all alike"),
        ([1, 2, 1], [3, 3.000001, 3], "the predicted activations are all alike"),
        ([0, 0], [3, 3], "the predicted activations are all alike"),
        ([2, 2], [3, 4], "the true activations are all alike"),
        ([2, math.inf], [3, 4], "an activation is not a finite number"),
        ([2, 1], [3, math.nan], "an activation is not a finite number"),
    ],
)
def test_an_undefined_correlation_has_a_reason_and_no_value(
    true: list[float], predicted: list[float], reason: str
) -> None:
    found = correlation(np.array(true, dtype=np.float64), np.array(predicted, dtype=np.float64))
    assert found.value is None
    assert found.reason == reason


def test_predictions_of_another_number_of_tokens_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="2 true and 3 predicted activations"):
        correlation(np.zeros(2), np.zeros(3))


def test_the_other_measures_are_the_papers_formulas() -> None:
    a, p = [float(value) for value in TRUE], [float(value) for value in PREDICTED]
    squares = math.fsum((x - y) ** 2 for x, y in zip(a, p, strict=True)) / math.fsum(x * x for x in a)
    sizes = math.fsum(abs(x - y) for x, y in zip(a, p, strict=True)) / math.fsum(abs(x) for x in a)
    assert rsquared(TRUE, PREDICTED) == pytest.approx(1 - squares)
    assert absolute_deviation_explained(TRUE, PREDICTED) == pytest.approx(1 - sizes)
    assert rsquared(TRUE, TRUE) == absolute_deviation_explained(TRUE, TRUE) == 1.0
    assert rsquared(TRUE, np.zeros(6)) == absolute_deviation_explained(TRUE, np.zeros(6)) == 0.0


@pytest.mark.parametrize("true", [[], [0.0, 0.0], [1.0, math.inf], [math.nan, 1.0]])
def test_where_there_is_nothing_to_explain_the_other_measures_are_none(true: list[float]) -> None:
    values = np.array(true, dtype=np.float16)
    assert rsquared(values, np.ones(len(true))) is None
    assert absolute_deviation_explained(values, np.ones(len(true))) is None
