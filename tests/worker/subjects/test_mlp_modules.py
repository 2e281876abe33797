"""Naming the last linear layers of the MLPs by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Linear, Module, ModuleDict, ModuleList

from app.errors import InvalidInput
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from worker.subjects.mlp_modules import modules_named_by_hand
from worker.subjects.subject import Subject, load_subject
from worker.subjects.subject_size import n_layers_and_neurons

TOKEN_IDS = np.arange(24, dtype=np.int32).reshape(3, 8)


def layer(**modules: Module) -> Module:
    return ModuleDict({"mlp": ModuleDict(modules)})


def model_of(*layers: Module) -> Any:
    return ModuleDict({"layers": ModuleList(layers)})


def observed(subject: Subject) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    with subject.observing(lambda _layer, activations: seen.append(activations.clone())):
        subject.forward(TOKEN_IDS)
    return seen


@pytest.mark.parametrize("pattern", ["model.layers.{layer}.mlp.down_proj", "layers.{layer}.mlp.down_proj"])
@pytest.mark.parametrize(("model_type", "is_gated"), [("llama", True), ("cohere", True), ("nemotron", False)])
def test_a_module_is_named_as_in_the_model_with_or_without_its_head(
    pattern: str, model_type: str, is_gated: bool, tiny_model: MakeModel
) -> None:
    folder = tiny_model(model_type)

    subject = load_subject(folder, n_tokens=64, n_threads=1, mlp_module=pattern)

    assert (subject.n_layers, subject.n_neurons_per_layer, subject.is_gated) == (N_LAYERS, N_NEURONS, is_gated)
    assert n_layers_and_neurons(folder, pattern) == (N_LAYERS, N_NEURONS, is_gated)
    assert [activations.shape for activations in observed(subject)] == [(3, 8, N_NEURONS)] * N_LAYERS


def test_a_module_named_by_hand_gives_what_the_table_gives(tiny_model: MakeModel) -> None:
    folder = tiny_model("gpt2")
    by_hand, by_table = (
        load_subject(folder, n_tokens=64, n_threads=1, mlp_module=pattern)
        for pattern in ("transformer.h.{layer}.mlp.c_proj", None)
    )

    for activations, expected in zip(observed(by_hand), observed(by_table), strict=True):
        assert torch.equal(activations, expected)


@pytest.mark.parametrize("pattern", ["layers.0.mlp.down_proj", "layers.{layer}.mlp.{layer}", "layers.{n}.mlp", ""])
def test_a_pattern_that_does_not_say_where_the_layer_stands_is_refused(pattern: str, tiny_model: MakeModel) -> None:
    with pytest.raises(InvalidInput) as error:
        load_subject(tiny_model(), n_tokens=64, n_threads=1, mlp_module=pattern)

    assert str(error.value) == (
        f'the MLP module "{pattern}" does not say where a layer\'s number stands; '
        'expected {layer} once between dots, as in "model.layers.{layer}.mlp.down_proj"'
    )


def test_a_pattern_that_names_nothing_is_refused_with_the_nearest_before_the_weights_are_read(
    tiny_model: MakeModel,
) -> None:
    folder = tiny_model()
    (folder / "model.safetensors").unlink()

    with pytest.raises(InvalidInput) as error:
        load_subject(folder, n_tokens=64, n_threads=1, mlp_module="model.layers.{layer}.mlp.donw_proj")

    message = str(error.value)
    assert message.startswith('no module is named "model.layers.{layer}.mlp.donw_proj"; the nearest linear layers of ')
    assert '"layers.{layer}.mlp.down_proj"' in message
    assert message.count('"') == 8


def test_a_module_that_is_no_linear_layer_is_refused(tiny_model: MakeModel) -> None:
    with pytest.raises(InvalidInput) as error:
        load_subject(tiny_model(), n_tokens=64, n_threads=1, mlp_module="model.layers.{layer}.mlp")

    assert str(error.value) == (
        'the module "layers.0.mlp" is a LlamaMLP; '
        'expected a linear layer, the last one of an MLP, as in "model.layers.{layer}.mlp.down_proj"'
    )


def test_layers_of_different_sizes_are_refused() -> None:
    model = model_of(layer(out=Linear(24, 4)), layer(out=Linear(24, 4)), layer(out=Linear(48, 4)))

    with pytest.raises(
        InvalidInput, match="layer 2 of the model has 48 neurons and layer 0 has 24; expected the same number"
    ):
        modules_named_by_hand(model, "layers.{layer}.mlp.out")


def test_a_module_that_some_layers_lack_is_refused() -> None:
    model = model_of(layer(other=Linear(24, 4)), layer(out=Linear(24, 4)), layer(out=Linear(24, 4)))

    with pytest.raises(InvalidInput) as error:
        modules_named_by_hand(model, "layers.{layer}.mlp.out")

    assert str(error.value) == (
        '"layers.{layer}.mlp.out" is there in the layers 1, 2 of the model; expected all from 0 without a gap'
    )


def test_layers_are_in_the_order_of_their_numbers() -> None:
    linears = [Linear(2, 2) for _ in range(12)]

    found = modules_named_by_hand(model_of(*(layer(out=linear) for linear in linears)), "layers.{layer}.mlp.out")

    assert found.last_linears == tuple(linears)


def test_a_gate_beside_the_module_makes_the_mlp_gated() -> None:
    with_gate = model_of(layer(out=Linear(24, 4), gate_up_proj=Linear(4, 48)))
    without = model_of(layer(out_gate=Linear(24, 4), up_proj=Linear(4, 24)))

    assert modules_named_by_hand(with_gate, "layers.{layer}.mlp.out").is_gated
    assert not modules_named_by_hand(without, "layers.{layer}.mlp.out_gate").is_gated


def test_a_model_that_cannot_read_text_by_itself_is_refused_in_one_line(tiny_model: MakeModel) -> None:
    folder = tiny_model("t5", d_model=16, d_kv=8, d_ff=N_NEURONS, num_layers=N_LAYERS, num_heads=2)
    pattern = "encoder.block.{layer}.layer.1.DenseReluDense.wo"

    with pytest.raises(InvalidInput) as error:
        load_subject(folder, n_tokens=64, n_threads=1, mlp_module=pattern)

    assert str(error.value).startswith(f'the activations at "{pattern}" cannot be observed: ')
    assert "\n" not in str(error.value)


def test_modules_that_the_model_never_comes_to_are_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model("bert", is_decoder=True, add_cross_attention=True)

    with pytest.raises(InvalidInput) as error:
        load_subject(
            folder, n_tokens=64, n_threads=1, mlp_module="bert.encoder.layer.{layer}.crossattention.output.dense"
        )

    assert str(error.value) == (
        'reading text, the model comes to "bert.encoder.layer.{layer}.crossattention.output.dense" in no layer; '
        "expected once in each of its 2 layers, in order"
    )


def test_an_mlp_of_all_tokens_beside_experts_can_be_named(tiny_model: MakeModel) -> None:
    folder = tiny_model("qwen2_moe", shared_expert_intermediate_size=N_NEURONS, num_experts=2, num_experts_per_tok=1)

    subject = load_subject(
        folder, n_tokens=64, n_threads=1, mlp_module="model.layers.{layer}.mlp.shared_expert.down_proj"
    )

    assert subject.is_gated
    assert [activations.shape for activations in observed(subject)] == [(3, 8, N_NEURONS)] * N_LAYERS
