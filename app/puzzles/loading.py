"""Reads and checks puzzles. Knows the files, not who solves them or what for.

A puzzle is a file NAME.json:
    truth         what the neuron responds to, as an explanation says it, without a full stop
    falses        three or more explanations that a careful reader tells from the truth by the activations
    why           one sentence for whoever solved it: what in the excerpts decides
    level         easy, medium, or example for the one that the instructions solve
    top, random   five or more and three or more excerpts as marked text, see marked_text.py; top: strongest first
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.errors import InvalidInput
from app.neurons.records import ActivationRecord, NeuronRecords
from app.puzzles.marked_text import marked_record

CUTOFF = 1.0
"""Puzzles come without quantiles."""
_SHIPPED = Path(__file__).parent / "default"

Level = Literal["example", "easy", "medium"]
_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\n]*$")]


@dataclass(frozen=True, eq=False)
class Puzzle:
    """A neuron whose truth is known.

    name: its file's, without the ending. records: its layer is 0, its index the place among the puzzles of its folder.
    truth, falses: explanations without a full stop. why: what in the excerpts decides, one sentence.
    """

    name: str
    records: NeuronRecords
    truth: str
    falses: tuple[str, ...]
    why: str
    level: Level

    @property
    def maximum(self) -> float:
        """The largest activation over all excerpts: the strongest colour."""
        return max(record.maximum for record in self.records.top + self.records.random)


def _without_full_stop(explanation: str) -> str:
    if explanation.endswith("."):
        raise ValueError("a full stop at the end; expected none, the page adds it")
    return explanation


_Explanation = Annotated[_Line, AfterValidator(_without_full_stop)]
_Excerpt = Annotated[str, Field(min_length=1)]


class _PuzzleFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    truth: _Explanation
    falses: Annotated[list[_Explanation], Field(min_length=3)]
    why: _Line
    level: Level
    top: Annotated[list[_Excerpt], Field(min_length=5)]
    random: Annotated[list[_Excerpt], Field(min_length=3)]


def load_puzzles(folder: Path | None = None) -> tuple[Puzzle, ...]:
    """The puzzles in a folder, sorted by name; None: those that are shipped, read once.

    Errors: InvalidInput, naming file and field, when one cannot be used, or when the folder has none.
    """
    return _shipped_puzzles() if folder is None else _read_folder(folder)


@lru_cache(maxsize=1)
def _shipped_puzzles() -> tuple[Puzzle, ...]:
    return _read_folder(_SHIPPED)


def _read_folder(folder: Path) -> tuple[Puzzle, ...]:
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    if not paths:
        raise InvalidInput(f"{folder}: no puzzles; expected files that end in .json")
    # Names that differ by their case alone are one and the same file on some machines.
    names: dict[str, Path] = {}
    for path in paths:
        if (other := names.setdefault(path.stem.casefold(), path)) is not path:
            raise InvalidInput(f"{path}: the name {path.stem!r} is taken by {other.name}")
    return tuple(_read_puzzle(path, index) for index, path in enumerate(paths))


def _read_puzzle(path: Path, index: int) -> Puzzle:
    content = _read_json(path)
    _check_distinct(path, [content.truth, *content.falses])
    top = _records(path, "top", content.top)
    if any(stronger.maximum < weaker.maximum for stronger, weaker in pairwise(top)):
        raise InvalidInput(f"{path}: top: an excerpt is stronger than the one before it; expected strongest first")
    records = NeuronRecords("puzzles", 0, index, top, _records(path, "random", content.random), CUTOFF)
    return Puzzle(path.stem, records, content.truth, tuple(content.falses), content.why, content.level)


def _check_distinct(path: Path, explanations: list[str]) -> None:
    """Two texts that look the same would be one card, with no telling whether it is true."""
    seen = [" ".join(explanation.casefold().split()) for explanation in explanations]
    if repeated := next((text for text in seen if seen.count(text) > 1), None):
        raise InvalidInput(f"{path}: truth and falses: {repeated!r} is there twice; expected all of them distinct")


def _records(path: Path, field: str, excerpts: list[str]) -> tuple[ActivationRecord, ...]:
    records: list[ActivationRecord] = []
    for i, excerpt in enumerate(excerpts):
        try:
            records.append(marked_record(excerpt))
        except InvalidInput as error:
            raise InvalidInput(f"{path}: {field}.{i}: {error}") from None
    return tuple(records)


def _read_json(path: Path) -> _PuzzleFile:
    try:
        return _PuzzleFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InvalidInput(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from error
