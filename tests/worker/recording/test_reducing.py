"""Reading activations off once: compiled loops and torch against numpy, for shapes that fit no block."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from app.errors import InvalidInput
from worker.recording.kernels import LARGEST_FLOAT16
from worker.recording.reducing import Reader, _filled, as_compared, as_stored

Array = npt.NDArray[Any]

SHAPES = [(1, 1, 1), (3, 9, 127), (2, 8, 128), (4, 17, 129), (2, 64, 300), (5, 3, 513)]


def some(shape: tuple[int, int, int]) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_the_loops_give_maxima_minima_and_sums_in_the_order_of_the_tokens(
    shape: tuple[int, int, int], n_threads: int
) -> None:
    activations = some(shape)
    origin = activations[0, 0]
    distances = activations - origin
    squares = distances * distances
    powers = [activations > 0, distances, squares, squares * distances, squares * squares]

    result = Reader(0, n_threads).reduced(torch.from_numpy(activations), origin[None], 0)

    np.testing.assert_array_equal(result.maxima, activations.max(axis=1))
    np.testing.assert_array_equal(result.minima, activations.min(axis=1))
    for of_power, power in zip(result.sums, powers, strict=True):
        np.testing.assert_array_equal(of_power, np.add.accumulate(power.astype(np.float32), axis=1)[:, -1])


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torch_gives_what_the_loops_give(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    activations = torch.from_numpy(some(shape)).to(dtype)
    origin = activations[0, 1].float().numpy()

    by_loops = Reader(1, 1).reduced(activations, origin[None], 0)
    by_torch = _filled(shape[0], shape[2])
    Reader(1, 1)._by_torch(activations, origin[None], 0, by_torch)

    np.testing.assert_array_equal(by_torch.maxima, by_loops.maxima)
    np.testing.assert_array_equal(by_torch.minima, by_loops.minima)
    np.testing.assert_array_equal(by_torch.sums[0], by_loops.sums[0])
    np.testing.assert_allclose(by_torch.sums, by_loops.sums, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_ignored", [0, 1, 8])
def test_tokens_that_do_not_count_are_not_looked_at(n_ignored: int) -> None:
    activations = some((2, 9, 5))
    origin = np.zeros((1, 5), dtype=np.float32)
    expected = Reader(0, 1).reduced(torch.from_numpy(activations[:, n_ignored:].copy()), origin, 0)
    activations[:, :n_ignored] = np.nan

    result = Reader(n_ignored, 1).reduced(torch.from_numpy(activations), origin, 0)

    for name in ("maxima", "minima", "sums"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_ignored", [0, 1, 7])
def test_maxima_alone_are_the_same(shape: tuple[int, int, int], n_ignored: int) -> None:
    activations = some(shape)
    n_ignored = min(n_ignored, shape[1] - 1)
    expected = activations[:, n_ignored:].max(axis=1)
    activations[:, :n_ignored] = np.nan

    np.testing.assert_array_equal(Reader(n_ignored, 1).maxima(torch.from_numpy(activations)), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0, 0), (3, 16, 128), (2, 5, 64)])
def test_one_activation_that_is_not_finite_is_found(value: float, place: tuple[int, int, int]) -> None:
    activations = some((4, 17, 129))
    activations[place] = value

    with pytest.raises(InvalidInput):
        Reader(0, 2).reduced(torch.from_numpy(activations), np.zeros((1, 129), dtype=np.float32), 0)
    with pytest.raises(InvalidInput):
        Reader(0, 1).maxima(torch.from_numpy(activations))


def test_activations_laid_out_in_another_order_are_read_right() -> None:
    activations = some((4, 9, 20))
    turned = torch.from_numpy(activations.transpose(2, 1, 0).copy()).permute(2, 1, 0)

    result = Reader(0, 1).reduced(turned, np.zeros((1, 20), dtype=np.float32), 0)

    np.testing.assert_array_equal(result.maxima, activations.max(axis=1))


def test_columns_are_copied_as_they_are_stored() -> None:
    activations = some((3, 6, 5)) * 1e5
    excerpts, neurons = np.array([2, 0, 0]), np.array([4, 1, 1])

    copied = Reader(2, 1).columns(torch.from_numpy(activations), excerpts, neurons)

    expected = np.clip(activations[excerpts, :, neurons], -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)
    expected[:, :2] = 0
    np.testing.assert_array_equal(copied, expected)


@pytest.mark.parametrize("value", [1e6, 3e38])
def test_what_is_too_large_for_float16_becomes_its_largest_number(value: float) -> None:
    activations = np.array([[[value, -value, 65519]]], dtype=np.float32)
    reader = Reader(0, 1)

    result = reader.reduced(torch.from_numpy(activations), np.zeros((1, 3), dtype=np.float32), 0)
    copied = reader.columns(torch.from_numpy(activations), np.zeros(3, dtype=np.int64), np.arange(3))

    assert result.maxima.tolist() == result.minima.tolist() == [[65504, -65504, 65504]]
    assert reader.maxima(torch.from_numpy(activations)).tolist() == [[65504, -65504, 65504]]
    assert copied.tolist() == [[65504], [-65504], [65504]]


def test_values_are_rounded_as_numpy_rounds_them() -> None:
    values = np.linspace(-65504, 65504, 100_001, dtype=np.float32)
    values = np.concatenate([values, values * np.float32(1e-8), values / np.float32(2**24)])

    np.testing.assert_array_equal(as_stored(values), values.astype(np.float16))
    np.testing.assert_array_equal(as_compared(as_stored(values)), values.astype(np.float16).astype(np.float32))
