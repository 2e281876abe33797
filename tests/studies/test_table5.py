"""Table 5 against the paper's printed one, and against numpy."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.studies.results.table5 import JudgedText, Table5Row, format_table5, mean_cell, share_cell, table5

METHODS = ("original", "summary", "highlight", "hs", "avhs")

# How often each of 1, 2, 3, 4 and 5 was given in 240 judgements, and how many best picks. The counts are made up so as
# to be consistent with the figures that the paper prints; its own ratings were never published.
HISTOGRAMS = {
    "gpt-3.5": {
        "original": ((11, 42, 63, 67, 57), 34),
        "summary": ((0, 0, 41, 84, 115), 78),
        "highlight": ((0, 10, 55, 87, 88), 43),
        "hs": ((0, 13, 40, 74, 113), 49),
        "avhs": ((0, 30, 58, 72, 80), 36),
    },
    "gpt-4": {
        "original": ((0, 2, 33, 80, 125), 49),
        "summary": ((0, 2, 30, 79, 129), 49),
        "highlight": ((0, 8, 37, 77, 118), 43),
        "hs": ((0, 4, 33, 78, 125), 52),
        "avhs": ((0, 6, 35, 77, 122), 47),
    },
}
PUBLISHED = {
    "gpt-3.5": [
        ("3.487 ± 0.075", "14.17 %"),
        ("4.308 ± 0.048", "32.50 %"),
        ("4.054 ± 0.056", "17.92 %"),
        ("4.196 ± 0.058", "20.42 %"),
        ("3.842 ± 0.066", "15.00 %"),
    ],
    "gpt-4": [
        ("4.367 ± 0.048", "20.42 %"),
        ("4.396 ± 0.047", "20.42 %"),
        ("4.271 ± 0.054", "17.92 %"),
        ("4.350 ± 0.050", "21.67 %"),
        ("4.312 ± 0.052", "19.58 %"),
    ],
}


def judged_texts(explainer: str) -> Iterator[JudgedText]:
    """240 judgements with these histograms: the n-th best pick of all goes to whichever method's turn it is."""
    histograms = HISTOGRAMS[explainer]
    best = [method for method, (_, n_best) in histograms.items() for _ in range(n_best)]
    for method, (counts, _) in histograms.items():
        ratings = [value for value, count in enumerate(counts, start=1) for _ in range(count)]
        for judgement, rating in enumerate(ratings):
            yield JudgedText(judgement, method, explainer, rating, float(best[judgement] == method))


@pytest.mark.parametrize("explainer", ["gpt-3.5", "gpt-4"])
def test_table5_prints_the_published_column(explainer: str) -> None:
    rows = table5(judged_texts(explainer), [(method, explainer) for method in METHODS])
    assert [(mean_cell(row), share_cell(row)) for row in rows] == PUBLISHED[explainer]
    assert {row.n for row in rows} == {240}


def test_the_terminal_shows_the_published_table() -> None:
    conditions = [(method, explainer) for explainer in HISTOGRAMS for method in METHODS]
    judged = [text for explainer in HISTOGRAMS for text in judged_texts(explainer)]
    assert format_table5(table5(judged, conditions)) == (
        "explainer  method       n  mean rating ± SEM  chosen best\n"
        "gpt-3.5    original   240      3.487 ± 0.075      14.17 %\n"
        "gpt-3.5    summary    240      4.308 ± 0.048      32.50 %\n"
        "gpt-3.5    highlight  240      4.054 ± 0.056      17.92 %\n"
        "gpt-3.5    hs         240      4.196 ± 0.058      20.42 %\n"
        "gpt-3.5    avhs       240      3.842 ± 0.066      15.00 %\n"
        "gpt-4      original   240      4.367 ± 0.048      20.42 %\n"
        "gpt-4      summary    240      4.396 ± 0.047      20.42 %\n"
        "gpt-4      highlight  240      4.271 ± 0.054      17.92 %\n"
        "gpt-4      hs         240      4.350 ± 0.050      21.67 %\n"
        "gpt-4      avhs       240      4.312 ± 0.052      19.58 %"
    )


@given(st.lists(st.integers(1, 5), min_size=2, max_size=200))
def test_mean_and_standard_error_agree_with_numpy(ratings: list[int]) -> None:
    judged = [JudgedText(i, "hs", "e", rating, 0.0) for i, rating in enumerate(ratings)]
    (row,) = table5(judged, [("hs", "e")])
    assert row.mean_rating == pytest.approx(np.mean(ratings), rel=1e-12)
    assert row.sem == pytest.approx(np.std(ratings, ddof=1) / math.sqrt(len(ratings)), rel=1e-12, abs=1e-12)


def test_the_order_of_the_ratings_changes_no_digit() -> None:
    judged = list(judged_texts("gpt-4"))
    conditions = [(method, "gpt-4") for method in METHODS]
    assert table5(judged, conditions) == table5(judged[::-1], conditions)


def test_the_best_pick_of_a_shared_card_is_split() -> None:
    judged = [
        JudgedText("first", "hs", "e", 5, 0.5),
        JudgedText("first", "avhs", "e", 5, 0.5),
        JudgedText("second", "hs", "e", 4, 1.0),
        JudgedText("second", "avhs", "e", 1, 0.0),
    ]
    assert table5(judged, [("hs", "e"), ("avhs", "e")]) == (
        Table5Row("hs", "e", 2, 4.5, 0.5, 0.75),
        Table5Row("avhs", "e", 2, 3.0, 2.0, 0.25),
    )


def test_too_few_ratings_for_a_figure_show_as_a_dash() -> None:
    rows = table5([JudgedText("first", "hs", "e", 4, 1.0)], [("hs", "e"), ("avhs", "other")])
    assert rows == (Table5Row("hs", "e", 1, 4.0, None, 1.0), Table5Row("avhs", "other", 0, None, None, None))
    assert [(mean_cell(row), share_cell(row)) for row in rows] == [("4.000 ± –", "100.00 %"), ("– ± –", "–")]
