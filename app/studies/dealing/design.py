"""Who sees what, in which order: keyed, balanced and reproducible.

Pure: knows neither the database nor what a method is.

Two randomisations follow each other. Within a neuron, `slot_order` puts its distinct texts into slots by a keyed hash
of the text; `presentation_order` then puts the slots onto the page by a row of a Williams design. The first never looks
at a method, so that relabelling the same texts changes no page; the second gives every slot, hence every text, hence
every method, each position equally often: exactly among as many raters of a neuron as it has cards, and among as many
neurons, one after the other in a keyed order, that are judged once.
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
    return tuple(sorted(range(n), key=lambda number: keyed_digest(key, *context, number)))


def neuron_order(key: bytes, rater_number: int, positions: Sequence[int]) -> Order:
    """The positions of these neurons in the study, in the order in which this rater meets them."""
    return tuple(sorted(positions, key=lambda position: keyed_digest(key, "neurons", rater_number, position)))


def neuron_ranks(key: bytes, n: int) -> Order:
    """For each of a study's n neurons its place in a keyed order: where it enters the cycle of card orders."""
    ranks = [0] * n
    for rank, position in enumerate(keyed_permutation(key, n, "ranks")):
        ranks[position] = rank
    return tuple(ranks)


def slot_order(key: bytes, neuron_position: int, texts: Sequence[str]) -> Order:
    """Indices into `texts`, which are distinct, in an order that depends on the key and on their words alone.

    Sorting by a hash of the text itself makes the order the same however the rows came back from the database and
    whichever method wrote which text; the key and the neuron in the hash keep a text's place from being guessed or
    repeated.
    """
    return tuple(sorted(range(len(texts)), key=lambda i: keyed_digest(key, "slots", neuron_position, texts[i])))


def presentation_order(key: bytes, ordinal: int, neuron_rank: int, n_cards: int) -> Order:
    """Which slot stands at each position of the page: one row of the Williams design.

    ordinal: how many raters were dealt this neuron before. neuron_rank: out of `neuron_ranks`.
    The rows follow each other in a keyed cycle that the neuron enters at its rank: n_cards raters of one neuron use
    every row once, and so do the first raters of n_cards neurons of consecutive ranks. With an odd number of cards
    every other round uses the mirrored square; two rounds together then also follow each slot equally often by each
    other one.
    """
    row = keyed_permutation(key, n_cards, "rows")[(ordinal + neuron_rank) % n_cards]
    order = williams_row(row, n_cards)
    is_mirrored = n_cards % 2 == 1 and (ordinal // n_cards + neuron_rank // n_cards) % 2 == 1
    return order[::-1] if is_mirrored else order


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


def keyed_digest(key: bytes, *context: str | int) -> bytes:
    """HMAC-SHA256 of the context, 32 bytes."""
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") are different messages.
    return hmac.digest(key, json.dumps(context).encode(), "sha256")
