"""The table of architectures: every row on a tiny model of the real class, against the formula of its family."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu, relu, silu
from transformers import AutoConfig, AutoModel

from app.errors import InvalidInput
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from worker.subjects.architectures import ARCHITECTURES
from worker.subjects.subject import load_subject
from worker.subjects.subject_size import n_layers_and_neurons

TOKEN_IDS = np.arange(24, dtype=np.int32).reshape(3, 8)

Values = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]
gelu_tanh = partial(gelu, approximate="tanh")


@dataclass(frozen=True)
class Family:
    """The MLP as papers have it. first: the module of a block that its input goes into. values: what comes of it."""

    blocks: str
    first: str
    values: Values
    is_gated: bool = False


def linear(module: torch.nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What a linear layer computes; not by calling it, because it may be the one that is listened at."""
    weight: Any = module.weight
    is_transposed = type(module).__name__ == "Conv1D"
    product = inputs @ (weight if is_transposed else weight.T)
    return product if module.bias is None else product + module.bias


def plain(blocks: str, first: str, non_linearity: Callable[[torch.Tensor], torch.Tensor]) -> Family:
    return Family(blocks, first, lambda module, inputs: non_linearity(linear(module, inputs)))


def gated(non_linearity: Callable[[torch.Tensor], torch.Tensor]) -> Family:
    def values(mlp: Any, inputs: torch.Tensor) -> torch.Tensor:
        return non_linearity(linear(mlp.gate_proj, inputs)) * linear(mlp.up_proj, inputs)

    return Family("layers", "mlp", values, is_gated=True)


def gated_in_one(mlp: Any, inputs: torch.Tensor) -> torch.Tensor:
    """Phi-3: one layer makes the gate, its first half, and what is gated, its second."""
    both = linear(mlp.gate_up_proj, inputs)
    return silu(both[..., :N_NEURONS]) * both[..., N_NEURONS:]


FAMILIES = {
    "bert": plain("encoder.layer", "intermediate.dense", gelu),
    "bloom": plain("h", "mlp.dense_h_to_4h", gelu_tanh),
    "distilbert": plain("transformer.layer", "ffn.lin1", gelu),
    "falcon": plain("h", "mlp.dense_h_to_4h", gelu),
    "gemma": gated(gelu_tanh),
    "gemma2": gated(gelu_tanh),
    "gemma3_text": gated(gelu_tanh),
    "gpt2": plain("h", "mlp.c_fc", gelu_tanh),
    "gpt_neo": plain("h", "mlp.c_fc", gelu_tanh),
    "gpt_neox": plain("layers", "mlp.dense_h_to_4h", gelu),
    "gptj": plain("h", "mlp.fc_in", gelu_tanh),
    "granite": gated(silu),
    "llama": gated(silu),
    "mistral": gated(silu),
    "olmo": gated(silu),
    "olmo2": gated(silu),
    "opt": plain("decoder.layers", "fc1", relu),
    "phi": plain("layers", "mlp.fc1", gelu_tanh),
    "phi3": Family("layers", "mlp", gated_in_one, is_gated=True),
    "qwen2": gated(silu),
    "qwen3": gated(silu),
    "roberta": plain("encoder.layer", "intermediate.dense", gelu),
    "smollm3": gated(silu),
    "stablelm": gated(silu),
    "starcoder2": plain("layers", "mlp.c_fc", gelu_tanh),
    "xlm-roberta": plain("encoder.layer", "intermediate.dense", gelu),
}


def expected_activations(folder: Path, family: Family) -> list[torch.Tensor]:
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32)
    expected: list[torch.Tensor] = []
    for block in model.get_submodule(family.blocks):
        block.get_submodule(family.first).register_forward_pre_hook(
            lambda module, inputs: expected.append(family.values(module, inputs[0]))
        )
    with torch.no_grad():
        model(torch.from_numpy(TOKEN_IDS).long())
    return [values.reshape(3, 8, N_NEURONS) for values in expected]


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_activations_are_the_values_after_the_non_linearity_of_every_layer(
    model_type: str, tiny_model: MakeModel
) -> None:
    folder = tiny_model(model_type)
    family = FAMILIES[model_type]
    expected = expected_activations(folder, family)

    subject = load_subject(folder, n_tokens=64, n_threads=1, dtype="float32")

    assert (subject.n_layers, subject.n_neurons_per_layer) == (N_LAYERS, N_NEURONS)
    assert (subject.model_type, subject.dtype, subject.n_threads) == (model_type, "float32", 1)
    assert subject.is_gated == family.is_gated
    assert n_layers_and_neurons(folder) == (N_LAYERS, N_NEURONS, family.is_gated)
    seen: list[torch.Tensor] = []
    layers: list[int] = []
    with subject.observing(lambda layer, activations: (layers.append(layer), seen.append(activations.clone()))):
        subject.forward(TOKEN_IDS)
    assert layers == list(range(N_LAYERS))
    for layer, values in zip(seen, expected, strict=True):
        torch.testing.assert_close(layer, values)
    assert max(layer.std() for layer in seen) > 0.01


def test_a_model_of_an_unknown_type_is_refused_before_its_weights_are_looked_for(tmp_path: Path) -> None:
    AutoConfig.for_model("mpt").save_pretrained(tmp_path)

    with pytest.raises(InvalidInput) as error:
        load_subject(tmp_path, n_tokens=64, n_threads=1)

    assert str(error.value) == (
        "the place of the neurons is not known in models of type 'mpt'; known are bert, bloom, distilbert, falcon, "
        "gemma, gemma2, gemma3_text, gpt2, gpt_neo, gpt_neox, gptj, granite, llama, mistral, olmo, olmo2, opt, phi, "
        "phi3, qwen2, qwen3, roberta, smollm3, stablelm, starcoder2, xlm-roberta; for another, name the last linear "
        'layer of its MLPs, such as --mlp-module "model.layers.{layer}.mlp.down_proj"'
    )


@pytest.mark.parametrize("config", ["{", "[]", "no json", '"llama"'])
def test_a_damaged_config_is_refused(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)

    with pytest.raises(InvalidInput, match=r"the config\.json in .* cannot be read"):
        load_subject(tmp_path, n_tokens=64, n_threads=1)


@pytest.mark.parametrize("model_type", ["null", "3", '["llama"]'])
def test_a_model_type_that_is_no_name_is_refused_as_unknown(model_type: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(f'{{"model_type": {model_type}}}')

    with pytest.raises(InvalidInput, match="the place of the neurons is not known in models of type"):
        load_subject(tmp_path, n_tokens=64, n_threads=1)
