"""Reads puzzles in the format in which others publish them: one JSON file, with every puzzle's name, explanation,
sentences and false explanations. Knows no database.

    {"cats": {"name": "cats", "explanation": "words for cats", "sentences": [["The", [" cat", 8], " sat"], ...],
              "false_explanations": ["words for dogs", ...]}, ...}

A list of such objects is read too. A token alone is 0, and with a value it is a pair. Sentences have no order.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput

MOST_BYTES = 64 * 2**20
LARGEST_ACTIVATION = 65504.0
"""The largest float16."""

Sentence = tuple[tuple[str, float], ...]
"""Tokens with their activations."""


@dataclass(frozen=True)
class PublishedPuzzle:
    """A puzzle as published. top: sentences with an activation above 0, strongest first; random: the others, in the
    file's order."""

    name: str
    truth: str
    falses: tuple[str, ...]
    top: tuple[Sentence, ...]
    random: tuple[Sentence, ...]


def published_puzzles(path: Path) -> Iterator[tuple[str, PublishedPuzzle | InvalidInput]]:
    """Each puzzle of the file in its order, with its name: as read, or why it cannot be used.

    Errors: InvalidInput for a file that cannot be read, is no JSON, or holds no puzzles.
    """
    for index, (key, content) in enumerate(_entries(path)):
        name = key if key is not None else _name_in(content) or str(index)
        try:
            yield name, _puzzle(name, content)
        except InvalidInput as error:
            yield name, error


def _entries(path: Path) -> list[tuple[str | None, Any]]:
    content = _content(path)
    if isinstance(content, dict) and "sentences" not in content:
        entries: list[tuple[str | None, Any]] = list(content.items())
    elif isinstance(content, list):
        entries = [(None, each) for each in content]
    else:
        raise InvalidInput(f"{path} holds no puzzles by name; expected {{NAME: {{explanation, sentences, ...}}, ...}}")
    if not entries:
        raise InvalidInput(f"{path} holds no puzzle; expected one or more")
    return entries


def _content(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise InvalidInput(f"{path} has more than {MOST_BYTES // 2**20} MiB; expected a file of puzzles")
        return json.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path} is not JSON; expected a file of puzzles") from None


def _name_in(content: Any) -> str | None:
    name = content.get("name") if isinstance(content, dict) else None
    return name if isinstance(name, str) and name else None


def _puzzle(name: str, content: Any) -> PublishedPuzzle:
    if not isinstance(content, dict):
        raise InvalidInput(f"a puzzle is {type(content).__name__}; expected an object")
    truth = _text(content.get("explanation"), "explanation")
    falses = [_text(each, f"false_explanations[{i}]") for i, each in enumerate(_list(content, "false_explanations"))]
    sentences = [_sentence(each, f"sentences[{i}]") for i, each in enumerate(_list(content, "sentences"))]
    if not sentences:
        raise InvalidInput("sentences is empty; expected one or more")
    maxima = [max(activation for _, activation in sentence) for sentence in sentences]
    strongest_first = sorted(range(len(sentences)), key=lambda i: -maxima[i])
    return PublishedPuzzle(
        name,
        truth,
        tuple(falses),
        top=tuple(sentences[i] for i in strongest_first if maxima[i] > 0),
        random=tuple(sentence for sentence, maximum in zip(sentences, maxima, strict=True) if maximum <= 0),
    )


def _list(content: Mapping[str, Any], field: str) -> list[Any]:
    found = content.get(field)
    if not isinstance(found, list):
        raise InvalidInput(f"{field} is {'missing' if found is None else type(found).__name__}; expected a list")
    return found


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{field} is {_shown(value)}; expected a text")
    return value


def _sentence(content: Any, field: str) -> Sentence:
    if not isinstance(content, list) or not content:
        raise InvalidInput(f"{field} is {_shown(content)}; expected a list of one or more tokens")
    return tuple(_token(token, f"{field}[{i}]") for i, token in enumerate(content))


def _token(token: Any, field: str) -> tuple[str, float]:
    text, value = token if isinstance(token, list) and len(token) == 2 else (token, 0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(text, str) or not is_number or not _is_storable(value):
        raise InvalidInput(f"{field} is {_shown(token)}; expected a token, or a token with its activation")
    return text, float(value)


def _is_storable(value: float) -> bool:
    return not math.isnan(value) and abs(value) <= LARGEST_ACTIVATION


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]
