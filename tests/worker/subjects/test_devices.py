"""Which number type and which devices a model gets, for given free memory."""

from typing import Any

import pytest
import torch

from app.errors import InvalidInput, Unavailable
from worker.subjects.devices import chosen_device, chosen_dtype, free_gpu_memory


@pytest.mark.parametrize(
    ("asked", "config", "has_gpu", "dtype"),
    [
        ("auto", {"dtype": "bfloat16"}, True, "bfloat16"),
        ("auto", {"torch_dtype": "float16"}, True, "float16"),
        ("auto", {"dtype": "float32"}, True, "float32"),
        ("auto", {"text_config": {"dtype": "bfloat16"}}, True, "bfloat16"),
        ("auto", {}, True, "float32"),
        ("auto", {"dtype": "float64"}, True, "float32"),
        ("auto", {"dtype": "bfloat16"}, False, "float32"),
        ("float16", {"dtype": "bfloat16"}, True, "float16"),
        ("bfloat16", {"dtype": "float32"}, False, "bfloat16"),
        ("float32", {"dtype": "bfloat16"}, True, "float32"),
    ],
)
def test_the_number_type_is_the_one_asked_for_or_the_models_own_on_a_gpu(
    asked: str, config: dict[str, Any], has_gpu: bool, dtype: str
) -> None:
    assert chosen_dtype(asked, config, has_gpu=has_gpu) == dtype


@pytest.mark.parametrize("asked", ["", "int8", "torch.float32", "Float32"])
def test_another_number_type_is_refused(asked: str) -> None:
    with pytest.raises(InvalidInput, match=f"the number type '{asked}' is not known; expected auto, float32, float16"):
        chosen_dtype(asked, {}, has_gpu=True)


@pytest.mark.parametrize(
    ("n_bytes", "free", "device"),
    [
        (10**12, [], "cpu"),
        (900, [1000], "cuda:0"),
        (900, [500, 1000], "cuda:1"),
        (90, [1000, 1000], "cuda:0"),
        (901, [500, 1000], None),
        (1350, [500, 1000], None),
    ],
)
def test_a_model_goes_where_it_fits(n_bytes: int, free: list[int], device: str | None) -> None:
    assert chosen_device(n_bytes, free) == (None if device is None else torch.device(device))


@pytest.mark.parametrize(("n_bytes", "free"), [(901, [1000]), (1351, [500, 1000])])
def test_a_model_that_all_gpus_together_have_no_room_for_is_refused(n_bytes: int, free: list[int]) -> None:
    with pytest.raises(Unavailable, match=r"use shorter numbers \(--dtype bfloat16\), or hide the GPUs"):
        chosen_device(n_bytes, free)


def test_sizes_are_told_in_gigabytes() -> None:
    with pytest.raises(
        Unavailable, match=r"^the model's weights take 30\.0 GB and the free memory of 2 GPUs is 24\.5 GB;"
    ):
        chosen_device(30 * 10**9, [16 * 10**9, 85 * 10**8])


def test_the_free_memory_is_asked_of_every_gpu_that_is_there() -> None:
    assert len(free_gpu_memory()) == torch.cuda.device_count()
