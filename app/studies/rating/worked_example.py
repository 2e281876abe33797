"""The one neuron that the instructions judge before the rater's eyes: a puzzle, with the reasons in words.

Raters never practise on it, because its answer is told here.
"""

from dataclasses import dataclass

from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.puzzles.loading import Puzzle, load_puzzles
from app.studies.dealing.blinding import shown_text
from app.studies.rating.entries import SCALE

_PUZZLE = "falling-weather"
_TRUE_REASON = "Rain and snow are coloured, and everything else stays silent, in the last excerpt too."
_FALSE_REASON = (
    "It names the right field, but fog, wind and sunshine belong to it as well, and none of them is coloured. "
    "It claims too much."
)


@dataclass(frozen=True)
class JudgedDescription:
    """One description and how one would judge it.

    text: as shown. rating: 1-5; words: what that means. is_best: whether it is the best pick. reason: in a sentence or
    two, from the excerpts.
    """

    text: str
    rating: int
    words: str
    is_best: bool
    reason: str


@dataclass(frozen=True)
class WorkedExample:
    """What templates/rating/_worked_example.html shows.

    excerpts: as coloured spans, on the puzzle's scale. maximum: that scale's strongest colour.
    descriptions: the true one, then one that is too broad.
    """

    excerpts: tuple[tuple[HeatmapSpan, ...], ...]
    maximum: float
    descriptions: tuple[JudgedDescription, ...]


def worked_example() -> WorkedExample:
    puzzle = next(puzzle for puzzle in load_puzzles() if puzzle.name == _PUZZLE)
    # Two that are coloured, and one about the same topic that is not: a description must hold for both.
    records = (puzzle.records.top[0], puzzle.records.top[1], puzzle.records.random[1])
    return WorkedExample(
        excerpts=tuple(heatmap_spans(record, puzzle.maximum) for record in records),
        maximum=puzzle.maximum,
        descriptions=_descriptions(puzzle),
    )


def _descriptions(puzzle: Puzzle) -> tuple[JudgedDescription, ...]:
    judged = ((puzzle.truth, 5, True, _TRUE_REASON), (puzzle.falses[0], 2, False, _FALSE_REASON))
    return tuple(
        JudgedDescription(shown_text(text), rating, SCALE[rating], is_best, reason)
        for text, rating, is_best, reason in judged
    )
