"""Orders: keyed, balanced over positions, and blind to methods."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from app.studies.dealing.blinding import deal_cards
from app.studies.dealing.design import (
    design_hash,
    keyed_permutation,
    neuron_order,
    neuron_ranks,
    presentation_order,
    slot_order,
    williams_row,
)
from tests.studies.positions import METHODS, positions_of_methods

KEY = bytes(range(32))
OTHER_KEY = bytes(32)


@pytest.mark.parametrize(("n_raters", "n_neurons"), [(1, 10_000), (3, 3334), (7, 1429), (50, 200)])
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


@pytest.mark.parametrize(("n_raters", "n_neurons"), [(5, 6), (10, 3)])
def test_as_many_raters_of_a_neuron_as_it_has_cards_are_exactly_balanced(n_raters: int, n_neurons: int) -> None:
    counts = positions_of_methods(KEY, n_raters, n_neurons)
    assert set(counts.values()) == {n_raters * n_neurons // 5}


@pytest.mark.parametrize("n_cards", [2, 4, 5, 10])
def test_where_each_neuron_is_judged_once_every_slot_is_at_every_position_equally_often(n_cards: int) -> None:
    ranks = neuron_ranks(KEY, 6 * n_cards)
    orders = [presentation_order(KEY, 0, rank, n_cards) for rank in ranks]
    counts = Counter((slot, position) for order in orders for position, slot in enumerate(order))
    assert set(counts.values()) == {6}
    assert len(counts) == n_cards**2


def test_two_rounds_of_an_odd_number_of_cards_follow_each_slot_equally_often_by_each_other_one() -> None:
    orders = [presentation_order(KEY, ordinal, 0, 5) for ordinal in range(10)]
    assert set(Counter(pair for order in orders for pair in pairwise(order)).values()) == {2}


def test_every_neuron_has_a_rank_of_its_own() -> None:
    assert sorted(neuron_ranks(KEY, 50)) == list(range(50))


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
    assert sorted(neuron_order(key, rater, range(n))) == list(range(n))
    assert sorted(slot_order(key, 3, [f"text {i}" for i in range(n)])) == list(range(n))


@given(st.permutations([f"text {i}" for i in range(6)]), st.integers(1, 100), st.integers(0, 50))
def test_who_wrote_which_text_changes_no_page(texts: list[str], rater: int, neuron: int) -> None:
    page = [card.text for card in deal_cards(KEY, rater, 2, neuron, texts)]
    assert page == [card.text for card in deal_cards(KEY, rater, 2, neuron, sorted(texts))]


def test_another_key_gives_other_orders() -> None:
    def all_orders(key: bytes) -> list[tuple[int, ...]]:
        return [neuron_order(key, 1, range(24)), *(presentation_order(key, 1, neuron, 5) for neuron in range(24))]

    assert all_orders(KEY) == all_orders(KEY)
    assert all_orders(KEY)[0] != all_orders(OTHER_KEY)[0]
    assert all_orders(KEY)[1:] != all_orders(OTHER_KEY)[1:]
    texts = [f"text {i}" for i in range(8)]
    assert slot_order(KEY, 0, texts) != slot_order(OTHER_KEY, 0, texts)


def test_raters_meet_the_neurons_in_different_orders() -> None:
    assert len({neuron_order(KEY, rater, range(24)) for rater in range(1, 101)}) == 100


def test_every_permutation_is_drawn_equally_often() -> None:
    drawn = Counter(keyed_permutation(KEY, 4, "test", draw) for draw in range(4_800))
    assert len(drawn) == 24
    assert chisquare(list(drawn.values())).pvalue > 0.001


def test_contexts_that_run_together_to_the_same_letters_give_unrelated_orders() -> None:
    assert keyed_permutation(KEY, 20, "a", "bc") != keyed_permutation(KEY, 20, "ab", "c")
    assert keyed_permutation(KEY, 20, "draw", 11) != keyed_permutation(KEY, 20, "draw", 1, 1)


def test_orders_never_change_between_versions() -> None:
    """A study that is under way must be dealt the same orders by the next version of the program."""
    assert neuron_order(KEY, 1, range(8)) == (3, 7, 4, 6, 0, 2, 1, 5)
    assert neuron_ranks(KEY, 6) == (3, 2, 0, 4, 1, 5)
    assert [presentation_order(KEY, ordinal, 0, 5) for ordinal in (0, 5)] == [(3, 4, 2, 0, 1), (1, 0, 2, 4, 3)]
    assert slot_order(KEY, 0, ["a", "b", "c", "d"]) == (1, 2, 0, 3)


def test_the_design_hash_depends_on_the_values_and_not_on_the_order_of_keys() -> None:
    assert design_hash({"b": 1, "a": ["é"]}) == design_hash({"a": ["é"], "b": 1})
    assert design_hash({"a": ["é"], "b": 2}) != design_hash({"a": ["é"], "b": 1})
    # echo -n '{"a":["é"],"b":1}' | sha256sum
    assert design_hash({"a": ["é"], "b": 1}) == "cde3c54c1d323a37b399fbf0246d2a68a66d3f4c8b57844aaab17ee6cddfdc07"
