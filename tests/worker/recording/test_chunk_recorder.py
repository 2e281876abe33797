"""Chunks are recorded with ever smaller batches until a GPU's memory holds them, and to the same parts."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from app.errors import Unavailable
from worker.recording.chunk_recorder import ChunkRecorder
from worker.recording.parts import merged_layer
from worker.recording.plan import RecordingPlan
from worker.recording.recorder import Int32Array

N_TOKENS = 4
PLAN = RecordingPlan(40, N_TOKENS, seed=0, n_top=3, n_random=2, chunk_length=16)
TOKEN_IDS = np.random.default_rng(0).integers(0, 50, (40, N_TOKENS)).astype(np.int32)


class SmallGpu:
    """A model whose activations are a table's, and whose memory holds batches up to a size."""

    n_layers = 2
    n_neurons_per_layer = 5
    n_threads = 1
    device = torch.device("cpu")

    def __init__(self, largest_batch: int):
        self.largest_batch = largest_batch
        self.batches: list[int] = []
        generator = torch.Generator().manual_seed(0)
        self._table = torch.randn((self.n_layers, 50, self.n_neurons_per_layer), generator=generator)
        self._observe: Callable[[int, torch.Tensor], None] | None = None

    def device_of_layer(self, layer: int) -> torch.device:
        return self.device

    def forward(self, token_ids: Int32Array) -> None:
        self.batches.append(len(token_ids))
        for layer in range(self.n_layers):
            # In the second layer, when the first has been observed already.
            if layer == 1 and len(token_ids) > self.largest_batch:
                raise torch.OutOfMemoryError("CUDA out of memory")
            if self._observe is not None:
                self._observe(layer, self._table[layer][torch.from_numpy(token_ids).long()])

    @contextmanager
    def observing(self, observe: Callable[[int, torch.Tensor], None]) -> Iterator[None]:
        self._observe = observe
        try:
            yield
        finally:
            self._observe = None


def recorded(gpu: SmallGpu, batch_size: int, chunks: list[range]) -> list[list[bytes]]:
    recorder = ChunkRecorder(gpu, PLAN, TOKEN_IDS, batch_size)
    return [recorder.record(chunk, lambda n_seen: None) for chunk in chunks]


def merged(parts: list[list[bytes]]) -> list[dict[str, list[object]]]:
    layers = [merged_layer(PLAN, layer, [chunk[layer] for chunk in parts]) for layer in range(2)]
    return [
        {
            "statistics": [(name, values.tolist()) for name, values in sorted(layer.statistics.items())],
            "bands": [
                (name, band.excerpts.tolist(), band.maxima.tolist(), band.activations.tolist())
                for name, band in sorted(layer.bands.items())
            ],
        }
        for layer in layers
    ]


def test_batches_are_halved_until_the_memory_holds_them(caplog: pytest.LogCaptureFixture) -> None:
    chunks = list(PLAN.chunks)
    gpu = SmallGpu(largest_batch=4)
    progress: list[int] = []
    recorder = ChunkRecorder(gpu, PLAN, TOKEN_IDS, batch_size=16)

    with caplog.at_level(logging.WARNING):
        parts = [recorder.record(chunk, progress.append) for chunk in chunks]

    assert gpu.batches == [16, 8, *[4] * 10]
    assert progress == [4, 8, 12, 16, 4, 8, 12, 16, 4, 8]
    assert caplog.messages == [
        "out of GPU memory; going on with batches of 8",
        "out of GPU memory; going on with batches of 4",
    ]
    assert repr(merged(parts)) == repr(merged(recorded(SmallGpu(16), 4, chunks)))


def test_memory_that_runs_out_in_a_later_chunk_loses_none_of_the_earlier() -> None:
    chunks = list(PLAN.chunks)
    gpu = SmallGpu(largest_batch=16)
    recorder = ChunkRecorder(gpu, PLAN, TOKEN_IDS, batch_size=8)
    first = recorder.record(chunks[0], lambda n_seen: None)
    gpu.largest_batch = 5
    rest = [recorder.record(chunk, lambda n_seen: None) for chunk in chunks[1:]]

    assert repr(merged([first, *rest])) == repr(merged(recorded(SmallGpu(16), 8, chunks)))


def test_chunks_in_any_order_give_the_same_parts() -> None:
    chunks = list(PLAN.chunks)
    backwards = recorded(SmallGpu(16), 8, chunks[::-1])[::-1]

    assert repr(merged(backwards)) == repr(merged(recorded(SmallGpu(16), 8, chunks)))


def test_a_gpu_too_small_for_one_excerpt_is_told_in_one_line() -> None:
    with pytest.raises(Unavailable, match=r"^the GPU's memory is too small to record this model, even one excerpt"):
        recorded(SmallGpu(largest_batch=0), 16, [range(0, 16)])
