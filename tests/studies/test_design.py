"""Orders: keyed, balanced over positions, and blind to methods."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from app.studies.blinding import deal_cards
from app.studies.design import (
    design_hash,
    keyed_permutation,
    neuron_order,
    presentation_order,
    slot_order,
    williams_row,
)

KEY = bytes(range(32))
OTHER_KEY = bytes(32)
METHODS = ("original", "summary", "highlight", "hs", "avhs")


def positions_of_methods(key: bytes, n_raters: int, n_neurons: int) -> Counter[tuple[str, int]]:
    """How often each method's text stood at each position.

    The texts betray their method on purpose, each method's ones begin with the same letter: an order that looked at the
    alphabet, or at the order of the rows, would be far from even.
    """
    counts: Counter[tuple[str, int]] = Counter()
    for neuron in range(n_neurons):
        texts = [f"{method} text of neuron {neuron}" for method in METHODS]
        for rater in range(1, n_raters + 1):
            for position, card in enumerate(deal_cards(key, rater, neuron, texts)):
                counts[METHODS[card.members[0]], position] += 1
    return counts


@pytest.mark.parametrize(("n_raters", "n_neurons"), [(3, 3334), (7, 1429), (50, 200)])
def test_over_10000_assignments_each_method_is_at_each_position_equally_often(n_raters: int, n_neurons: int) -> None:
    counts = positions_of_methods(KEY, n_raters, n_neurons)
    n_assignments = n_raters * n_neurons
    shares = {cell: n / n_assignments for cell, n in counts.items()}
    assert len(shares) == len(METHODS) ** 2
    assert {cell: share for cell, share in shares.items() if abs(share - 0.2) > 0.01} == {}
    for method in METHODS:
        assert chisquare([counts[method, position] for position in range(5)]).pvalue > 0.001
    for position in range(5):
        assert chisquare([counts[method, position] for method in METHODS]).pvalue > 0.001


def test_a_block_of_as_many_raters_as_cards_is_exactly_balanced() -> None:
    counts = positions_of_methods(KEY, n_raters=5, n_neurons=6)
    assert set(counts.values()) == {6}


@pytest.mark.parametrize("n", range(1, 9))
def test_williams_rows_are_a_latin_square_balanced_for_neighbours(n: int) -> None:
    rows = [williams_row(row, n) for row in range(n)]
    if n % 2 == 1:
        rows += [row[::-1] for row in rows]
    neighbours = Counter(pair for row in rows for pair in pairwise(row))
    assert all(sorted(column) == sorted(rows_of_column(n)) for column in zip(*rows, strict=True))
    assert set(neighbours.values()) <= {2 if n % 2 == 1 else 1}
    assert len(neighbours) == n * (n - 1)


def rows_of_column(n: int) -> list[int]:
    """What each column of the square holds: every slot once, or twice with the mirrored square."""
    return [*range(n), *range(n)] if n % 2 == 1 else [*range(n)]


@given(key=st.binary(min_size=16, max_size=32), rater=st.integers(1, 10_000), n=st.integers(1, 12))
def test_every_order_is_a_permutation(key: bytes, rater: int, n: int) -> None:
    assert sorted(presentation_order(key, rater, 3, n)) == list(range(n))
    assert sorted(neuron_order(key, rater, n)) == list(range(n))
    assert sorted(slot_order(key, 3, [f"text {i}" for i in range(n)])) == list(range(n))


@given(st.permutations([f"text {i}" for i in range(6)]), st.integers(1, 100), st.integers(0, 50))
def test_who_wrote_which_text_changes_no_page(texts: list[str], rater: int, neuron: int) -> None:
    page = [card.text for card in deal_cards(KEY, rater, neuron, texts)]
    assert page == [card.text for card in deal_cards(KEY, rater, neuron, sorted(texts))]


def test_another_key_gives_other_orders() -> None:
    def all_orders(key: bytes) -> list[tuple[int, ...]]:
        return [neuron_order(key, 1, 24), *(presentation_order(key, 1, neuron, 5) for neuron in range(24))]

    assert all_orders(KEY) == all_orders(KEY)
    assert all_orders(KEY)[0] != all_orders(OTHER_KEY)[0]
    assert all_orders(KEY)[1:] != all_orders(OTHER_KEY)[1:]
    texts = [f"text {i}" for i in range(8)]
    assert slot_order(KEY, 0, texts) != slot_order(OTHER_KEY, 0, texts)


def test_raters_meet_the_neurons_in_different_orders() -> None:
    assert len({neuron_order(KEY, rater, 24) for rater in range(1, 101)}) == 100


def test_every_permutation_is_drawn_equally_often() -> None:
    drawn = Counter(keyed_permutation(KEY, 4, "test", draw) for draw in range(4_800))
    assert len(drawn) == 24
    assert chisquare(list(drawn.values())).pvalue > 0.001


def test_contexts_that_run_together_to_the_same_letters_give_unrelated_orders() -> None:
    assert keyed_permutation(KEY, 20, "a", "bc") != keyed_permutation(KEY, 20, "ab", "c")
    assert keyed_permutation(KEY, 20, "draw", 11) != keyed_permutation(KEY, 20, "draw", 1, 1)


def test_orders_never_change_between_versions() -> None:
    """A study that is under way must be dealt the same orders by the next version of the program."""
    assert neuron_order(KEY, 1, 8) == (3, 7, 4, 6, 0, 2, 1, 5)
    assert [presentation_order(KEY, rater, 0, 5) for rater in (1, 6)] == [(4, 0, 3, 1, 2), (4, 3, 0, 2, 1)]
    assert slot_order(KEY, 0, ["a", "b", "c", "d"]) == (1, 2, 0, 3)


def test_the_design_hash_depends_on_the_values_and_not_on_the_order_of_keys() -> None:
    assert design_hash({"b": 1, "a": ["é"]}) == design_hash({"a": ["é"], "b": 1})
    assert design_hash({"a": ["é"], "b": 2}) != design_hash({"a": ["é"], "b": 1})
    # echo -n '{"a":["é"],"b":1}' | sha256sum
    assert design_hash({"a": ["é"], "b": 1}) == "cde3c54c1d323a37b399fbf0246d2a68a66d3f4c8b57844aaab17ee6cddfdc07"
