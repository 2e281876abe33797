"""Which number type a model is computed in, and on which devices it lies. Knows sizes in bytes; loads nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from app.errors import InvalidInput, Unavailable

AUTO = "auto"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

LARGEST_SHARE_OF_MEMORY = 0.9
"""Of a GPU's free memory, for weights: the rest is for the activations of a batch and what is kept of them."""

GpuMemory = Callable[[], Sequence[int]]
"""Free bytes of every GPU; empty without one."""


def free_gpu_memory() -> list[int]:
    """Of the GPUs that CUDA shows to this process, in their order."""
    return [torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count())]


def chosen_dtype(asked: str, config: dict[str, Any], *, has_gpu: bool) -> str:
    """The name of the number type to compute in. config: of config.json.

    `auto` is float32 on a CPU, where shorter numbers are many times slower, and the model's own type on a GPU.
    Errors: InvalidInput for another name.
    """
    if asked != AUTO:
        if asked not in DTYPES:
            raise InvalidInput(f"the number type {asked!r} is not known; expected {AUTO}, {', '.join(DTYPES)}")
        return asked
    own = _own_dtype(config)
    return own if has_gpu and own in DTYPES else "float32"


def chosen_device(n_bytes: int, free: Sequence[int]) -> torch.device | None:
    """Where a model of so many bytes goes: to the GPU with the most room; None: over all GPUs; the CPU without a GPU.

    free: bytes of every GPU.
    Errors: Unavailable when all GPUs together have too little free memory.
    """
    if not free:
        return torch.device("cpu")
    if n_bytes <= LARGEST_SHARE_OF_MEMORY * max(free):
        return torch.device("cuda", list(free).index(max(free)))
    if n_bytes <= LARGEST_SHARE_OF_MEMORY * sum(free) and len(free) > 1:
        return None
    gpus = "1 GPU" if len(free) == 1 else f"{len(free)} GPUs"
    raise Unavailable(
        f"the model's weights take {_gigabytes(n_bytes)} and the free memory of {gpus} is {_gigabytes(sum(free))}; "
        "use shorter numbers (--dtype bfloat16), or hide the GPUs to compute on the CPU (CUDA_VISIBLE_DEVICES=)"
    )


def _own_dtype(config: dict[str, Any]) -> str:
    # A model for text and images keeps what concerns text in a part of its own; older files say torch_dtype.
    for part in (config, config.get("text_config")):
        if isinstance(part, dict) and (own := part.get("dtype") or part.get("torch_dtype")):
            return str(own)
    return ""


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
