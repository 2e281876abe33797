"""Puzzles in the published format: what is read of a file, and what a bad one says."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInput
from app.puzzles.published import PublishedPuzzle, published_puzzles

CATS: dict[str, Any] = {
    "name": "cats",
    "explanation": " words for cats",
    "sentences": [["A", " dog"], ["a", [" cat", 4]], [["cats", 8.5], ".", [" tom", -1]], [["Nothing", 0]]],
    "false_explanations": ["dogs", "animals"],
}


def read(tmp_path: Path, content: Any) -> list[tuple[str, PublishedPuzzle | str]]:
    (tmp_path / "puzzles.json").write_text(json.dumps(content), encoding="utf-8-sig")
    found = published_puzzles(tmp_path / "puzzles.json")
    return [(name, str(puzzle) if isinstance(puzzle, InvalidInput) else puzzle) for name, puzzle in found]


def test_sentences_fall_into_strong_and_silent_ones(tmp_path: Path) -> None:
    ((name, puzzle),) = read(tmp_path, {"the cats": CATS})
    assert puzzle == PublishedPuzzle(
        name="the cats",
        truth=" words for cats",
        falses=("dogs", "animals"),
        top=((("cats", 8.5), (".", 0.0), (" tom", -1.0)), (("a", 0.0), (" cat", 4.0))),
        random=((("A", 0.0), (" dog", 0.0)), (("Nothing", 0.0),)),
    )
    assert name == "the cats"


def test_a_list_is_read_too_and_the_order_is_kept(tmp_path: Path) -> None:
    found = read(tmp_path, [CATS | {"name": "z"}, {key: CATS[key] for key in CATS if key != "name"}, "?", CATS])
    assert [name for name, _ in found] == ["z", "1", "2", "cats"]
    assert found[2][1] == "a puzzle is str; expected an object"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"explanation": " "}, "explanation is ' '; expected a text"),
        ({"explanation": None}, "explanation is missing; expected a text"),
        ({"sentences": []}, "sentences is empty; expected one or more"),
        ({"sentences": None}, "sentences is missing; expected a list"),
        ({"sentences": ["cat"]}, "sentences[0] is 'cat'; expected a list of one or more tokens"),
        ({"sentences": [["a"], []]}, "sentences[1] is []; expected a list of one or more tokens"),
        ({"sentences": [["a", ["b", "1"]]]}, "sentences[0][1] is ['b', '1']; expected a token, or a token with its"),
        ({"sentences": [[["b", True]]]}, "sentences[0][0] is ['b', True]; expected a token"),
        ({"sentences": [[["b", float("nan")]]]}, "sentences[0][0] is ['b', nan]; expected a token"),
        ({"sentences": [[["b", 1e9]]]}, "sentences[0][0] is ['b', 1000000000.0]; expected a token"),
        ({"sentences": [[["b", 1, 2]]]}, "sentences[0][0] is ['b', 1, 2]; expected a token"),
        ({"sentences": [[7]]}, "sentences[0][0] is 7; expected a token"),
        ({"false_explanations": "dogs"}, "false_explanations is str; expected a list"),
        ({"false_explanations": ["dogs", ""]}, "false_explanations[1] is ''; expected a text"),
    ],
)
def test_a_puzzle_that_cannot_be_used_says_why_and_the_others_are_read(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    (_, bad), (_, good) = read(tmp_path, {"bad": CATS | changed, "good": CATS})
    assert isinstance(bad, str)
    assert bad.startswith(reason)
    assert isinstance(good, PublishedPuzzle)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CATS, "holds no puzzles by name; expected {NAME: {explanation, sentences, ...}, ...}"),
        ("cats", "holds no puzzles by name"),
        ({}, "holds no puzzle; expected one or more"),
        ([], "holds no puzzle; expected one or more"),
    ],
)
def test_a_file_without_puzzles_is_one_error(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read(tmp_path, content)
    assert message in str(raised.value)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_file_that_is_no_json_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "puzzles.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"puzzles\.json is not JSON|holds no puzzles"):
        list(published_puzzles(tmp_path / "puzzles.json"))
