"""Loading subject models, and where their activations are taken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, BertForMaskedLM, RobertaForMaskedLM

from app.errors import InvalidInput
from tests.worker.conftest import N_LAYERS, N_NEURONS, MakeModel
from worker.subjects.subject import Subject, load_subject, load_tokenizer
from worker.subjects.subject_size import weights_bytes

TOKEN_IDS = np.arange(24, dtype=np.int32).reshape(3, 8)


def observed(subject: Subject, token_ids: np.ndarray[Any, np.dtype[np.int32]]) -> list[torch.Tensor]:
    seen: list[torch.Tensor] = []
    with subject.observing(lambda layer, activations: seen.insert(layer, activations.clone())):
        subject.forward(token_ids)
    return seen


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


@pytest.mark.parametrize(("model_type", "with_head"), [("bert", BertForMaskedLM), ("roberta", RobertaForMaskedLM)])
def test_an_encoder_saved_without_a_pooler_gives_the_same_activations(
    model_type: str, with_head: Any, tmp_path: Path, tiny_model: MakeModel
) -> None:
    folder = tiny_model(model_type)
    with_head.from_pretrained(folder, dtype=torch.float32).save_pretrained(tmp_path)
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "pooler" in name]

    seen = observed(load_subject(tmp_path, n_tokens=64, n_threads=1), TOKEN_IDS)

    expected = observed(load_subject(folder, n_tokens=64, n_threads=1), TOKEN_IDS)
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_an_encoder_attends_to_every_token_of_an_excerpt_and_to_no_other(tiny_model: MakeModel) -> None:
    subject = load_subject(tiny_model("bert"), n_tokens=64, n_threads=1)
    changed_at_the_end = TOKEN_IDS.copy()
    changed_at_the_end[:, -1] += 100

    first, second = (observed(subject, token_ids)[1] for token_ids in (TOKEN_IDS, changed_at_the_end))
    alone = observed(subject, TOKEN_IDS[:1])[1]

    assert (first[:, 0] != second[:, 0]).any()
    torch.testing.assert_close(alone[0], first[0])


def test_weights_stored_in_half_precision_are_computed_with_in_float32_on_a_cpu(
    tmp_path: Path, tiny_model: MakeModel
) -> None:
    AutoModel.from_pretrained(tiny_model("llama"), dtype=torch.bfloat16).save_pretrained(tmp_path)

    subject = load_subject(tmp_path, n_tokens=64, n_threads=1, gpu_memory=list)

    assert subject.dtype == "float32"
    assert {layer.dtype for layer in observed(subject, TOKEN_IDS)} == {torch.float32}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("model_type", ["gpt2", "gemma2", "opt", "bert"])
def test_a_model_is_computed_in_the_number_type_that_is_asked_for(
    dtype: str, model_type: str, tiny_model: MakeModel
) -> None:
    # Smaller weights than elsewhere: with large ones the rounding of one layer grows in the next.
    folder = tiny_model(model_type, initializer_range=0.1)
    expected = observed(load_subject(folder, n_tokens=64, n_threads=1, dtype="float32"), TOKEN_IDS)

    subject = load_subject(folder, n_tokens=64, n_threads=1, dtype=dtype)

    seen = observed(subject, TOKEN_IDS)
    assert subject.dtype == dtype
    assert {str(layer.dtype) for layer in seen} == {f"torch.{dtype}"}
    for layer, values in zip(seen, expected, strict=True):
        assert (layer.float() - values).abs().max() < 0.05 * values.abs().max()


def test_a_number_type_that_is_not_known_is_refused(tiny_model: MakeModel) -> None:
    with pytest.raises(
        InvalidInput, match=r"^the number type 'int8' is not known; expected auto, float32, float16, bfloat16$"
    ):
        load_subject(tiny_model(), n_tokens=64, n_threads=1, dtype="int8")


def test_a_model_that_fits_no_single_gpu_is_spread_over_all(
    tiny_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model()
    n_bytes = weights_bytes(folder, "float32")
    places: list[Any] = []
    load = AutoModel.from_pretrained

    def load_and_note(*arguments: Any, **options: Any) -> Any:
        places.append(options.get("device_map"))
        return load(*arguments, **options)

    monkeypatch.setattr(AutoModel, "from_pretrained", load_and_note)
    free = [n_bytes * 7 // 10, n_bytes * 7 // 10]

    spread, plain = (
        load_subject(folder, n_tokens=64, n_threads=1, dtype="float32", gpu_memory=gpu_memory)
        for gpu_memory in (lambda: free, list)
    )

    assert places == ["auto", None]
    assert [spread.device_of_layer(layer) for layer in range(N_LAYERS)] == [torch.device("cpu")] * N_LAYERS
    for layer, values in zip(observed(spread, TOKEN_IDS), observed(plain, TOKEN_IDS), strict=True):
        assert torch.equal(layer, values)


def test_tokens_that_the_model_cannot_read_are_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    subject = load_subject(folder, n_tokens=64, n_threads=1)
    subject.check_token_ids(np.array([[0, 299]], dtype=np.int32))

    with pytest.raises(InvalidInput) as error:
        subject.check_token_ids(np.array([[0, 49999], [300, 1]], dtype=np.int32))

    assert str(error.value) == (
        f"the tokenizer of {folder} knows token 49999, the model reads tokens up to 299; "
        "expected a tokenizer that fits the model"
    )


def test_nothing_is_observed_after_the_block_ends(tiny_model: MakeModel) -> None:
    subject = load_subject(tiny_model(), n_tokens=64, n_threads=1)
    seen: list[int] = []
    with pytest.raises(RuntimeError), subject.observing(lambda layer, _: seen.append(layer)):
        raise RuntimeError

    subject.forward(TOKEN_IDS)

    assert seen == []


def test_a_model_that_reads_less_than_an_excerpt_is_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model("gpt2", n_positions=32)

    with pytest.raises(InvalidInput, match="reads 32 tokens at once; expected at least 64"):
        load_subject(folder, n_tokens=64, n_threads=1)


def test_the_positions_that_roberta_keeps_for_padding_cannot_be_read(tiny_model: MakeModel) -> None:
    with pytest.raises(InvalidInput, match="reads 63 tokens at once; expected at least 64"):
        load_subject(tiny_model("roberta", max_position_embeddings=65, pad_token_id=1), n_tokens=64, n_threads=1)

    longest = np.full((1, 64), 7, dtype=np.int32)
    for folder in (
        tiny_model("roberta", max_position_embeddings=66, pad_token_id=1),
        tiny_model("bert", max_position_embeddings=64, pad_token_id=1),
    ):
        assert observed(load_subject(folder, n_tokens=64, n_threads=1), longest)[0].shape == (1, 64, N_NEURONS)


@pytest.mark.parametrize("config", ["{", "[]", "no json"])
def test_a_damaged_config_is_refused(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)

    with pytest.raises(InvalidInput, match=r"the config\.json in .* cannot be read"):
        load_subject(tmp_path, n_tokens=64, n_threads=1)


@pytest.mark.parametrize(
    ("n_bytes_kept", "reason"),
    [
        (0, "it is damaged; expected weights in safetensors"),
        (9, "it is damaged; expected weights in safetensors"),
        (-1000, r"it is cut short, [\d,]+ of [\d,]+ bytes"),
    ],
)
def test_weights_that_are_cut_short_are_refused(n_bytes_kept: int, reason: str, tiny_model: MakeModel) -> None:
    folder = tiny_model()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:n_bytes_kept])

    with pytest.raises(InvalidInput, match=f"^{weights} cannot be loaded: {reason}$"):
        load_subject(folder, n_tokens=64, n_threads=1)


def test_weights_that_are_something_else_are_refused(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    (folder / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(InvalidInput, match="cannot be loaded: it is damaged"):
        load_subject(folder, n_tokens=64, n_threads=1)


def test_weights_of_another_shape_than_the_config_says_are_refused_in_one_line(tiny_model: MakeModel) -> None:
    folder = tiny_model()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": N_NEURONS + 1}))

    with pytest.raises(InvalidInput, match="cannot be loaded") as error:
        load_subject(folder, n_tokens=64, n_threads=1)

    assert "\n" not in str(error.value)


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


@pytest.mark.parametrize(
    "damage",
    [
        {"merges": [["a"]]},
        # The reader takes the prefix off the second part of a merge, which is shorter: a panic, not an exception.
        {"merges": ["a b"], "continuing_subword_prefix": "##"},
    ],
)
def test_a_damaged_tokenizer_is_refused_and_prints_nothing(
    damage: dict[str, Any], tiny_model: MakeModel, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_model()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"] |= damage
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))

    with pytest.raises(InvalidInput, match=f"^the tokenizer in {folder} cannot be loaded: ") as error:
        load_tokenizer(folder)

    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
