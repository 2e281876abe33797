"""What a recording would take, in memory and on the disk, before a weight is loaded. Writes nothing to the database."""

from dataclasses import dataclass
from pathlib import Path

from app.database import Database
from app.settings import Settings
from worker.recording import disk
from worker.recording.disk import in_words
from worker.recording.order import RecordingOrder, asked_settings, check_name, check_order, plan_of, whole_settings
from worker.subjects.architectures import read_config
from worker.subjects.devices import chosen_dtype, free_gpu_memory
from worker.subjects.model_files import find_model, slug_of, transformers_folder
from worker.subjects.subject import load_tokenizer
from worker.subjects.subject_size import n_layers_and_neurons, weights_bytes
from worker.texts import corpus
from worker.texts.corpus import EXCERPT_LENGTH

ACTIVATIONS_AT_ONCE = 4
"""Arrays as large as the activations of one layer that a forward pass and the recorder hold at a time, about."""
LARGEST_ITEM = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class DryRun:
    """What a recording would be and take. All sizes in bytes and estimated.

    memory: weights, recorder (what it keeps, and parts on their way to the disk) and the working memory of one batch. free_memory, free_disk: None where unknown.
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
    free_disk: int | None

    @property
    def memory(self) -> int:
        return self.weights + self.recorder + self.batch

    def lines(self) -> list[str]:
        """For people, with a warning for each thing that there is too little of."""
        told = [
            f"Model: {self.name} ({self.model_type}), {self.n_layers} layers of {self.n_neurons_per_layer} neurons, "
            f"{self.dtype} on the {self.device}",
            f"Text: {self.n_excerpts} of {self.n_available} excerpts of {self.text}, {self.n_tokens} tokens",
            f"Memory: about {in_words(self.memory)}: weights {in_words(self.weights)}, what is kept "
            f"{in_words(self.recorder)}, a batch of {self.batch_size} {in_words(self.batch)}; "
            f"free {_or_unknown(self.free_memory)}",
            f"Disk: about {in_words(self.rows)}, and {in_words(self.parts)} more until the end; "
            f"free {_or_unknown(self.free_disk)}",
        ]
        if self.free_memory is not None and self.free_memory < self.memory:
            told.append("Warning: too little memory; expected a smaller --batch-size, fewer --top, or --dtype bfloat16")
        if self.free_disk is not None and self.free_disk < self.rows + self.parts:
            told.append("Warning: too little room on the disk; expected fewer --top, or --no-statistics")
        return [*told, "Nothing was recorded"]


def dry_run(
    settings: Settings, database: Database, order: RecordingOrder, *, free: disk.FreeBytes = disk.free_bytes
) -> DryRun:
    """Finds the model and cuts the text as a recording would; a GGUF file is converted into the model cache.

    Errors: InvalidInput, UnknownName, Unavailable, as a recording's.
    """
    check_order(order)
    files = find_model(order.model)
    name = check_name(slug_of(files) if order.name is None else order.name)
    text = corpus.open_text(order.text)
    corpus.check_has_words(text)
    folder = transformers_folder(files, settings.models_folder)
    n_layers, n_neurons, is_gated = n_layers_and_neurons(folder, order.mlp_module)
    gpu_memory = free_gpu_memory()
    dtype = chosen_dtype(order.dtype, read_config(folder), has_gpu=bool(gpu_memory))
    excerpts = corpus.cut_excerpts(text, load_tokenizer(folder), n_excerpts=order.n_excerpts, seed=order.seed)
    asked = asked_settings(order, files.revision, text.name, text.hash)
    plan = plan_of(whole_settings(asked, dtype=dtype, is_gated=is_gated), len(excerpts.token_ids), order.chunk_length)
    folder_of_data = disk.folder_of(database)
    return DryRun(
        name=name,
        model_type=str(read_config(folder).get("model_type")),
        n_layers=n_layers,
        n_neurons_per_layer=n_neurons,
        dtype=dtype,
        device=f"GPU ({len(gpu_memory)})" if gpu_memory else "CPU",
        text=excerpts.name,
        n_excerpts=len(excerpts.token_ids),
        n_available=excerpts.n_available,
        n_tokens=excerpts.token_ids.size,
        batch_size=order.batch_size,
        weights=weights_bytes(folder, dtype),
        recorder=plan.state_bytes(n_layers, n_neurons) + plan.waiting_bytes(n_layers, n_neurons),
        batch=_batch_bytes(order.batch_size, n_neurons),
        parts=plan.part_bytes(n_layers, n_neurons),
        rows=plan.stored_bytes(n_layers, n_neurons),
        free_memory=sum(gpu_memory) if gpu_memory else free_memory(),
        free_disk=None if folder_of_data is None else free(folder_of_data),
    )


def free_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of the machine's memory that are free or can be freed at once; None where the system does not say."""
    try:
        rows = [line.split() for line in meminfo.read_text().splitlines()]
    except OSError:
        return None
    return next((int(row[1]) * 1024 for row in rows if row and row[0] == "MemAvailable:"), None)


def _batch_bytes(batch_size: int, n_neurons: int) -> int:
    return batch_size * EXCERPT_LENGTH * n_neurons * LARGEST_ITEM * ACTIVATIONS_AT_ONCE


def _or_unknown(n_bytes: int | None) -> str:
    return "unknown" if n_bytes is None else in_words(n_bytes)
