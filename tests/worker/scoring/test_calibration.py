"""Calibrations against numpy's least squares, and against ranks counted by hand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.explanations.scoring.correlation import correlation, rsquared
from worker.scoring.simulating.calibration import NotCalibrated, fitted

GENERATOR = np.random.default_rng(3)
PREDICTED = GENERATOR.uniform(0, 10, 60).astype(np.float32)
TRUE = (0.3 * PREDICTED - 0.5 + GENERATOR.normal(0, 0.4, 60)).astype(np.float16)
OTHERS = GENERATOR.uniform(0, 10, 30).astype(np.float32)
OTHERS_TRUE = (0.3 * OTHERS - 0.5 + GENERATOR.normal(0, 0.4, 30)).astype(np.float16)


def test_uncalibrated_ten_is_the_neurons_largest_activation() -> None:
    calibration = fitted("none", true=np.empty(0), predicted=np.empty(0), maximum=4.0)
    assert calibration.calibrated(np.array([0.0, 2.5, 10.0], dtype=np.float32)).tolist() == [0.0, 1.0, 4.0]
    assert calibration.parameters == {"kind": "none"}
    silent = fitted("none", true=np.empty(0), predicted=np.empty(0), maximum=-1.0)
    assert silent.calibrated(np.array([10.0])).tolist() == [0.0]


def test_linear_is_the_line_of_least_squares() -> None:
    calibration = fitted("linear", true=TRUE, predicted=PREDICTED, maximum=9.0)
    slope, intercept = np.polyfit(PREDICTED.astype(float), TRUE.astype(float), 1)
    assert calibration.parameters["slope"] == pytest.approx(slope)
    assert calibration.parameters["intercept"] == pytest.approx(intercept)
    assert calibration.calibrated(OTHERS) == pytest.approx(slope * OTHERS + intercept)
    assert json.loads(json.dumps(calibration.parameters)) == calibration.parameters


def test_a_rising_line_leaves_the_correlation_and_changes_how_much_is_explained() -> None:
    calibrated = fitted("linear", true=TRUE, predicted=PREDICTED, maximum=9.0).calibrated(OTHERS)
    before, after = correlation(OTHERS_TRUE, OTHERS).value, correlation(OTHERS_TRUE, calibrated).value
    assert before == pytest.approx(after)
    explained_before, explained_after = rsquared(OTHERS_TRUE, OTHERS), rsquared(OTHERS_TRUE, calibrated)
    assert explained_before is not None
    assert explained_after is not None
    assert explained_after > 0.8 > explained_before


def test_percentile_gives_the_nth_smallest_prediction_the_nth_smallest_activation() -> None:
    predicted, true = np.array([5.0, 1.0, 3.0, 9.0]), np.array([0.0, 7.0, -1.0, 2.0])
    calibration = fitted("percentile", true=true, predicted=predicted, maximum=9.0)
    assert calibration.calibrated(predicted).tolist() == [2.0, -1.0, 0.0, 7.0]
    # Half way between 3 and 5, and beyond both ends.
    assert calibration.calibrated(np.array([4.0, 0.0, 10.0])).tolist() == [1.0, -1.0, 7.0]
    assert calibration.parameters == {"kind": "percentile", "n_points": 4, "n_tokens": 4}


def test_percentile_gives_equal_predictions_the_mean_of_their_activations() -> None:
    predicted, true = np.array([0.0, 0.0, 0.0, 9.0]), np.array([5.0, 1.0, 0.0, 2.0])
    calibration = fitted("percentile", true=true, predicted=predicted, maximum=9.0)
    assert calibration.calibrated(np.array([0.0, 9.0])).tolist() == [1.0, 5.0]


@given(st.lists(st.tuples(st.floats(0, 10, width=32), st.floats(-100, 100, width=16)), min_size=2, max_size=30))
def test_percentile_never_falls_and_keeps_the_mean(pairs: list[tuple[float, float]]) -> None:
    predicted, true = (np.array(values) for values in zip(*pairs, strict=True))
    try:
        calibration = fitted("percentile", true=true, predicted=predicted, maximum=1.0)
    except NotCalibrated:
        return
    assert (np.diff(calibration.calibrated(np.linspace(-1, 11, 100))) >= -1e-9).all()
    assert calibration.calibrated(predicted).mean() == pytest.approx(true.mean(), abs=1e-6)


@pytest.mark.parametrize("kind", ["linear", "percentile"])
@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [
        ([], [], "there is no excerpt to calibrate on"),
        ([1.0, 2.0], [3.0, 3.0], "the predicted activations of the calibration excerpts are all alike"),
        ([2.0, 2.0], [3.0, 4.0], "the true activations of the calibration excerpts are all alike"),
        ([2.0, np.inf], [3.0, 4.0], "an activation of the calibration excerpts is not a finite number"),
    ],
)
def test_too_little_variation_is_no_calibration(
    kind: str, true: list[float], predicted: list[float], message: str
) -> None:
    with pytest.raises(NotCalibrated, match=message):
        fitted(kind, true=np.array(true), predicted=np.array(predicted), maximum=1.0)  # type: ignore[arg-type]
