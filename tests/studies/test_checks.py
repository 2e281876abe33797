"""Attention checks: which neurons carry one, which text it is, when it counts as failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.studies.dealing.checks import check_place, checked_positions, false_text, has_failed

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("n", "percent", "n_checked"), [(10, 10, 1), (24, 10, 2), (25, 10, 3), (4, 10, 0), (3, 100, 3), (9, 0, 0)]
)
def test_the_set_share_of_neurons_is_checked(n: int, percent: int, n_checked: int) -> None:
    assert len(checked_positions(KEY, 1, range(n), percent)) == n_checked


def test_other_raters_are_checked_on_other_neurons() -> None:
    assert len({checked_positions(KEY, rater, range(50), 10) for rater in range(20)}) > 15


def test_a_false_text_has_the_fewest_words_in_common_with_the_true_ones() -> None:
    own = ["names of months and days", "months"]
    pool = ["months of the year", "names of rivers", "verbs of motion", "Names of months and days."]
    assert false_text(KEY, 1, 0, own, pool) == "verbs of motion."


def test_where_every_text_is_the_neurons_own_there_is_no_check() -> None:
    assert false_text(KEY, 1, 0, ["cats"], ["Cats.", "cats"]) is None


@given(st.permutations([f"text about {word}" for word in ("cats", "rain", "verbs", "prices", "rivers")]))
def test_the_order_of_the_pool_and_so_of_the_methods_does_not_matter(pool: list[str]) -> None:
    assert false_text(KEY, 3, 4, ["text about months"], pool) == false_text(
        KEY, 3, 4, ["text about months"], sorted(pool)
    )


def test_a_check_can_stand_anywhere() -> None:
    assert {check_place(KEY, rater, 0, 5) for rater in range(100)} == set(range(6))


@pytest.mark.parametrize(
    ("rating", "is_best", "failed"),
    [(1, False, False), (3, False, False), (4, False, True), (5, False, True), (1, True, True), (None, False, False)],
)
def test_a_false_text_taken_for_a_good_one_fails(rating: int | None, is_best: bool, failed: bool) -> None:
    assert has_failed(rating, is_best) is failed
