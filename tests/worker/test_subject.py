"""Loading subject models, and where their activations are taken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from app.errors import InvalidInput
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from worker.subject import ARCHITECTURES, Subject, load_subject, load_tokenizer

TOKEN_IDS = np.arange(24, dtype=np.int32).reshape(3, 8)


def observed(subject: Subject, token_ids: np.ndarray[Any, np.dtype[np.int32]]) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    with subject.observing(lambda layer, activations: seen.insert(layer, activations.clone())):
        subject.forward(token_ids)
    return seen


def values_after_the_non_linearity(model: Any, mlp: Any, inputs: torch.Tensor) -> torch.Tensor:
    """By the formula of the family, from the input of an MLP."""
    if model.config.model_type == "gpt2":
        return torch.nn.functional.gelu(mlp.c_fc(inputs), approximate="tanh")
    gate = mlp.gate_proj(inputs)
    # Gemma's gate is a GELU, the others' is a SiLU.
    is_gemma = model.config.model_type == "gemma"
    activated = torch.nn.functional.gelu(gate, approximate="tanh") if is_gemma else torch.nn.functional.silu(gate)
    return activated * mlp.up_proj(inputs)


@pytest.mark.parametrize("model_type", sorted(ARCHITECTURES))
def test_activations_are_the_values_after_the_non_linearity_of_every_layer(
    model_type: str, tiny_model: MakeModel
) -> None:
    folder = tiny_model(model_type)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    blocks = model.h if model_type == "gpt2" else model.layers
    expected: list[torch.Tensor] = []
    for block in blocks:
        block.mlp.register_forward_pre_hook(
            lambda mlp, inputs: expected.append(values_after_the_non_linearity(model, mlp, inputs[0]))
        )
    with torch.no_grad():
        model(torch.from_numpy(TOKEN_IDS).long())

    subject = load_subject(folder, n_tokens=64, n_threads=1)

    assert (subject.n_layers, subject.n_neurons_per_layer) == (N_LAYERS, N_NEURONS)
    assert (subject.model_type, subject.dtype, subject.n_threads) == (model_type, "float32", 1)
    seen = observed(subject, TOKEN_IDS)
    assert [layer.shape for layer in seen] == [(3, 8, N_NEURONS)] * N_LAYERS
    for layer, values in zip(seen, expected, strict=True):
        torch.testing.assert_close(layer, values)
    assert max(layer.std() for layer in seen) > 0.01


def test_a_model_saved_with_its_language_model_head_gives_the_same_activations(
    tmp_path: Path, tiny_model: MakeModel
) -> None:
    from transformers import LlamaForCausalLM

    folder = tiny_model("llama")
    with_head = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with_head.save_pretrained(tmp_path)

    seen = observed(load_subject(tmp_path, n_tokens=64, n_threads=1), TOKEN_IDS)

    expected = observed(load_subject(folder, n_tokens=64, n_threads=1), TOKEN_IDS)
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_weights_stored_in_half_precision_are_computed_with_in_float32(tmp_path: Path, tiny_model: MakeModel) -> None:
    AutoModel.from_pretrained(tiny_model("llama"), dtype=torch.bfloat16).save_pretrained(tmp_path)

    seen = observed(load_subject(tmp_path, n_tokens=64, n_threads=1), TOKEN_IDS)

    assert {layer.dtype for layer in seen} == {torch.float32}


def test_nothing_is_observed_after_the_block_ends(tiny_model: MakeModel) -> None:
    subject = load_subject(tiny_model(), n_tokens=64, n_threads=1)
    seen: list[int] = []
    with pytest.raises(RuntimeError), subject.observing(lambda layer, _: seen.append(layer)):
        raise RuntimeError

    subject.forward(TOKEN_IDS)

    assert seen == []


def test_a_model_without_a_known_mlp_is_refused_with_the_known_ones(tiny_model: MakeModel) -> None:
    folder = tiny_model("gpt_neox")

    with pytest.raises(InvalidInput) as error:
        load_subject(folder, n_tokens=64, n_threads=1)

    assert str(error.value) == (
        "the place of the neurons is not known in models of type 'gpt_neox'; "
        "known are gemma, gpt2, llama, mistral, qwen2, qwen3, smollm3"
    )


def test_a_model_that_reads_less_than_an_excerpt_is_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model("gpt2", n_positions=32)

    with pytest.raises(InvalidInput, match="reads 32 tokens at once; expected at least 64"):
        load_subject(folder, n_tokens=64, n_threads=1)


@pytest.mark.parametrize("config", ["{", "[]", "no json"])
def test_a_damaged_config_is_refused(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)

    with pytest.raises(InvalidInput, match=r"the config\.json in .* cannot be read"):
        load_subject(tmp_path, n_tokens=64, n_threads=1)


def test_damaged_weights_are_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    (folder / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(InvalidInput, match="cannot be loaded"):
        load_subject(folder, n_tokens=64, n_threads=1)


def test_a_model_with_weights_missing_is_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": N_LAYERS + 1}))

    with pytest.raises(InvalidInput, match=r"lacks weights, among them layers\.2\."):
        load_subject(folder, n_tokens=64, n_threads=1)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path, tiny_model: MakeModel) -> None:
    folder = tiny_model()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()

    with pytest.raises(InvalidInput, match="tokenizer"):
        load_tokenizer(folder)
