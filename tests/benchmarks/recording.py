"""What recording costs: every batch of the bundled model bare, recorded, and as others record, right after each other.

`make bench-recording`; `python -m tests.benchmarks.recording --excerpts 256` is a quick look.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from app.database import Database
from app.migrating import upgrade
from app.neurons import storing
from app.neurons.models import Recording, SubjectModel
from app.settings import Settings
from tests.benchmarks.other_ways import AllNonZeros, ConcatenatedTopK, LayerReached, Observe
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from worker.recording.parts import merged_layer
from worker.recording.plan import RecordingPlan
from worker.recording.recorder import Recorder
from worker.subjects.architectures import ARCHITECTURES
from worker.subjects.mlp_modules import known_modules
from worker.subjects.model_files import BUNDLED, find_model, transformers_folder
from worker.subjects.subject import Subject, load_subject, load_tokenizer
from worker.texts.corpus import EXCERPT_LENGTH, cut_excerpts, open_text

BARE, TOP_AND_RANDOM, EVERYTHING = "bare", "top + random", "everything"
LARGEST_RATIOS = {TOP_AND_RANDOM: 1.10, EVERYTHING: 1.25}
LARGEST_SHARES = {TOP_AND_RANDOM: 1.0, EVERYTHING: 3.0}
N_BATCHES_OF_OTHERS = 12
"""Others are timed on some batches only: there is no steady state in what they do with a batch."""
MOST_ON_ONE_CORE = 12
"""Batches at the end of the corpus, in the steady state: the recorder alone beside the bare model, on a single core."""

N_LAYERS_WRITTEN = 4

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
        self.whole.append(seconds_since(started))

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
    return seconds_since(started)


def seconds_since(started: float) -> float:
    if torch.cuda.is_available():
        # A GPU is asked and goes on by itself; the time is over when it has answered.
        torch.cuda.synchronize()
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
    n_batches = -(-n_excerpts // batch_size)
    for number, first in enumerate(range(0, n_excerpts, batch_size)):
        if number == n_batches - on_one_core(n_batches):
            torch.set_num_threads(1)
        batch = token_ids[first : first + batch_size]
        # Whichever comes later finds warmer caches, so they take turns.
        for name in np.roll([BARE, *recorders], number):
            if name == BARE:
                bare.append(run_bare(subject, batch))
            else:
                recorders[name].run_batch(first, batch)
    torch.set_num_threads(subject.n_threads)
    figures = [figure for name, recorder in recorders.items() for figure in recorded_figures(name, recorder, bare)]
    figures += [*merging_figures(recorders[EVERYTHING]), written_figure(recorders[EVERYTHING])]
    figures += other_figures(subject, token_ids, batch_size)
    return [*figures, Figure("bare forward, median batch", batch_size * n_tokens / median(bare), "tokens/s")]


def on_one_core(n_batches: int) -> int:
    return max(1, min(MOST_ON_ONE_CORE, n_batches // 10))


def recorded_figures(name: str, recorder: TimedRecorder, bare: list[float]) -> list[Figure]:
    pairs = list(zip(recorder.whole, recorder.inside, bare, strict=True))
    n_apart = on_one_core(len(pairs))
    shared, apart = pairs[:-n_apart], pairs[-n_apart:]
    ratios = [whole / alone for whole, _, alone in shared]
    shares = [100 * inside / alone for _, inside, alone in shared]
    whole, inside, alone = (sum(seconds) for seconds in zip(*shared, strict=True))
    isolated = median(100 * inside / alone for _, inside, alone in apart)
    n_excerpts = len(shared) / len(pairs) * recorder.plan.n_excerpts
    bound = LARGEST_RATIOS[name]
    return [
        Figure(f"R, {name}: recording / bare forward, {n_excerpts:.0f} excerpts", whole / alone, "times", bound),
        Figure(f"R, {name}: median batch", median(ratios), "times", bound),
        Figure(f"{name}: recorder alone", 100 * inside / alone, "% of bare"),
        Figure(f"{name}: recorder alone, first four batches", median(shares[:4]), "% of bare"),
        Figure(f"{name}: recorder alone, later half", median(shares[len(shares) // 2 :]), "% of bare"),
        Figure(f"{name}: recorder alone, steady, one core", isolated, "% of bare", LARGEST_SHARES[name]),
        Figure(f"{name}: speed", n_excerpts * recorder.plan.n_tokens / whole, "tokens/s"),
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


def written_figure(recorder: TimedRecorder) -> Figure:
    """Some layers into a new SQLite file, merging left out."""
    plan = recorder.plan
    merged = [merged_layer(plan, layer, parts) for layer, parts in enumerate(recorder.parts[:N_LAYERS_WRITTEN])]
    n_neurons = len(merged[0].statistics["maximum"])
    token_ids = np.zeros((plan.n_excerpts, plan.n_tokens), dtype=np.int32)
    names = {"name": "bench", "revision": "", "architecture": "", "dtype": "float32", "tokenizer_hash": ""}
    subject = SubjectModel(**names, n_layers=len(recorder.parts), n_neurons_per_layer=n_neurons)
    recording = Recording(settings={}, provenance={}, n_tokens=token_ids.size, seconds=0.0)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/study.sqlite")
        upgrade(database)
        with database.writing() as session:
            corpus = storing.store_corpus(session, name="bench", hash="", token_ids=token_ids, token_texts={0: "x"})
            storing.begin_recording(session, subject, recording, corpus)
        started = time.perf_counter()
        for layer in merged:
            with database.writing() as session:
                storing.store_layer(session, recording, layer)
        seconds = time.perf_counter() - started
        database.dispose()
    return Figure("written to SQLite, everything", len(merged) * n_neurons / seconds, "neurons/s")


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


def real_model(folder: Path | None, n_excerpts: int) -> tuple[Subject, Int32Array]:
    settings = Settings()
    folder = folder or transformers_folder(find_model(BUNDLED), settings.models_folder)
    excerpts = cut_excerpts(open_text("python-docs"), load_tokenizer(folder), n_excerpts=n_excerpts, seed=0)
    return load_subject(folder, n_tokens=EXCERPT_LENGTH, n_threads=settings.threads), excerpts.token_ids


def gpt2_xl_shape(n_excerpts: int) -> tuple[Subject, Int32Array]:
    """GPT-2 XL's true size, 48 layers of 6,400 neurons, with random weights and random tokens."""
    from transformers import GPT2Config, GPT2Model

    dtype, device = ("float16", "cuda") if torch.cuda.is_available() else ("float32", "cpu")
    with torch.device(device):
        model = GPT2Model(GPT2Config(n_embd=1600, n_layer=48, n_head=25)).to(getattr(torch, dtype))
    modules = known_modules(model, ARCHITECTURES["gpt2"])
    subject = Subject(model, modules, folder=Path("gpt2-xl"), dtype=dtype, n_threads=Settings().threads)
    generator = np.random.default_rng(0)
    return subject, generator.integers(0, 50257, (n_excerpts, EXCERPT_LENGTH)).astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--excerpts", type=int, default=5056)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="a model other than the bundled one")
    parser.add_argument("--gpt2-xl", action="store_true", help="a model of GPT-2 XL's size with random weights")
    arguments = parser.parse_args()
    print_machine()
    if arguments.gpt2_xl:
        subject, excerpts = gpt2_xl_shape(arguments.excerpts)
    else:
        subject, excerpts = real_model(arguments.folder, arguments.excerpts)
    print(
        f"{excerpts.shape[0]} excerpts of {excerpts.shape[1]} tokens, batches of {arguments.batch_size}, "
        f"{subject.dtype}, {subject.n_threads} threads",
        flush=True,
    )
    print_figures(measured(subject, excerpts, arguments.batch_size))


if __name__ == "__main__":
    main()
