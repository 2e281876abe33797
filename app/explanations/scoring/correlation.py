"""How well predicted activations agree with true ones: three numbers, each undefined where it means nothing. Knows
neither who predicted nor what the activations belong to.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
Float64Array = npt.NDArray[np.float64]

ROUNDING = 1e-6
"""Differences below this share of the largest absolute value are rounding: predictions come as float32."""


@dataclass(frozen=True)
class Correlation:
    """value: Pearson's correlation, in [-1, 1]; None where it is undefined, and then `reason` says why."""

    value: float | None
    reason: str | None = None


def correlation(true: FloatArray, predicted: FloatArray) -> Correlation:
    """Pearson's correlation of true and predicted activations.

    true: raw activations, negative ones kept, shape (tokens,), of all scored excerpts one after the other.
    predicted: on any scale, same shape. Source: Bills et al. 2023.
    """
    if (reason := _why_undefined(true, predicted)) is not None:
        return Correlation(None, reason)
    first, second = _centred(true), _centred(predicted)
    value = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
    return Correlation(min(1.0, max(-1.0, value)))


def rsquared(true: FloatArray, predicted: FloatArray) -> float | None:
    """`1 - mean((a - p)^2) / mean(a^2)`, at most 1, for predictions on the scale of the true activations.

    Unlike the usual coefficient of determination it compares with predicting 0, not with predicting the mean. None
    where the true activations are all 0, where there are none, and where one is not a finite number.
    """
    return _explained(true, predicted, lambda values: float(np.mean(values**2)))


def absolute_deviation_explained(true: FloatArray, predicted: FloatArray) -> float | None:
    """`1 - mean|a - p| / mean|a|`, at most 1; scale, comparison and None as of `rsquared`."""
    return _explained(true, predicted, lambda values: float(np.mean(np.abs(values))))


def is_constant(values: FloatArray) -> bool:
    """Whether finite values differ by no more than rounding. Nothing at all is constant."""
    wide = values.astype(np.float64)
    return not len(wide) or float(np.ptp(wide)) <= ROUNDING * float(np.abs(wide).max())


def _why_undefined(true: FloatArray, predicted: FloatArray) -> str | None:
    if true.shape != predicted.shape:
        raise ValueError(f"{len(true)} true and {len(predicted)} predicted activations; expected as many")
    if not len(true):
        return "there is no token to compare"
    if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
        return "an activation is not a finite number"
    if is_constant(predicted):
        return "the predicted activations are all alike"
    return "the true activations are all alike" if is_constant(true) else None


def _centred(values: FloatArray) -> Float64Array:
    # Scaled first: the squares of very large or very small values would leave what float64 can hold.
    scaled: Float64Array = values.astype(np.float64) / float(np.abs(values).max())
    centred: Float64Array = scaled - scaled.mean()
    return centred


def _explained(true: FloatArray, predicted: FloatArray, mean_size: Callable[[Float64Array], float]) -> float | None:
    wide, predicted_wide = true.astype(np.float64), predicted.astype(np.float64)
    if not len(wide) or not (np.isfinite(wide).all() and np.isfinite(predicted_wide).all()):
        return None
    size = mean_size(wide)
    return 1.0 - mean_size(wide - predicted_wide) / size if size > 0 else None
