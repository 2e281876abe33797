"""Tokens as chat models can read and repeat them: JSON strings, so that blanks, line breaks and quotes show and
survive. Knows no prompt.
"""

import json
import re
from collections.abc import Sequence

from app.explanations.scoring.simulating.examples import LARGEST, Excerpt

_LINE = re.compile(r'(?P<number>\d+) (?P<token>"(?:[^"\\]|\\.)*") (?P<value>\d+)')


class Unfaithful(ValueError):
    """An answer that does not repeat what it was given. The message says where and how."""


def quoted(text: str) -> str:
    """A JSON string on one line: letters of all languages as they are, what nobody sees escaped."""
    literal = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in literal)


def numbered_lines(tokens: Excerpt) -> list[str]:
    """One line per token: its number, from 1, and the token."""
    return [f"{number} {quoted(token)}" for number, token in enumerate(tokens, start=1)]


def valued_lines(tokens: Excerpt, values: Sequence[int]) -> list[str]:
    """The same lines, each with a value behind it: the answer that is asked for."""
    return [f"{line} {value}" for line, value in zip(numbered_lines(tokens), values, strict=True)]


def values_of_copy(answer: str, tokens: Excerpt) -> list[int]:
    """The values in an answer that repeats all tokens, in their order, each with an integer from 0 to 10.

    Blank space around the answer and at the ends of lines is overlooked, and so is another way to escape the same
    token; nothing else is. Errors: Unfaithful.
    """
    lines = [line.rstrip() for line in answer.strip().split("\n")]
    if len(lines) != len(tokens):
        raise Unfaithful(f"{len(lines)} lines; expected {len(tokens)}")
    return [_value(line, number, token) for number, (line, token) in enumerate(zip(lines, tokens, strict=True), 1)]


def _value(line: str, number: int, token: str) -> int:
    found = _LINE.fullmatch(line)
    if found is None or found["number"] != str(number) or _unquoted(found["token"]) != token:
        raise Unfaithful(f"line {number} is {line[:80]!r}; expected {number} {quoted(token)} and a value")
    value = int(found["value"])
    if value > LARGEST:
        raise Unfaithful(f"line {number} has the value {value}; expected 0 to {LARGEST}")
    return value


def _unquoted(literal: str) -> str | None:
    try:
        text: str = json.loads(literal, strict=False)
    except json.JSONDecodeError:
        return None
    return text
