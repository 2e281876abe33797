"""What recording costs: every batch of the bundled model with and without it, one right after the other.

`make bench-recording`; `python -m tests.benchmarks.recording --excerpts 64` is a quick look.
"""

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from app.settings import Settings
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from worker.corpus import EXCERPT_LENGTH, cut_excerpts, open_text
from worker.model_files import BUNDLED, find_model, transformers_folder
from worker.recorder import Recorder
from worker.subject import Subject, load_subject, load_tokenizer

LARGEST_RATIO = 1.25


class TimedBatches:
    """Seconds of each batch: `bare`, `recorded` (the forward pass with recording) and of these inside the recorder."""

    def __init__(self, subject: Subject, n_excerpts: int):
        self._subject = subject
        self._recorder = Recorder(subject, n_excerpts=n_excerpts, n_tokens=EXCERPT_LENGTH, seed=0)
        self.bare: list[float] = []
        self.recorded: list[float] = []
        self.inside: list[float] = []

    def run(self, first: int, token_ids: npt.NDArray[np.int32]) -> None:
        # Whichever comes second finds warmer caches, so they take turns.
        if len(self.bare) % 2:
            self._run_recorded(first, token_ids)
            self._run_bare(token_ids)
        else:
            self._run_bare(token_ids)
            self._run_recorded(first, token_ids)

    def _run_bare(self, token_ids: npt.NDArray[np.int32]) -> None:
        started = time.perf_counter()
        self._subject.forward(token_ids)
        self.bare.append(time.perf_counter() - started)

    def _run_recorded(self, first: int, token_ids: npt.NDArray[np.int32]) -> None:
        self.inside.append(0.0)
        started = time.perf_counter()
        self._recorder.start_batch(first)
        with self._subject.observing(self._observe):
            self._subject.forward(token_ids)
        self.recorded.append(time.perf_counter() - started)

    def _observe(self, layer: int, activations: torch.Tensor) -> None:
        started = time.perf_counter()
        self._recorder.observe(layer, activations)
        self.inside[-1] += time.perf_counter() - started


def measured(subject: Subject, token_ids: npt.NDArray[np.int32], batch_size: int) -> list[Figure]:
    for _ in range(3):
        subject.forward(token_ids[:batch_size])
    timed = TimedBatches(subject, len(token_ids))
    for first in range(0, len(token_ids), batch_size):
        timed.run(first, token_ids[first : first + batch_size])
    ratios = [recorded / bare for recorded, bare in zip(timed.recorded, timed.bare, strict=True)]
    shares = [100 * inside / bare for inside, bare in zip(timed.inside, timed.bare, strict=True)]
    half = len(shares) // 2
    bare_speed = token_ids.size / sum(timed.bare)
    recorded_speed = token_ids.size / sum(timed.recorded)
    return [
        Figure("recording / bare forward, whole corpus", sum(timed.recorded) / sum(timed.bare), "times", LARGEST_RATIO),
        Figure("recording / bare forward, median batch", median(ratios), "times", LARGEST_RATIO),
        Figure("recorder alone, whole corpus", 100 * sum(timed.inside) / sum(timed.bare), "% of bare"),
        Figure("recorder alone, median of first four batches", median(shares[:4]), "% of bare"),
        Figure("recorder alone, median of later half", median(shares[half:]), "% of bare"),
        Figure("bare forward", bare_speed, "tokens/s"),
        Figure("recording", recorded_speed, "tokens/s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--excerpts", type=int, default=1024)
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
    print(f"{excerpts.shape[0]} excerpts of {excerpts.shape[1]} tokens, batches of {arguments.batch_size}, float32")
    print_figures(measured(subject, excerpts, arguments.batch_size))


if __name__ == "__main__":
    main()
