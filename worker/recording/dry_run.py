"""What a recording would take, in memory and on the disk, before a weight is loaded. Writes nothing to the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.database import Database
from app.settings import Settings
from worker.recording import disk
from worker.recording.beginning import find_order
from worker.recording.disk import in_words
from worker.recording.order import RecordingOrder, plan_of, whole_settings
from worker.subjects.architectures import read_config
from worker.subjects.devices import LARGEST_SHARE_OF_MEMORY, GpuMemory, chosen_dtype, free_gpu_memory
from worker.subjects.model_files import transformers_folder
from worker.subjects.subject import load_tokenizer
from worker.subjects.subject_size import n_layers_and_neurons, weights_bytes
from worker.texts import corpus
from worker.texts.corpus import EXCERPT_LENGTH

ACTIVATIONS_AT_ONCE = 4
"""Arrays as large as the activations of one layer that a forward pass and the recorder hold at a time, about."""
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class DryRun:
    """What a recording would be and take. All sizes in bytes and estimated.

    memory: weights, recorder (what it keeps, and parts on their way to the disk) and the working memory of one batch.
    On a GPU weights and batch lie there, and the recorder in the machine's memory.
    free_memory: of the machine. free_gpu: of the GPUs that the weights go to; None without one. free_memory, free_disk:
    None where unknown.
    parts: on the disk until the end of the recording; rows: afterwards. While it ends, both are there.
    """

    name: str
    model_type: str
    n_layers: int
    n_neurons_per_layer: int
    dtype: str
    device: str
    text: str
    n_excerpts: int
    n_available: int
    n_tokens: int
    batch_size: int
    weights: int
    recorder: int
    batch: int
    parts: int
    rows: int
    free_memory: int | None
    free_gpu: int | None
    free_disk: int | None

    @property
    def on_device(self) -> int:
        return self.weights + self.batch

    @property
    def has_memory(self) -> bool:
        """Whether there is enough, as far as that is known."""
        if self.free_gpu is None:
            return self.free_memory is None or self.free_memory >= self.on_device + self.recorder
        return self.free_gpu >= self.on_device and (self.free_memory is None or self.free_memory >= self.recorder)

    def lines(self) -> list[str]:
        """For people, with a warning for each thing that there is too little of."""
        told = [
            f"Model: {self.name} ({self.model_type}), {self.n_layers} layers of {self.n_neurons_per_layer} neurons, "
            f"{self.dtype} on the {self.device}",
            f"Text: {self.n_excerpts} of {self.n_available} excerpts of {self.text}, {self.n_tokens} tokens",
            *self._memory_lines(),
            f"Disk: about {in_words(self.rows)}, and {in_words(self.parts)} more until the end; "
            f"free {_or_unknown(self.free_disk)}",
        ]
        if not self.has_memory:
            told.append("Warning: too little memory; expected a smaller --batch-size, fewer --top, or --dtype bfloat16")
        if self.free_disk is not None and self.free_disk < self.rows + self.parts:
            told.append("Warning: too little room on the disk; expected fewer --top, or --no-statistics")
        return [*told, "Nothing was recorded"]

    def _memory_lines(self) -> list[str]:
        weights, kept = f"weights {in_words(self.weights)}", f"what is kept {in_words(self.recorder)}"
        batch = f"a batch of {self.batch_size} {in_words(self.batch)}"
        free = f"free {_or_unknown(self.free_memory)}"
        if self.free_gpu is None:
            return [f"Memory: about {in_words(self.on_device + self.recorder)}: {weights}, {kept}, {batch}; {free}"]
        return [
            f"Memory of the GPU: about {in_words(self.on_device)}: {weights}, {batch}; free {in_words(self.free_gpu)}",
            f"Memory: {kept}; {free}",
        ]


def dry_run(
    settings: Settings,
    database: Database,
    order: RecordingOrder,
    *,
    free: disk.FreeBytes = disk.free_bytes,
    gpu_memory: GpuMemory = free_gpu_memory,
) -> DryRun:
    """Finds the model and cuts the text as a recording would; a GGUF file is converted into the model cache.

    Errors: InvalidInput, UnknownName, Unavailable, as a recording's.
    """
    found = find_order(order)
    folder = transformers_folder(found.files, settings.models_folder)
    n_layers, n_neurons, is_gated = n_layers_and_neurons(folder, order.mlp_module)
    gpus = gpu_memory()
    dtype = chosen_dtype(order.dtype, read_config(folder), has_gpu=bool(gpus))
    weights = weights_bytes(folder, dtype, gpu_memory=gpu_memory)
    excerpts = corpus.cut_excerpts(found.text, load_tokenizer(folder), n_excerpts=order.n_excerpts, seed=order.seed)
    whole = whole_settings(found.settings, dtype=dtype, is_gated=is_gated)
    plan = plan_of(whole, len(excerpts.token_ids), order.chunk_length)
    disk.check_part(plan.waiting_bytes(1, n_neurons))
    folder_of_data = disk.folder_of(database)
    return DryRun(
        name=found.name,
        model_type=str(read_config(folder).get("model_type")),
        n_layers=n_layers,
        n_neurons_per_layer=n_neurons,
        dtype=dtype,
        device=f"GPU ({len(gpus)})" if gpus else "CPU",
        text=excerpts.name,
        n_excerpts=len(excerpts.token_ids),
        n_available=excerpts.n_available,
        n_tokens=excerpts.token_ids.size,
        batch_size=order.batch_size,
        weights=weights,
        recorder=plan.state_bytes(n_layers, n_neurons) + plan.waiting_bytes(n_layers, n_neurons),
        batch=_batch_bytes(order.batch_size, n_neurons),
        parts=plan.part_bytes(n_layers, n_neurons),
        rows=plan.stored_bytes(n_layers, n_neurons),
        free_memory=free_memory(),
        free_gpu=_free_where_it_goes(weights, gpus),
        free_disk=None if folder_of_data is None else free(folder_of_data),
    )


def free_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of the machine's memory that are free or can be freed at once; None where the system does not say."""
    try:
        rows = [line.split() for line in meminfo.read_text().splitlines()]
    except OSError:
        return None
    return next((int(row[1]) * 1024 for row in rows if row and row[0] == "MemAvailable:"), None)


def _free_where_it_goes(weights: int, gpus: Sequence[int]) -> int | None:
    """Free bytes of the GPU with the most room, of all of them when that alone is too small; None without a GPU."""
    if not gpus:
        return None
    return max(gpus) if weights <= LARGEST_SHARE_OF_MEMORY * max(gpus) else sum(gpus)


def _batch_bytes(batch_size: int, n_neurons: int) -> int:
    return batch_size * EXCERPT_LENGTH * n_neurons * FLOAT32_BYTES * ACTIVATIONS_AT_ONCE


def _or_unknown(n_bytes: int | None) -> str:
    return "unknown" if n_bytes is None else in_words(n_bytes)
