"""What recording costs: every batch of the bundled model bare, recorded, and as others record, right after each other.

`make bench-recording`; `python -m tests.benchmarks.recording --excerpts 256` is a quick look.
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from app.settings import Settings
from tests.benchmarks.other_ways import AllNonZeros, ConcatenatedTopK, LayerReached, Observe
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from worker.corpus import EXCERPT_LENGTH, cut_excerpts, open_text
from worker.model_files import BUNDLED, find_model, transformers_folder
from worker.parts import merged_layer
from worker.plan import RecordingPlan
from worker.recorder import Recorder
from worker.subject import Subject, load_subject, load_tokenizer

BARE, TOP_AND_RANDOM, EVERYTHING = "bare", "top + random", "everything"
LARGEST_RATIOS = {TOP_AND_RANDOM: 1.10, EVERYTHING: 1.25}
LARGEST_SHARES = {TOP_AND_RANDOM: 1.0, EVERYTHING: 3.0}
N_BATCHES_OF_OTHERS = 12
"""Others are timed on the first batches only: there is no steady state in what they do with a batch."""

Int32Array = npt.NDArray[np.int32]


class TimedWay:
    """One way to record, and the seconds of each batch: of all of it, and of these inside what looks at activations."""

    def __init__(self, subject: Subject, observe: Observe):
        self._subject = subject
        self._observe = observe
        self.whole: list[float] = []
        self.inside: list[float] = []

    def run(self, token_ids: Int32Array, afterwards: Callable[[], None] = lambda: None) -> None:
        self.inside.append(0.0)
        started = time.perf_counter()
        with self._subject.observing(self._timed_observe):
            self._subject.forward(token_ids)
        afterwards()
        self.whole.append(time.perf_counter() - started)

    def _timed_observe(self, layer: int, activations: torch.Tensor) -> None:
        started = time.perf_counter()
        self._observe(layer, activations)
        self.inside[-1] += time.perf_counter() - started


class TimedRecorder(TimedWay):
    """A recorder, chunk after chunk; taking the parts out belongs to the time of a chunk's last batch."""

    def __init__(self, subject: Subject, plan: RecordingPlan):
        self._recorder = Recorder(subject, plan)
        super().__init__(subject, self._recorder.observe)
        self.plan = plan
        self.parts: list[list[bytes]] = [[] for _ in range(subject.n_layers)]

    def run_batch(self, first: int, token_ids: Int32Array) -> None:
        chunk = next(chunk for chunk in self.plan.chunks if first in chunk)
        if first == chunk.start:
            self._recorder.start_chunk(chunk)
        self._recorder.start_batch(first)
        is_last = first + len(token_ids) >= chunk.stop
        self.run(token_ids, self._take_parts if is_last else lambda: None)

    def _take_parts(self) -> None:
        for layer, parts in enumerate(self.parts):
            parts.append(self._recorder.take_part(layer))


def run_bare(subject: Subject, token_ids: Int32Array) -> float:
    started = time.perf_counter()
    subject.forward(token_ids)
    return time.perf_counter() - started


def measured(subject: Subject, token_ids: Int32Array, batch_size: int) -> list[Figure]:
    n_excerpts, n_tokens = token_ids.shape
    plans = {
        TOP_AND_RANDOM: RecordingPlan(n_excerpts, n_tokens, seed=0, has_statistics=False),
        EVERYTHING: RecordingPlan(n_excerpts, n_tokens, seed=0, polarity="both" if subject.is_gated else "positive"),
    }
    recorders = {name: TimedRecorder(subject, plan) for name, plan in plans.items()}
    for _ in range(3):
        subject.forward(token_ids[:batch_size])
    bare: list[float] = []
    for number, first in enumerate(range(0, n_excerpts, batch_size)):
        batch = token_ids[first : first + batch_size]
        # Whichever comes later finds warmer caches, so they take turns.
        for name in np.roll([BARE, *recorders], number):
            if name == BARE:
                bare.append(run_bare(subject, batch))
            else:
                recorders[name].run_batch(first, batch)
    figures = [figure for name, recorder in recorders.items() for figure in recorded_figures(name, recorder, bare)]
    figures += merging_figures(recorders[EVERYTHING])
    figures += other_figures(subject, token_ids, batch_size)
    return [*figures, Figure("bare forward", token_ids.size / sum(bare), "tokens/s")]


def recorded_figures(name: str, recorder: TimedRecorder, bare: list[float]) -> list[Figure]:
    ratios = [recorded / alone for recorded, alone in zip(recorder.whole, bare, strict=True)]
    shares = [100 * inside / alone for inside, alone in zip(recorder.inside, bare, strict=True)]
    half = len(shares) // 2
    bound = LARGEST_RATIOS[name]
    return [
        Figure(f"R, {name}: recording / bare forward, whole corpus", sum(recorder.whole) / sum(bare), "times", bound),
        Figure(f"R, {name}: median batch", median(ratios), "times", bound),
        Figure(f"{name}: recorder alone, whole corpus", 100 * sum(recorder.inside) / sum(bare), "% of bare"),
        Figure(f"{name}: recorder alone, first four batches", median(shares[:4]), "% of bare"),
        Figure(f"{name}: recorder alone, later half", median(shares[half:]), "% of bare", LARGEST_SHARES[name]),
        Figure(f"{name}: speed", recorder.plan.n_excerpts * recorder.plan.n_tokens / sum(recorder.whole), "tokens/s"),
    ]


def merging_figures(recorder: TimedRecorder) -> list[Figure]:
    plan, n_layers = recorder.plan, len(recorder.parts)
    started = time.perf_counter()
    for layer, parts in enumerate(recorder.parts):
        merged = merged_layer(plan, layer, parts)
    seconds = time.perf_counter() - started
    n_neurons = len(merged.statistics["maximum"])
    kept = sum(band.activations.nbytes for band in merged.bands.values()) / n_neurons
    in_parts = sum(len(part) for parts in recorder.parts for part in parts) / n_neurons / n_layers
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        Figure("merging the parts", n_layers * n_neurons / seconds, "neurons/s"),
        Figure("activations kept per neuron, everything", kept, "bytes"),
        Figure("parts per neuron until merged, everything", in_parts, "bytes"),
        Figure("recorder's memory by its plan, everything", plan.state_bytes(n_layers, n_neurons) / 2**20, "MiB"),
        Figure("peak memory of this benchmark, both recorders", peak, "MiB"),
    ]


def other_figures(subject: Subject, token_ids: Int32Array, batch_size: int) -> list[Figure]:
    figures = []
    batches = [token_ids[first : first + batch_size] for first in range(0, len(token_ids), batch_size)]
    for way in (ConcatenatedTopK(subject.n_layers), AllNonZeros(subject.n_layers)):
        timed, bare = TimedWay(subject, way.observe), []
        for batch in batches[:N_BATCHES_OF_OTHERS]:
            bare.append(run_bare(subject, batch))
            timed.run(batch)
        shares = [100 * inside / alone for inside, alone in zip(timed.inside[1:], bare[1:], strict=True)]
        figures.append(Figure(f"other way: {way.name}, R", sum(timed.whole) / sum(bare), "times"))
        figures.append(Figure(f"other way: {way.name}, alone", median(shares), "% of bare"))
    return [*figures, Figure("other way: one pass per layer, R", per_layer_ratio(subject, batches[0]), "times")]


def per_layer_ratio(subject: Subject, batch: Int32Array) -> float:
    """All passes together / one bare pass: each ends at its layer, where it takes the maxima and nothing else."""
    seconds = 0.0
    bare = [run_bare(subject, batch) for _ in range(3)]
    for wanted in range(subject.n_layers):

        def observe(layer: int, activations: torch.Tensor, wanted: int = wanted) -> None:
            if layer == wanted:
                activations.amax(dim=1)
                raise LayerReached

        started = time.perf_counter()
        try:
            with subject.observing(observe):
                subject.forward(batch)
        except LayerReached:
            seconds += time.perf_counter() - started
    return seconds / median(bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--excerpts", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="a model other than the bundled one")
    arguments = parser.parse_args()
    print_machine()
    settings = Settings()
    folder = arguments.folder or transformers_folder(find_model(BUNDLED), settings.models_folder)
    excerpts = cut_excerpts(
        open_text("python-docs"), load_tokenizer(folder), n_excerpts=arguments.excerpts, seed=0
    ).token_ids
    subject = load_subject(folder, n_tokens=EXCERPT_LENGTH, n_threads=settings.threads)
    print(
        f"{excerpts.shape[0]} excerpts of {excerpts.shape[1]} tokens, batches of {arguments.batch_size}, "
        f"{subject.dtype}, {subject.n_threads} threads",
        flush=True,
    )
    print_figures(measured(subject, excerpts, arguments.batch_size))


if __name__ == "__main__":
    main()
