"""Puts a simulator's predictions, 0-10, on the scale of the neuron's activations, fitted on excerpts that are not
scored. Knows no model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.explanations.scoring.correlation import FloatArray, is_constant
from app.explanations.scoring.simulating.examples import LARGEST

CalibrationKind = Literal["none", "linear", "percentile"]
Float64Array = npt.NDArray[np.float64]


class NotCalibrated(ValueError):
    """There is too little to fit a calibration on. The message says what."""


@dataclass(frozen=True)
class Calibration:
    """calibrated: predictions, shape (tokens,), to raw activations of the same shape.

    parameters: what was fitted, for people; values that JSON can hold.
    """

    calibrated: Callable[[FloatArray], Float64Array]
    parameters: Mapping[str, Any]


def fitted(kind: CalibrationKind, *, true: FloatArray, predicted: FloatArray, maximum: float) -> Calibration:
    """A calibration of one neuron's predictions for one explanation.

    true, predicted: of all tokens of the calibration excerpts, shape (tokens,); `none` ignores them.
    maximum: the neuron's largest activation, which a prediction of 10 means without calibration.
    Errors: NotCalibrated when predictions or activations hardly vary.
    """
    if kind == "none":
        return _by_maximum(maximum)
    if not len(true):
        raise NotCalibrated("there is no excerpt to calibrate on")
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        raise NotCalibrated("an activation of the calibration excerpts is not a finite number")
    for values, name in ((predicted, "predicted"), (true, "true")):
        if is_constant(values):
            raise NotCalibrated(f"the {name} activations of the calibration excerpts are all alike")
    wide_true, wide_predicted = true.astype(np.float64), predicted.astype(np.float64)
    return _linear(wide_true, wide_predicted) if kind == "linear" else _percentile(wide_true, wide_predicted)


def _by_maximum(maximum: float) -> Calibration:
    slope = max(0.0, maximum) / LARGEST
    return Calibration(lambda values: slope * values.astype(np.float64), {"kind": "none"})


def _linear(true: Float64Array, predicted: Float64Array) -> Calibration:
    """The straight line with the least squares of its distances from the true activations."""
    centred = predicted - predicted.mean()
    slope = float(centred @ true / (centred @ centred))
    intercept = float(true.mean() - slope * predicted.mean())
    return Calibration(
        lambda values: slope * values.astype(np.float64) + intercept,
        {"kind": "linear", "slope": slope, "intercept": intercept, "n_tokens": len(true)},
    )


def _percentile(true: Float64Array, predicted: Float64Array) -> Calibration:
    """The n-th smallest prediction becomes the n-th smallest activation; in between it is interpolated, beyond both
    ends level. Equal predictions become the mean of the activations that fall to them."""
    points, places = np.unique(predicted, return_inverse=True)
    ranked = np.empty(len(true))
    ranked[np.argsort(predicted, kind="stable")] = np.sort(true)
    activations = np.bincount(places, weights=ranked) / np.bincount(places)
    return Calibration(
        lambda values: np.interp(values.astype(np.float64), points, activations),
        {"kind": "percentile", "n_points": len(points), "n_tokens": len(true)},
    )
