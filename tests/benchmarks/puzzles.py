"""How well scores tell the truth of our puzzles from their false explanations.

`make bench-puzzles`; `python -m tests.benchmarks.puzzles --puzzles 4` is a quick look. A puzzle is told right when its
truth scores above each of its false explanations; an undefined score is above nothing and nothing is above it.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.explanations.prompt_packs.loading import DEFAULT_PACK, load_pack
from app.explanations.scoring.evidence import Reference, unseen_evidence
from app.explanations.scoring.settings import MINILM, SIMULATION, ScorerSettings
from app.explanations.texts import as_shown
from app.puzzles.loading import Puzzle, load_puzzles
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from worker.explaining.local_chat import LocalChat
from worker.scoring.adacs import adacs
from worker.scoring.embedders import MiniLM
from worker.scoring.lexical import LexicalScorer
from worker.scoring.scored import Evidence, ScoredExcerpt, Scorer
from worker.scoring.simulating.scorer import SimulatorCalls, simulation_scorer
from worker.subjects.model_files import BUNDLED, find_model, transformers_folder

ADACS_FIGURE = f"adacs {MINILM} (the truth is 1 by definition)"
LEAST_TOLD_RIGHT = {ADACS_FIGURE: 75.0}
"""Percentage of the puzzles, by measure."""

Measure = Callable[[Puzzle, str], float | None]
"""The score of a text, as people see it, as an explanation of a puzzle; None where it is undefined."""
Excerpts = Callable[[Puzzle], Evidence]
"""What of a puzzle a text is scored on."""


@dataclass(frozen=True)
class ScoredPuzzle:
    """Scores of one puzzle's explanations; None where undefined."""

    puzzle: Puzzle
    truth: float | None
    falses: tuple[float | None, ...]

    @property
    def n_below_truth(self) -> int:
        """How many false explanations score below the truth."""
        if self.truth is None:
            return 0
        return sum(false is not None and false < self.truth for false in self.falses)

    @property
    def is_told_right(self) -> bool:
        return self.n_below_truth == len(self.falses)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--puzzles", type=int, help="only so many of them, by name; default: all")
    n_puzzles = parser.parse_args(arguments).puzzles
    puzzles = load_puzzles()[:n_puzzles]
    print_machine()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        simulation = simulation_scorer_here(Path(folder))
        measures = {
            "lexical tf-idf, all excerpts": measure_by(LexicalScorer(), all_excerpts),
            "lexical tf-idf, unseen excerpts": measure_by(LexicalScorer(), unseen_excerpts),
            ADACS_FIGURE: adacs_measure(),
            f"{MINILM} against the activating tokens": tokens_measure(),
            f"simulation {BUNDLED} all-at-once, all excerpts": measure_by(simulation, all_excerpts),
            f"simulation {BUNDLED} all-at-once, unseen excerpts": measure_by(simulation, unseen_excerpts),
        }
        for name, measure in measures.items():
            figures += puzzle_figures(name, scored_puzzles(puzzles, measure), LEAST_TOLD_RIGHT.get(name))
    print_figures(figures)


def scored_puzzles(puzzles: Sequence[Puzzle], measure: Measure) -> list[ScoredPuzzle]:
    """Measures every explanation of every puzzle, and prints a line for each puzzle."""
    found = []
    for puzzle in puzzles:
        truth, *falses = (measure(puzzle, as_shown(text)) for text in (puzzle.truth, *puzzle.falses))
        found.append(ScoredPuzzle(puzzle, truth, tuple(falses)))
        falses_shown = " ".join(_shown(false) for false in falses)
        verdict = "right" if found[-1].is_told_right else "wrong"
        print(f"{puzzle.name:20} {verdict}  truth {_shown(truth)}  falses {falses_shown}", flush=True)
    return found


def puzzle_figures(name: str, scored: Sequence[ScoredPuzzle], least_told_right: float | None = None) -> list[Figure]:
    """Shares are of all puzzles and of all comparisons of a truth with a false explanation of the same puzzle.

    least_told_right: percentage of the puzzles that has to be told right; None where none is set.
    """
    n_comparisons = sum(len(puzzle.falses) for puzzle in scored)
    scores = [score for puzzle in scored for score in (puzzle.truth, *puzzle.falses)]
    told_right = sum(puzzle.is_told_right for puzzle in scored) / len(scored)
    shares = {
        "comparisons told right": sum(puzzle.n_below_truth for puzzle in scored) / n_comparisons,
        "scores undefined": sum(score is None for score in scores) / len(scores),
    }
    means = {
        "mean score of truths": _mean([puzzle.truth for puzzle in scored]),
        "mean score of falses": _mean([false for puzzle in scored for false in puzzle.falses]),
    }
    counts = {"puzzles": len(scored), "comparisons": n_comparisons}
    return [
        *(Figure(f"{name}: {what}", count, "") for what, count in counts.items()),
        Figure(f"{name}: puzzles told right", 100 * told_right, "%", least_told_right, at_least=True),
        *(Figure(f"{name}: {what}", 100 * share, "%") for what, share in shares.items()),
        *(Figure(f"{name}: {what}", mean, "") for what, mean in means.items()),
    ]


def simulation_scorer_here(folder: Path) -> Scorer:
    """Simulate and score by the bundled model. folder: where it is converted to."""
    local = LocalChat.load(str(transformers_folder(find_model(BUNDLED), folder)))
    return simulation_scorer(
        ScorerSettings(metric=SIMULATION), SimulatorCalls(load_pack(DEFAULT_PACK).few_shots, local=local)
    )


def measure_by(scorer: Scorer, excerpts: Excerpts) -> Measure:
    return lambda puzzle, text: asyncio.run(scorer.score(text, excerpts(puzzle), attempt=0)).value


def adacs_measure() -> Measure:
    """Against the puzzle's truth, as scores do it. The truth compared with itself is 1 by definition, so this can only
    fail where a false explanation says the same in the embedder's eyes."""
    minilm = MiniLM.load()

    def measure(puzzle: Puzzle, text: str) -> float | None:
        truth = Reference("none", as_shown(puzzle.truth))
        return asyncio.run(adacs(minilm, text, truth, attempt=0)).value

    return measure


def tokens_measure() -> Measure:
    """The same cosine against the tokens above the cutoff, which knows no truth: whether the embedder finds the words
    that a neuron responds to closer to what they have in common than to what they have not."""
    minilm = MiniLM.load()

    def measure(puzzle: Puzzle, text: str) -> float | None:
        tokens = Reference("none", ", ".join(_activating_tokens(puzzle)))
        return asyncio.run(adacs(minilm, text, tokens, attempt=0)).value

    return measure


def _activating_tokens(puzzle: Puzzle) -> list[str]:
    return [
        token.strip()
        for record in puzzle.records.top
        for token, activation in zip(record.tokens, record.activations.tolist(), strict=True)
        if activation > puzzle.records.cutoff
    ]


def all_excerpts(puzzle: Puzzle) -> Evidence:
    """Of a puzzle's own explanations, which were not made from any of them."""
    return Evidence(*_excerpts(puzzle), (), puzzle.maximum, puzzle.records.cutoff)


def unseen_excerpts(puzzle: Puzzle) -> Evidence:
    """What stored explanations of the puzzle are scored on: without those that the default prompt shows."""
    return unseen_evidence(*_excerpts(puzzle), "", puzzle.records.cutoff)


def _excerpts(puzzle: Puzzle) -> tuple[tuple[ScoredExcerpt, ...], tuple[ScoredExcerpt, ...]]:
    """Top and random ones."""
    top, random = (
        tuple(ScoredExcerpt(index, record) for index, record in enumerate(records))
        for records in (puzzle.records.top, puzzle.records.random)
    )
    return top, random


def _mean(scores: Sequence[float | None]) -> float:
    defined = [score for score in scores if score is not None]
    return sum(defined) / len(defined) if defined else float("nan")


def _shown(score: float | None) -> str:
    return " none" if score is None else f"{score:5.2f}"


if __name__ == "__main__":
    main()
