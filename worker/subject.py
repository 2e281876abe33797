"""A subject model on CPU or GPU: token ids in, the activations of every layer's neurons out, layer by layer.

A neuron's activation is its value after the non-linearity, which is an input of the MLP's last linear layer. Knows
where that layer is in each architecture; not what is done with the activations.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from app.errors import InvalidInput
from worker.model_files import silence_transformers

Observe = Callable[[int, torch.Tensor], None]
"""(layer, activations): float32, shape (excerpts, tokens, neurons), valid during the call only."""


@dataclass(frozen=True)
class Architecture:
    """Where the neurons are in a family of models.

    blocks: path of the list of layers in the model without its head. last_linear: path in a layer of the MLP's last
    linear layer. input_axis: which axis of that layer's weight counts its inputs, the neurons.
    """

    blocks: str
    last_linear: str
    input_axis: int


GPT2 = Architecture("h", "mlp.c_proj", input_axis=0)
LLAMA = Architecture("layers", "mlp.down_proj", input_axis=1)

ARCHITECTURES = {
    "gpt2": GPT2,
    "gemma": LLAMA,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "smollm3": LLAMA,
}
"""By the `model_type` of a model's config.json. A further one is a row here and one in the test of this table."""


class Subject:
    """A loaded subject model without its head. Always float32: bfloat16 is many times slower on a CPU."""

    dtype = "float32"

    def __init__(self, model: Any, architecture: Architecture, n_threads: int | None):
        self.n_threads = n_threads or len(os.sched_getaffinity(0))
        torch.set_num_threads(self.n_threads)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self.device).eval()
        blocks = model.get_submodule(architecture.blocks)
        self._last_linears = [block.get_submodule(architecture.last_linear) for block in blocks]
        self.model_type: str = model.config.model_type
        self.n_layers = len(self._last_linears)
        self.n_neurons_per_layer = int(self._last_linears[0].weight.shape[architecture.input_axis])

    @torch.inference_mode()
    def forward(self, token_ids: npt.NDArray[np.int32]) -> None:
        """Runs the model over a batch of excerpts, shape (excerpts, tokens); what it does is seen by observers only."""
        self._model(input_ids=torch.from_numpy(token_ids).long().to(self.device), use_cache=False)

    @contextmanager
    def observing(self, observe: Observe) -> Iterator[None]:
        """Within it, every forward pass calls `observe` once per layer, first layer first."""
        # Observing is many short steps, and at the end of each all threads wait for the slowest. With all of them, a
        # recording on two busy cores took 1.35 times the bare pass, with half of them 1.18; idle, about 3 % more.
        n_threads_observing = max(1, self.n_threads // 2)

        def hook(layer: int, _module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            torch.set_num_threads(n_threads_observing)
            try:
                observe(layer, inputs[0])
            finally:
                torch.set_num_threads(self.n_threads)

        handles = [
            module.register_forward_pre_hook(partial(hook, layer)) for layer, module in enumerate(self._last_linears)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def load_subject(folder: Path, *, n_tokens: int, n_threads: int | None) -> Subject:
    """The model saved in a folder by transformers.

    n_tokens: length of the excerpts it has to read. Errors: InvalidInput when its neurons' place is not known, when
    it reads less than n_tokens at once, or when its files cannot be loaded.
    """
    from transformers import AutoModel

    architecture = known_architecture(folder)
    silence_transformers()
    try:
        model, loading = AutoModel.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # transformers, safetensors and torch each raise their own for damaged files.
        raise InvalidInput(f"the model in {folder} cannot be loaded: {_first_line(error)}") from error
    if loading["missing_keys"]:
        # transformers fills them with random numbers and goes on.
        raise InvalidInput(f"the model in {folder} lacks weights, among them {min(loading['missing_keys'])}")
    longest = getattr(model.config, "max_position_embeddings", n_tokens)
    if longest < n_tokens:
        raise InvalidInput(f"the model in {folder} reads {longest} tokens at once; expected at least {n_tokens}")
    return Subject(model, architecture, n_threads)


def known_architecture(folder: Path) -> Architecture:
    """Errors: InvalidInput when config.json cannot be read, or names a model type outside ARCHITECTURES."""
    try:
        model_type = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidInput(f"the config.json in {folder} cannot be read: {_first_line(error)}") from None
    if model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise InvalidInput(f"the place of the neurons is not known in models of type {model_type!r}; known are {known}")
    return ARCHITECTURES[model_type]


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer saved in a folder. Errors: InvalidInput when there is none."""
    from transformers import AutoTokenizer

    silence_transformers()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # As in load_subject.
        raise InvalidInput(f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}") from error
    if not getattr(tokenizer, "backend_tokenizer", None):
        raise InvalidInput(f"the folder {folder} has no fast tokenizer (tokenizer.json)")
    return tokenizer


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
