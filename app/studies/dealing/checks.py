"""Attention checks: one false explanation among the cards, to see who reads. Pure.

Which neurons carry one and which text it is depends on the key, the rater and the texts, never on a method.
"""

import re
from collections.abc import Sequence

from app.studies.dealing.blinding import shown_text
from app.studies.dealing.design import keyed_digest, keyed_permutation

N_CANDIDATES = 20
"""Of so many texts, drawn by the key, the one that shares the fewest words with the true ones is taken."""
FAILING_RATING = 4


def checked_positions(key: bytes, rater_number: int, positions: Sequence[int], percent: int) -> frozenset[int]:
    """Which of the neurons a rater is dealt carry a check: percent of them, rounded half up.

    positions: of the neurons in the study.
    """
    n = (len(positions) * percent + 50) // 100
    ordered = sorted(positions, key=lambda position: keyed_digest(key, "checks", rater_number, position))
    return frozenset(ordered[:n])


def false_text(
    key: bytes, rater_number: int, neuron_position: int, own_texts: Sequence[str], pool: Sequence[str]
) -> str | None:
    """A text out of the pool that says something else than the neuron's own; None where there is none.

    pool: texts known or taken to be false for this neuron, in any order: the choice depends on their words alone.
    """
    own = {shown_text(text).casefold() for text in own_texts}
    others = sorted({shown_text(text) for text in pool if shown_text(text).casefold() not in own})
    drawn = keyed_permutation(key, len(others), "false text", rater_number, neuron_position)[:N_CANDIDATES]
    words = set().union(*(_words(text) for text in own_texts))
    # min keeps the first of equals, so the draw decides among texts that have nothing in common with the true ones.
    return min((others[i] for i in drawn), key=lambda text: len(_words(text) & words), default=None)


def check_place(key: bytes, rater_number: int, neuron_position: int, n_cards: int) -> int:
    """Where among the n_cards real cards, which keep their balanced order, the false one is put: 0 to n_cards."""
    return keyed_permutation(key, n_cards + 1, "check place", rater_number, neuron_position)[0]


def has_failed(rating: int | None, is_best: bool) -> bool:
    """Whether a judged check was taken for a good description: rated 4 or 5, or picked as best."""
    return is_best or (rating is not None and rating >= FAILING_RATING)


def _words(text: str) -> set[str]:
    # Short words are in every sentence and say nothing about what it is about.
    return {word for word in re.findall(r"\w+", text.casefold()) if len(word) > 3}
