"""The memory of a model's weights and its shape, told from its files alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, LlamaForCausalLM

from app.errors import InvalidInput
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from worker.subjects.subject import load_subject
from worker.subjects.subject_size import n_layers_and_neurons, weights_bytes


def n_weights(folder: Path) -> int:
    model: Any = AutoModel.from_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(("dtype", "n_bytes"), [("float32", 4), ("float16", 2), ("bfloat16", 2), ("auto", 4)])
def test_weights_take_as_many_bytes_as_the_number_type_has(dtype: str, n_bytes: int, tiny_model: MakeModel) -> None:
    folder = tiny_model()

    assert weights_bytes(folder, dtype, gpu_memory=list) == n_weights(folder) * n_bytes


def test_auto_counts_the_models_own_number_type_where_there_is_a_gpu(tmp_path: Path, tiny_model: MakeModel) -> None:
    AutoModel.from_pretrained(tiny_model(), dtype=torch.bfloat16).save_pretrained(tmp_path)

    assert weights_bytes(tmp_path, "auto", gpu_memory=lambda: [10**9]) == n_weights(tmp_path) * 2
    assert weights_bytes(tmp_path, "auto", gpu_memory=list) == n_weights(tmp_path) * 4


def test_the_files_of_a_model_in_several_are_added_up_and_copies_for_other_programs_are_not(
    tmp_path: Path, tiny_model: MakeModel
) -> None:
    folder = tiny_model()
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path, max_shard_size="20KB")
    save_file(load_file(folder / "model.safetensors"), tmp_path / "consolidated.safetensors")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1

    assert weights_bytes(tmp_path, "float32") == n_weights(folder) * 4


def test_a_file_of_the_weights_that_is_missing_is_named(tmp_path: Path, tiny_model: MakeModel) -> None:
    AutoModel.from_pretrained(tiny_model()).save_pretrained(tmp_path, max_shard_size="20KB")
    missing = min(tmp_path.glob("model-*.safetensors"))
    missing.unlink()

    for read in (lambda: weights_bytes(tmp_path, "float32"), lambda: load_subject(tmp_path, n_tokens=64, n_threads=1)):
        with pytest.raises(InvalidInput, match=f"cannot be loaded: the file {missing.name} of its weights is missing$"):
            read()


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}'])
def test_a_damaged_list_of_the_weights_files_is_refused(index: str, tiny_model: MakeModel) -> None:
    folder = tiny_model()
    (folder / "model.safetensors.index.json").write_text(index)

    with pytest.raises(InvalidInput, match=r"model\.safetensors\.index\.json is damaged"):
        weights_bytes(folder, "float32")


def header_of(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 100,
        header_of([]),
        header_of({"a": 1}),
        header_of({"a": {"shape": [2], "data_offsets": []}}),
        header_of({"a": {"data_offsets": [0, 0]}}),
    ],
)
def test_weights_with_a_damaged_header_are_refused(content: bytes, tiny_model: MakeModel) -> None:
    folder = tiny_model()
    (folder / "model.safetensors").write_bytes(content)

    with pytest.raises(InvalidInput, match=r"model\.safetensors cannot be loaded: it is damaged"):
        weights_bytes(folder, "float32")


def test_weights_that_are_no_safetensors_are_counted_by_the_models_shape(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    n_bytes = n_weights(folder) * 4
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    assert weights_bytes(folder, "float32") == n_bytes
    assert load_subject(folder, n_tokens=64, n_threads=1).n_layers == N_LAYERS


def test_a_language_models_head_counts_too(tmp_path: Path, tiny_model: MakeModel) -> None:
    folder = tiny_model()
    LlamaForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)

    assert weights_bytes(tmp_path, "float32") == weights_bytes(folder, "float32") + 300 * 16 * 4


def test_layers_and_neurons_are_told_without_weights(tiny_model: MakeModel) -> None:
    folder = tiny_model("gpt_neox")
    (folder / "model.safetensors").unlink()

    assert n_layers_and_neurons(folder) == (N_LAYERS, N_NEURONS, False)
    assert n_layers_and_neurons(folder, "gpt_neox.layers.{layer}.attention.dense") == (N_LAYERS, 16, False)


def test_a_config_that_makes_no_model_is_refused_in_one_line(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": "wide"}))

    with pytest.raises(InvalidInput, match=r"^the model in .* cannot be loaded: ") as error:
        n_layers_and_neurons(folder)

    assert "\n" not in str(error.value)
