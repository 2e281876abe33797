"""The text of an imported excerpt, made storable, and the hash by which the same text is found again. Pure."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import InvalidInput
from app.exchange.storable import shown, storable_text

HASH_BYTES = 16
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True)
class ExcerptText:
    """Tokens as they are stored. hash: the first bytes of the SHA-256 of their JSON, by which they are found again."""

    tokens: tuple[str, ...]
    hash: bytes


def excerpt_text(tokens: Sequence[str], name: str) -> ExcerptText:
    """Tokens made storable. name: of the record, for messages.

    Errors: InvalidInput when there is no token or one is no text.
    """
    if not isinstance(tokens, list | tuple) or not tokens:
        raise InvalidInput(f"{name} has no tokens; expected a list of one or more texts")
    if set(map(type, tokens)) != {str}:
        index, found = next((i, token) for i, token in enumerate(tokens) if type(token) is not str)
        raise InvalidInput(f"token {index} of {name} is {shown(found)}; expected a text")
    encoded = _ENCODER.encode(tokens)
    # What has to be replaced is written as an escape; so are other characters, which the replacement leaves alone.
    if "\\u0000" in encoded or "\\ud" in encoded:
        tokens = [storable_text(token) for token in tokens]
        encoded = _ENCODER.encode(tokens)
    return ExcerptText(tuple(tokens), hashlib.sha256(encoded.encode("ascii")).digest()[:HASH_BYTES])
