"""Excerpts as a person writes them, turned into tokens and activations. Knows no files.

    The first frost came in Novem|ber^7.2, early^0.4 for the coast.

Text falls into tokens as subword tokenizers cut it: a word with the blank before it, a run of digits, the `'s` of
`it's`, each mark on its own, a line break, all but the last blank of an indentation. `|` cuts where these rules do
not. `^7.2` behind a token is its activation; a token without one has 0. So neither sign can be part of a text.
"""

import re

import numpy as np

from app.errors import InvalidInput
from app.neurons.records import ActivationRecord

_TOKEN = re.compile(
    r"(?P<token>\n|[^\S\n]+(?=[^\S\n])|['’](?:s|t|re|ve|m|ll|d)\b| ?(?:[^\W\d_]+|\d+|[^\w\s^|]|_)|\s)"
    r"(?:\^(?P<activation>-?\d+(?:\.\d+)?))?"
)
_LARGEST = 1000.0
"""Far below what float16 can hold; an activation above it is a slip of the pen."""


def marked_record(text: str) -> ActivationRecord:
    """The excerpt that this marked text stands for, its activations read-only.

    Errors: InvalidInput, with the words where reading stopped: a `^` without a number, two cuts in a row, a cut at
    either end, an activation beyond 1000, nothing at all.
    """
    pairs = [pair for part in text.split("|") for pair in _pairs(part)]
    activations = np.array([activation for _, activation in pairs], dtype=np.float16)
    activations.setflags(write=False)
    return ActivationRecord(tuple(token for token, _ in pairs), activations)


def _pairs(part: str) -> list[tuple[str, float]]:
    """Tokens with activations of one part between two cuts."""
    if not part:
        raise InvalidInput("nothing between two cuts or beside one; expected text around every |")
    pairs: list[tuple[str, float]] = []
    place = 0
    while place < len(part):
        found = _TOKEN.match(part, place)
        if found is None:
            raise InvalidInput(f"cannot read on at {part[place : place + 20]!r}; expected a number behind every ^")
        pairs.append((found["token"], _activation(found["activation"])))
        place = found.end()
    return pairs


def _activation(written: str | None) -> float:
    value = float(written or 0.0)
    if abs(value) > _LARGEST:
        raise InvalidInput(f"activation {written}; expected at most {_LARGEST:.0f}")
    return value
