"""How large a subject model is, without loading it: its layers and neurons, and the memory its weights will take."""

from pathlib import Path
from typing import Any

import torch

from worker.library_errors import refused_as
from worker.subjects.architectures import check_pattern, known_architecture, read_config
from worker.subjects.devices import DTYPES, GpuMemory, chosen_dtype, free_gpu_memory
from worker.subjects.mlp_modules import MlpModules, known_modules, modules_named_by_hand
from worker.subjects.model_files import silence_transformers
from worker.subjects.weight_files import n_weights


def weights_bytes(folder: Path, dtype: str, *, gpu_memory: GpuMemory = free_gpu_memory) -> int:
    """Memory for the weights in a folder when they are computed in a number type (see chosen_dtype).

    At most so many: the language model's head counts though it is not loaded. Errors: InvalidInput for weights that
    are damaged or cut short, and for an unknown number type.
    """
    name = chosen_dtype(dtype, read_config(folder), has_gpu=bool(gpu_memory()))
    in_files = n_weights(folder)
    if in_files is None:
        # Weights in the older format of torch have no header; the modules of the model say how many there are.
        in_files = sum(weight.numel() for weight in _without_weights(folder).parameters())
    return in_files * DTYPES[name].itemsize


def n_layers_and_neurons(folder: Path, mlp_module: str | None = None) -> tuple[int, int, bool]:
    """(layers, neurons of one layer, whether the MLP is gated) of the model in a folder; no weights are read.

    Errors: InvalidInput as in load_subject, as far as the weights are not concerned.
    """
    check_place(folder, mlp_module)
    modules = mlp_modules(_without_weights(folder), folder, mlp_module)
    return len(modules.last_linears), modules.n_neurons, modules.is_gated


def mlp_modules(model: Any, folder: Path, mlp_module: str | None) -> MlpModules:
    """Where the neurons of the folder's model are: by its type, or by hand when a pattern is given."""
    if mlp_module is None:
        return known_modules(model, known_architecture(folder))
    return modules_named_by_hand(model, mlp_module)


def check_place(folder: Path, mlp_module: str | None) -> None:
    """What can be said of the neurons' place from config.json alone. Errors: InvalidInput."""
    if mlp_module is None:
        known_architecture(folder)
    else:
        check_pattern(mlp_module)
        read_config(folder)


def _without_weights(folder: Path) -> Any:
    """The model with all its modules and no memory behind its weights. Errors: InvalidInput."""
    from transformers import AutoConfig, AutoModel

    auto_model: Any = AutoModel
    silence_transformers()
    with refused_as(f"the model in {folder} cannot be loaded"), torch.device("meta"):
        return auto_model.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
