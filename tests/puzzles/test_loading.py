"""Puzzles: what is read of a file, what a bad one says, and that those we ship can be solved as they are meant."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.puzzles import loading
from app.puzzles.loading import Puzzle, load_puzzles
from app.puzzles.marked_text import marked_record
from app.studies.dealing.blinding import reason_not_to_show, shown_text

SHIPPED = Path(loading.__file__).parent / "default"

PLAIN: dict[str, Any] = {
    "level": "easy",
    "truth": "words for cats",
    "falses": ["words for dogs", "words for animals", "verbs"],
    "why": "Only cats are coloured.",
    "top": ["a cat^9", "a cat^8", "a cat^7.5", "a kit|ten^7", "the cats^6"],
    "random": ["a dog", "a house^0.5", "nothing at all"],
}


def write(folder: Path, name: str = "cats", **changes: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(PLAIN | changes), encoding="utf-8")
    return folder


# Marked text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens", "activations"),
    [
        ("The frost came in Novem|ber^7.2, early^0.4.", "The| frost| came| in| Novem|ber|,| early|.", {5: 7.2, 7: 0.4}),
        ("It's $|45^9.2 each", "It|'s| $|45| each", {3: 9.2}),
        ("we’ll see: 3.|14^9 or 3.14^-1", "we|’ll| see|:| 3|.|14| or| 3|.|14", {6: 9.0, 10: -1.0}),
        ('"Wait!"^7.1 he said', '"|Wait|!|"| he| said', {3: 7.1}),
        ("if^8 x_1:\n        return^9.2", "if| x|_|1|:|\n|       | return", {0: 8.0, 7: 9.2}),
    ],
)
def test_marked_text_becomes_tokens_and_activations(text: str, tokens: str, activations: dict[int, float]) -> None:
    record = marked_record(text)
    assert record.tokens == tuple(tokens.split("|"))
    expected = [activations.get(i, 0.0) for i in range(len(record.tokens))]
    assert record.activations.tolist() == pytest.approx(expected, abs=0.005)


def test_no_character_of_a_text_gets_lost() -> None:
    text = "Ünal  paid\t€ 1,50 (—not 2!)\n\n  for _it_ … 日本 ½ ok"
    assert "".join(marked_record(text).tokens) == text


@pytest.mark.parametrize("text", ["a cat^", "a cat^x", "^3 cat", "a || cat", "|cat", "cat|", "", "a cat^1000.5"])
def test_marked_text_with_a_slip_of_the_pen_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        marked_record(text)


def test_activations_of_a_puzzle_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_puzzles()[0].records.top[0].activations[0] = 1.0


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_puzzle_is_read_with_everything_its_file_says(tmp_path: Path) -> None:
    (puzzle,) = load_puzzles(write(tmp_path))
    assert (puzzle.name, puzzle.truth, puzzle.level) == ("cats", "words for cats", "easy")
    assert puzzle.falses == ("words for dogs", "words for animals", "verbs")
    assert puzzle.why == "Only cats are coloured."
    assert [record.maximum for record in puzzle.records.top] == [9.0, 8.0, 7.5, 7.0, 6.0]
    assert [record.tokens for record in puzzle.records.random] == [
        ("a", " dog"),
        ("a", " house"),
        ("nothing", " at", " all"),
    ]
    assert puzzle.maximum == 9.0


def test_puzzles_come_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b", "c", "a"):
        write(tmp_path, name)
    assert [(puzzle.name, puzzle.records.index) for puzzle in load_puzzles(tmp_path)] == [("a", 0), ("b", 1), ("c", 2)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"falses": ["one", "two"]}, "falses: List should have at least 3 items"),
        ({"falses": ["Words  for CATS", "two", "three"]}, "truth and falses: 'words for cats' is there twice"),
        ({"falses": ["one", "two", "ends here."]}, "falses.2: a full stop at the end"),
        ({"truth": " "}, "truth: String should have at least 1 character"),
        ({"level": "hard"}, "level: Input should be 'example', 'easy' or 'medium'"),
        ({"top": PLAIN["top"][:4]}, "top: List should have at least 5 items"),
        ({"random": ["a", "b"]}, "random: List should have at least 3 items"),
        ({"top": list(reversed(PLAIN["top"]))}, "top: an excerpt is stronger than the one before it"),
        ({"top": [*PLAIN["top"][:4], "a cat^"]}, r"top.4: cannot read on at '\^'"),
        ({"random": ["a", "b^99999999", "c"]}, "random.1: activation 99999999; expected at most 1000"),
        ({"random": ["a", "", "c"]}, "random.1: String should have at least 1 character"),
        ({"hint": "meow"}, "hint: Extra inputs are not permitted"),
    ],
)
def test_a_bad_puzzle_is_refused_by_file_and_field(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=rf"cats\.json: {complaint}"):
        load_puzzles(write(tmp_path, **changes))


def test_a_file_that_is_no_json_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(b"\xff{")
    with pytest.raises(InvalidInput, match=r"broken\.json: the whole file: Invalid JSON"):
        load_puzzles(tmp_path)


def test_a_folder_without_puzzles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no puzzles"):
        load_puzzles(tmp_path)


def test_names_that_differ_by_case_alone_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "cats")
    write(tmp_path, "Cats")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this disk takes both names for the same file")
    with pytest.raises(InvalidInput, match=r"the name '\w+' is taken by Cats\.json"):
        load_puzzles(tmp_path)


# The shipped ones -----------------------------------------------------------------------------------------------------

each_puzzle = pytest.mark.parametrize("puzzle", load_puzzles(), ids=lambda puzzle: puzzle.name)


def test_the_shipped_puzzles_are_those_in_the_folder_and_read_once(tmp_path: Path) -> None:
    copied = load_puzzles(Path(shutil.copytree(SHIPPED, tmp_path / "copy")))
    assert [(puzzle.name, puzzle.truth) for puzzle in load_puzzles()] == [(one.name, one.truth) for one in copied]
    assert load_puzzles() is load_puzzles()


def test_there_are_two_dozen_puzzles_to_practise_on_and_enough_easy_ones_for_two_attempts_of_five() -> None:
    levels = [puzzle.level for puzzle in load_puzzles()]
    assert levels.count("example") == 1
    assert levels.count("easy") >= 10
    assert levels.count("easy") + levels.count("medium") >= 24


@each_puzzle
def test_a_puzzle_shows_eight_strong_excerpts_and_five_weak_ones_of_a_readable_length(puzzle: Puzzle) -> None:
    top, random = puzzle.records.top, puzzle.records.random
    assert (len(top), len(random)) == (8, 5)
    assert all(12 <= len(record.tokens) <= 30 for record in top + random)
    assert all(5 <= record.maximum <= 10 for record in top)
    # A quarter of the weakest peak: nobody takes a random excerpt for an example of the pattern.
    assert all(record.maximum <= top[-1].maximum / 4 for record in random)
    # Most of an excerpt is silent, as in a real neuron.
    assert all(np.mean(record.activations > 1) <= 0.4 for record in top)
    assert len({"".join(record.tokens) for record in top + random}) == 13


@each_puzzle
def test_every_explanation_of_a_puzzle_may_lie_among_those_of_a_study(puzzle: Puzzle) -> None:
    explanations = [puzzle.truth, *puzzle.falses]
    assert [reason_not_to_show(text) for text in explanations] == [None] * len(explanations)
    assert len({shown_text(text).casefold() for text in explanations}) == len(explanations)


def test_the_length_of_an_explanation_does_not_give_the_truth_away() -> None:
    puzzles = load_puzzles()
    n_longest = sum(all(len(puzzle.truth) > len(false) for false in puzzle.falses) for puzzle in puzzles)
    n_shortest = sum(all(len(puzzle.truth) < len(false) for false in puzzle.falses) for puzzle in puzzles)
    assert max(n_longest, n_shortest) <= len(puzzles) / 3


def test_no_explanation_is_the_truth_of_one_puzzle_and_false_in_another() -> None:
    puzzles = load_puzzles()
    truths = {puzzle.truth for puzzle in puzzles}
    assert len(truths) == len(puzzles)
    assert not truths & {false for puzzle in puzzles for false in puzzle.falses}
