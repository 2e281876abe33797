"""Tiny language models of the real classes with random weights, and a tokenizer trained here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from worker.subjects.model_files import silence_transformers

SENTENCE = "The cat sat on the mat, and the naïve dog – seen by nobody – sat beside it.\n"
N_LAYERS = 2
N_NEURONS = 24

MakeModel = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
    silence_transformers()


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Byte-level BPE, as GPT-2 and SmolLM2 have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator([SENTENCE] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> MakeModel:
    """Makes a folder with a random model of a type, as transformers saves it; its weights are always the same."""

    def make(model_type: str = "llama", **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp(model_type) / f"tiny-{model_type}"
        torch.manual_seed(0)
        AutoModel.from_config(tiny_config(model_type, **changes)).save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        return folder

    return make


SIZES = {
    "num_hidden_layers": N_LAYERS,
    "hidden_size": 16,
    "intermediate_size": N_NEURONS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
GPT2_SIZES = {"n_layer": N_LAYERS, "n_embd": 16, "n_head": 2, "n_inner": N_NEURONS, "n_positions": 128}
OWN_SIZES: dict[str, dict[str, Any]] = {
    # Its MLPs are always four times as wide as the rest.
    "bloom": {"n_layer": N_LAYERS, "hidden_size": N_NEURONS // 4, "n_head": 2},
    "distilbert": {"n_layers": N_LAYERS, "dim": 16, "n_heads": 2, "hidden_dim": N_NEURONS},
    "falcon": {
        "num_hidden_layers": N_LAYERS,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "ffn_hidden_size": N_NEURONS,
    },
    "gpt2": GPT2_SIZES,
    "gpt_neo": {
        "num_layers": N_LAYERS,
        "hidden_size": 16,
        "num_heads": 2,
        "intermediate_size": N_NEURONS,
        "attention_types": [[["global", "local"], 1]],
    },
    "gptj": GPT2_SIZES | {"rotary_dim": 4},
    "opt": {"num_hidden_layers": N_LAYERS, "hidden_size": 16, "num_attention_heads": 2, "ffn_dim": N_NEURONS},
}
"""Of the families that name their sizes otherwise, or more of them."""


def tiny_config(model_type: str, **changes: Any) -> Any:
    sizes = OWN_SIZES.get(model_type, SIZES)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    # Larger weights than usual, so that the activations of so small a model differ from each other.
    return AutoConfig.for_model(model_type, **sizes | special | {"vocab_size": 300, "initializer_range": 0.5} | changes)
