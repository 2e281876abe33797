"""A subject model on CPU or GPU: token ids in, the activations of every layer's neurons out, layer by layer.

A neuron's activation is its value after the non-linearity, which is an input of the MLP's last linear layer. Knows how
a model is loaded and run; not where that layer is in each architecture, nor what is done with the activations.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from app.errors import InvalidInput, Unavailable
from worker.library_errors import nothing_on_stderr, refused_as
from worker.subjects.architectures import ARCHITECTURES, read_config
from worker.subjects.devices import AUTO, DTYPES, GpuMemory, chosen_device, chosen_dtype, free_gpu_memory
from worker.subjects.mlp_modules import MlpModules
from worker.subjects.model_files import silence_transformers
from worker.subjects.subject_size import check_place, mlp_modules, n_layers_and_neurons, weights_bytes

Observe = Callable[[int, torch.Tensor], None]
"""(layer, activations): shape (excerpts, tokens, neurons), of the model's number type, on the device of the layer,
valid during the call only."""

Int32Array = npt.NDArray[np.int32]

POOLER = "pooler."
"""An encoder's last step, behind all neurons; what it computes is not looked at, and many models lack its weights."""


class Subject:
    """A loaded subject model without its head.

    It reads excerpts as they are: no special token is put before or after one, also for encoders such as BERT, every
    token is attended to, and token types are those of a first sentence. dtype: name of the number type it computes in.
    device: where token ids go; the layers may lie on several.
    """

    def __init__(self, model: Any, modules: MlpModules, *, folder: Path, dtype: str, n_threads: int | None):
        self.n_threads = n_threads or len(os.sched_getaffinity(0))
        torch.set_num_threads(self.n_threads)
        embedding = model.get_input_embeddings().weight
        self.device: torch.device = embedding.device
        self.dtype = dtype
        self.is_gated = modules.is_gated
        self._model = model.eval()
        self._folder = folder
        self._n_token_ids = int(embedding.shape[0])
        self._last_linears: tuple[Any, ...] = modules.last_linears
        self._batch_shape = (0, 0)
        self.model_type: str = model.config.model_type
        self.n_layers = len(self._last_linears)
        self.n_neurons_per_layer = modules.n_neurons

    def device_of_layer(self, layer: int) -> torch.device:
        """Where the activations of a layer arrive."""
        device: torch.device = self._last_linears[layer].weight.device
        return device

    def check_token_ids(self, token_ids: Int32Array) -> None:
        """Errors: InvalidInput when one of the ids, of any shape, is larger than what the model can read."""
        largest = int(token_ids.max(initial=0))
        if largest >= self._n_token_ids:
            raise InvalidInput(
                f"the tokenizer of {self._folder} knows token {largest}, "
                f"the model reads tokens up to {self._n_token_ids - 1}; expected a tokenizer that fits the model"
            )

    @torch.inference_mode()
    def forward(self, token_ids: Int32Array) -> None:
        """Runs the model over a batch of excerpts, shape (excerpts, tokens); what it does is seen by observers only."""
        self._batch_shape = token_ids.shape
        self._model(input_ids=torch.from_numpy(token_ids).long().to(self.device), use_cache=False)

    @contextmanager
    def observing(self, observe: Observe) -> Iterator[None]:
        """Within it, every forward pass calls `observe` once per layer, first layer first."""

        def hook(layer: int, _module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            # Some models, OPT among them, lay all tokens of a batch in one row for their MLPs.
            observe(layer, inputs[0].reshape(*self._batch_shape, self.n_neurons_per_layer))

        handles = [
            module.register_forward_pre_hook(partial(hook, layer)) for layer, module in enumerate(self._last_linears)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def load_subject(
    folder: Path,
    *,
    n_tokens: int,
    n_threads: int | None,
    dtype: str = AUTO,
    mlp_module: str | None = None,
    gpu_memory: GpuMemory = free_gpu_memory,
) -> Subject:
    """The model saved in a folder by transformers.

    n_tokens: length of the excerpts it has to read. dtype: see chosen_dtype. mlp_module: see modules_named_by_hand;
    None: the place of the neurons is that of the model's type. Everything that config.json tells is checked before
    the weights are read. Errors: InvalidInput when the neurons' place is not known, when the model reads less than
    n_tokens at once, or when its files cannot be loaded; Unavailable when no GPU has room for it.
    """
    check_place(folder, mlp_module)
    free = gpu_memory()
    dtype_name = chosen_dtype(dtype, read_config(folder), has_gpu=bool(free))
    _check_length(folder, n_tokens)
    if mlp_module is not None:
        # A slip in the name is found out before minutes of loading.
        n_layers_and_neurons(folder, mlp_module)
    device = chosen_device(weights_bytes(folder, dtype_name, gpu_memory=lambda: free), free)
    model = _loaded(folder, dtype_name, device)
    subject = Subject(
        model, mlp_modules(model, folder, mlp_module), folder=folder, dtype=dtype_name, n_threads=n_threads
    )
    if mlp_module is not None:
        _check_observed(subject, mlp_module)
    return subject


def load_tokenizer(folder: Path) -> Any:
    """The fast tokenizer saved in a folder. Errors: InvalidInput when there is none."""
    from transformers import AutoTokenizer

    silence_transformers()
    with refused_as(f"the tokenizer in {folder} cannot be loaded"), nothing_on_stderr():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not getattr(tokenizer, "backend_tokenizer", None):
        raise InvalidInput(f"the folder {folder} has no fast tokenizer (tokenizer.json)")
    return tokenizer


def _check_length(folder: Path, n_tokens: int) -> None:
    from transformers import AutoConfig

    silence_transformers()
    with refused_as(f"the config.json in {folder} cannot be read"):
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    # Models without positions of their own, such as BLOOM, read texts of any length.
    longest = getattr(config, "max_position_embeddings", None) or n_tokens
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is not None and architecture.has_padding_positions:
        longest -= (config.pad_token_id or 0) + 1
    if longest < n_tokens:
        raise InvalidInput(f"the model in {folder} reads {longest} tokens at once; expected at least {n_tokens}")


def _loaded(folder: Path, dtype: str, device: torch.device | None) -> Any:
    """device: None spreads the layers over all GPUs."""
    from transformers import AutoModel

    on_cpu = device is not None and device.type == "cpu"
    where = {} if on_cpu else {"device_map": "auto" if device is None else {"": device}}
    silence_transformers()
    with refused_as(f"the model in {folder} cannot be loaded"):
        try:
            model, loading = AutoModel.from_pretrained(
                folder, dtype=DTYPES[dtype], local_files_only=True, output_loading_info=True, **where
            )
        except torch.OutOfMemoryError:
            raise Unavailable(f"the GPU has no room for the model in {folder}; try --dtype bfloat16") from None
    missing = [name for name in loading["missing_keys"] if not name.startswith(POOLER)]
    if missing:
        # transformers fills them with random numbers and goes on.
        raise InvalidInput(f"the model in {folder} lacks weights, among them {min(missing)}")
    if any(weight.device.type == "meta" for weight in model.parameters()):
        raise Unavailable(f"the GPUs together have no room for the model in {folder}; try --dtype bfloat16")
    return model


def _check_observed(subject: Subject, mlp_module: str) -> None:
    """Lets the model read two tokens: modules that were named by hand may be passed by, or see some tokens only."""
    seen: list[int] = []
    with (
        refused_as(f'the activations at "{mlp_module}" cannot be observed'),
        subject.observing(lambda layer, _activations: seen.append(layer)),
    ):
        subject.forward(np.zeros((1, 2), dtype=np.int32))
    if seen != list(range(subject.n_layers)):
        came_to = f"the layers {', '.join(map(str, seen))}" if seen else "no layer"
        raise InvalidInput(
            f'reading text, the model comes to "{mlp_module}" in {came_to}; '
            f"expected once in each of its {subject.n_layers} layers, in order"
        )
