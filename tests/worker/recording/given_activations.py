"""In place of a model: activations that a test gives."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from worker.recording.plan import RecordingPlan
from worker.recording.recorder import Observe


class GivenActivations:
    """activations: (layers, excerpts, tokens, neurons). Its token ids are the numbers of excerpts."""

    n_threads = 2

    def __init__(self, activations: npt.NDArray[Any], dtype: torch.dtype = torch.float32):
        self._activations = torch.from_numpy(activations).to(dtype)
        self.n_layers, self.n_neurons_per_layer = activations.shape[0], activations.shape[-1]

    def forward(self, token_ids: npt.NDArray[np.int32]) -> None:
        for layer in range(self.n_layers):
            self._observe(layer, self._activations[layer, token_ids[:, 0]])

    @contextmanager
    def observing(self, observe: Observe) -> Iterator[None]:
        self._observe = observe
        yield


def excerpt_numbers(plan: RecordingPlan) -> npt.NDArray[np.int32]:
    """Token ids for GivenActivations, (excerpts, tokens)."""
    return np.repeat(np.arange(plan.n_excerpts, dtype=np.int32)[:, None], plan.n_tokens, axis=1)
