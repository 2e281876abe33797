"""Where the neurons are in each family of models: a table with one row per `model_type`.

A neuron's activation is its value after the non-linearity, which is an input of the MLP's last linear layer, so a row
names that layer. Knows names of modules only; not how they are found in a model or what is done with them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from worker.library_errors import first_line

LAYER = "{layer}"

EXAMPLE_PATTERN = f"model.layers.{LAYER}.mlp.down_proj"


@dataclass(frozen=True)
class Architecture:
    """One family of models.

    last_linear: path of the MLP's last linear layer in the model without its head, with {layer} for the layer's index.
    is_gated: the non-linearity's value is multiplied by another one, so that strong activations have either sign.
    has_padding_positions: positions start after the padding token's id, and so many fewer can be read.
    """

    last_linear: str
    is_gated: bool = False
    has_padding_positions: bool = False


GPT2 = Architecture("h.{layer}.mlp.c_proj")
LLAMA = Architecture("layers.{layer}.mlp.down_proj", is_gated=True)
BERT = Architecture("encoder.layer.{layer}.output.dense")
ROBERTA = Architecture("encoder.layer.{layer}.output.dense", has_padding_positions=True)

ARCHITECTURES = {
    "bert": BERT,
    "bloom": Architecture("h.{layer}.mlp.dense_4h_to_h"),
    "distilbert": Architecture("transformer.layer.{layer}.ffn.lin2"),
    "falcon": Architecture("h.{layer}.mlp.dense_4h_to_h"),
    "gemma": LLAMA,
    "gemma2": LLAMA,
    "gemma3_text": LLAMA,
    "gpt2": GPT2,
    "gpt_neo": GPT2,
    "gpt_neox": Architecture("layers.{layer}.mlp.dense_4h_to_h"),
    "gptj": Architecture("h.{layer}.mlp.fc_out"),
    "granite": LLAMA,
    "llama": LLAMA,
    "mistral": LLAMA,
    "olmo": LLAMA,
    "olmo2": LLAMA,
    "opt": Architecture("decoder.layers.{layer}.fc2"),
    "phi": Architecture("layers.{layer}.mlp.fc2"),
    "phi3": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "roberta": ROBERTA,
    "smollm3": LLAMA,
    "stablelm": LLAMA,
    "starcoder2": Architecture("layers.{layer}.mlp.c_proj"),
    "xlm-roberta": ROBERTA,
}
"""By the `model_type` of a model's config.json. A further one is a row here and one in the test of this table."""


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder saved by transformers. Errors: InvalidInput when it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the config.json in {folder} cannot be read: {first_line(error)}") from None
    if not isinstance(config, dict):
        raise InvalidInput(f"the config.json in {folder} cannot be read: expected an object with the field model_type")
    return config


def known_architecture(folder: Path) -> Architecture:
    """Errors: InvalidInput when config.json cannot be read, or names a model type outside ARCHITECTURES."""
    model_type = read_config(folder).get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise InvalidInput(
            f"the place of the neurons is not known in models of type {model_type!r}; known are {known}; "
            f'for another, name the last linear layer of its MLPs, such as --mlp-module "{EXAMPLE_PATTERN}"'
        )
    return ARCHITECTURES[model_type]


def check_pattern(pattern: str) -> None:
    """Errors: InvalidInput when a module named by hand does not say, exactly once, where the layer's index stands."""
    if pattern.split(".").count(LAYER) != 1 or pattern.count(LAYER) != 1:
        raise InvalidInput(
            f'the MLP module "{pattern}" does not say where a layer\'s number stands; '
            f'expected {LAYER} once between dots, as in "{EXAMPLE_PATTERN}"'
        )
