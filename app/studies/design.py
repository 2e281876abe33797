"""Who sees what, in which order: keyed, balanced and reproducible.

Pure: knows neither the database nor what a method is.

Two randomisations follow each other. Within a neuron, `slot_order` puts its distinct texts into slots by a keyed hash
of the text; `presentation_order` then puts the slots onto the page by a row of a Williams design that depends on the
rater. The first never looks at a method, so that relabelling the same texts changes no page; the second gives every
slot, hence every text, hence every method, the same share of every position: exactly within each block of as many
raters as there are cards, and on average within one rater.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any

Order = tuple[int, ...]


def keyed_permutation(key: bytes, n: int, *context: str | int) -> Order:
    """The numbers 0 to n-1 in an order that only the holder of the key can tell.

    context: what the order is for; another context gives an unrelated order.
    Each number gets the HMAC-SHA256 of itself and the context, and they are sorted by it: every order is equally
    likely.
    """
    return tuple(sorted(range(n), key=lambda number: _digest(key, *context, number)))


def neuron_order(key: bytes, rater_number: int, n: int) -> Order:
    """The positions 0 to n-1 of a study's neurons in the order in which this rater meets them."""
    return keyed_permutation(key, n, "neurons", rater_number)


def slot_order(key: bytes, neuron_position: int, texts: Sequence[str]) -> Order:
    """Indices into `texts`, which are distinct, in an order that depends on the key and on their words alone.

    Sorting by a hash of the text itself makes the order the same however the rows came back from the database and
    whichever method wrote which text; the key and the neuron in the hash keep a text's place from being guessed or
    repeated.
    """
    return tuple(sorted(range(len(texts)), key=lambda i: _digest(key, "slots", neuron_position, texts[i])))


def presentation_order(key: bytes, rater_number: int, neuron_position: int, n_cards: int) -> Order:
    """Which slot stands at each position of the page: one row of the Williams design.

    Raters 1 to n_cards are a block, so are the next n_cards: a block uses every row of a square once, in an order
    keyed per neuron and block, so each slot stands at each position exactly once per block. With an odd number of
    cards every other block uses the mirrored square; two blocks together then also follow each slot equally often by
    each other one.
    """
    block, place = divmod(rater_number - 1, n_cards)
    row = williams_row(keyed_permutation(key, n_cards, "rows", neuron_position, block)[place], n_cards)
    return row[::-1] if n_cards % 2 == 1 and block % 2 == 1 else row


def williams_row(row: int, n: int) -> Order:
    """Row `row` of the n x n Williams square: 0, 1, n-1, 2, n-2, ... with `row` added to each, modulo n.

    Its n rows form a Latin square; for even n each ordered pair of neighbours occurs exactly once, for odd n in these
    rows and their mirror images exactly twice. Source: Williams 1949, designs balanced for the estimation of residual
    effects.
    """
    first = [(i + 1) // 2 if i % 2 == 1 else (n - i // 2) % n for i in range(n)]
    return tuple((slot + row) % n for slot in first)


def design_hash(design: dict[str, Any]) -> str:
    """SHA-256, hexadecimal, of the design as canonical JSON: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(design, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _digest(key: bytes, *context: str | int) -> bytes:
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") are different messages.
    return hmac.digest(key, json.dumps(context).encode(), "sha256")
