"""Finds the last linear layer of every MLP in a model, by a pattern of module names with {layer} in it.

Knows how modules are named and what a linear layer is; not which model has which names.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from app.errors import InvalidInput
from worker.subjects.architectures import EXAMPLE_PATTERN, LAYER, Architecture, check_pattern

N_SUGGESTIONS = 3


@dataclass(frozen=True)
class MlpModules:
    """last_linears: one per layer, first layer first; their inputs are the neurons. n_neurons: of one layer."""

    last_linears: tuple[torch.nn.Module, ...]
    n_neurons: int
    is_gated: bool


def known_modules(model: Any, architecture: Architecture) -> MlpModules:
    """Where a row of the table of architectures says that they are. Errors: InvalidInput when they are not there."""
    found = _numbered(model, architecture.last_linear)
    return MlpModules(*_checked(found, architecture.last_linear), is_gated=architecture.is_gated)


def modules_named_by_hand(model: Any, pattern: str) -> MlpModules:
    """The modules that a pattern such as `model.layers.{layer}.mlp.down_proj` names.

    The model is loaded without its head, so that a name may have one component in front that the model lacks. Whether
    the MLP is gated shows in the names of the modules beside. Errors: InvalidInput when the pattern has not exactly one
    {layer}, when it names nothing, or modules that are no linear layers or of different sizes.
    """
    check_pattern(pattern)
    for name in (pattern, pattern.partition(".")[2]):
        if LAYER in name and (found := _numbered(model, name)):
            return MlpModules(*_checked(found, name), is_gated=_has_gate_beside(model, name))
    nearest = difflib.get_close_matches(pattern, sorted(_linear_patterns(model)), n=N_SUGGESTIONS, cutoff=0)
    raise InvalidInput(f'no module is named "{pattern}"; the nearest linear layers of the model are {_quoted(nearest)}')


def _numbered(model: Any, pattern: str) -> dict[int, torch.nn.Module]:
    before, after = (re.escape(part) for part in pattern.split(LAYER))
    matches = ((re.fullmatch(rf"{before}(\d+){after}", name), module) for name, module in model.named_modules())
    return {int(match[1]): module for match, module in matches if match}


def _checked(found: dict[int, torch.nn.Module], pattern: str) -> tuple[tuple[torch.nn.Module, ...], int]:
    layers = sorted(found)
    if layers != list(range(len(layers))) or not layers:
        there = f"the layers {', '.join(map(str, layers))}" if layers else "no layer"
        raise InvalidInput(f'"{pattern}" is there in {there} of the model; expected all from 0 without a gap')
    sizes = [_n_inputs(found[layer], pattern.replace(LAYER, str(layer))) for layer in layers]
    differing = next((layer for layer in layers if sizes[layer] != sizes[0]), None)
    if differing is not None:
        raise InvalidInput(
            f"layer {differing} of the model has {sizes[differing]} neurons and layer 0 has {sizes[0]}; "
            "expected the same number in every layer"
        )
    return tuple(found[layer] for layer in layers), sizes[0]


def _n_inputs(module: torch.nn.Module, name: str) -> int:
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, torch.nn.Linear):
        return module.in_features
    if isinstance(module, Conv1D):
        # The linear layer of GPT-2, whose weight lies the other way round.
        return int(module.weight.shape[0])
    raise InvalidInput(
        f'the module "{name}" is a {type(module).__name__}; '
        f'expected a linear layer, the last one of an MLP, as in "{EXAMPLE_PATTERN}"'
    )


def _has_gate_beside(model: Any, pattern: str) -> bool:
    parent, _, own_name = pattern.replace(LAYER, "0").rpartition(".")
    beside = (name for name, _module in model.get_submodule(parent).named_children())
    return any("gate" in name for name in beside if name != own_name)


def _linear_patterns(model: Any) -> Iterator[str]:
    from transformers.pytorch_utils import Conv1D

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            pattern, n_numbers = re.subn(r"(?<=\.)0(?=\.)", LAYER, name, count=1)
            if n_numbers:
                yield pattern


def _quoted(patterns: list[str]) -> str:
    return ", ".join(f'"{pattern}"' for pattern in patterns) or "none that stand in a list of layers"
