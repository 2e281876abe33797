"""Where each method's text stands on the pages of a simulated study."""

from collections import Counter

from app.studies.dealing.blinding import deal_cards
from app.studies.dealing.design import neuron_ranks

METHODS = ("original", "summary", "highlight", "hs", "avhs")


def positions_of_methods(key: bytes, n_raters: int, n_neurons: int) -> Counter[tuple[str, int]]:
    """How often each method's text stood at each position, where every neuron is judged by n_raters.

    The texts betray their method on purpose, each method's ones begin with the same letter: an order that looked at the
    alphabet, or at the order of the rows, would be far from even.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for neuron, rank in enumerate(neuron_ranks(key, n_neurons)):
        texts = [f"{method} text of neuron {neuron}" for method in METHODS]
        for ordinal in range(n_raters):
            for position, card in enumerate(deal_cards(key, ordinal, rank, neuron, texts)):
                counts[METHODS[card.members[0]], position] += 1
    return counts
