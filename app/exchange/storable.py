"""From what a foreign file says to what both databases can hold: possible characters and finite numbers only."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_SURROGATES = re.compile("[\ud800-\udfff]")
_NUL_SHOWN = "\u2400"
_REPLACEMENT = "\ufffd"
_NUMBERS = (int, float)
MOST_CHARACTERS_SHOWN = 60


def storable_text(text: str) -> str:
    """The text with U+0000, which PostgreSQL refuses, as U+2400, and halves of surrogate pairs, which no encoding can
    write, as U+FFFD."""
    return _SURROGATES.sub(_REPLACEMENT, text.replace("\0", _NUL_SHOWN))


def shown(value: Any) -> str:
    """A value for messages: as JSON would name it, the beginning of a long one."""
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= MOST_CHARACTERS_SHOWN else f"{text[:MOST_CHARACTERS_SHOWN]}…"


def finite(number: Any) -> float | None:
    """A number as a float; None for null, NaN, infinity and whatever is no number."""
    if isinstance(number, bool) or not isinstance(number, _NUMBERS):
        return None
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:
        return None


def first_wrong_number(values: Sequence[Any]) -> int | None:
    """The index of the first value that is no number or NaN, None where all are numbers.

    Of most lists none is looked at alone: there are millions of values, and a sum tells of any NaN.
    """
    with suppress(OverflowError):
        if set(map(type, values)) <= {float, int} and not math.isnan(sum(values)):
            return None
    wrong = (index for index, value in enumerate(values) if type(value) not in _NUMBERS or value != value)
    return next(wrong, None)


def storable_json(content: Any) -> Any:
    """JSON values without NaN, infinity and impossible characters, which JSON columns of PostgreSQL refuse."""
    if isinstance(content, dict):
        return {storable_text(str(name)): storable_json(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [storable_json(value) for value in content]
    if isinstance(content, str):
        return storable_text(content)
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
