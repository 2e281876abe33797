"""Numbers as people type them into forms: `12.50`, or nothing. Knows no form."""

import re

from app.errors import InvalidInput
from app.neurons.lists import whole_number

_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?|\.[0-9]{1,12}")


def typed_decimal(text: str, name: str) -> float:
    """A number from 0, with a point. Errors: InvalidInput, which names the field."""
    if not _DECIMAL.fullmatch(text.strip()):
        raise InvalidInput(f"{name} is {text.strip()!r}; expected a number such as 20 or 0.5")
    return float(text)


def typed_decimal_or_none(text: str, name: str) -> float | None:
    return typed_decimal(text, name) if text.strip() else None


def typed_whole_or_none(text: str, name: str, smallest: int, largest: int) -> int | None:
    return whole_number(text, name, smallest, largest) if text.strip() else None
