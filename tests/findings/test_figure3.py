"""Figure 3: counts against numpy and brute force, and bars that stay inside their drawing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.findings.figure3 import (
    BAR_BOTTOM,
    BAR_TOP,
    WIDTH,
    ScoredNeurons,
    drawings,
    figure3_tables,
    layer_counts,
    score_counts,
)
from app.findings.formats import as_csv


def scored(layers: list[int], scores: list[float], n_without: int = 0) -> ScoredNeurons:
    return ScoredNeurons(
        "Top 4 by score", "simulation", np.array(layers, dtype=np.int64), np.array(scores, dtype=float), n_without
    )


def test_the_numbers_of_both_histograms() -> None:
    by_layer, by_score = figure3_tables("toy", 4, scored([0, 0, 2, 0], [0.62, 0.71, 0.5, 0.64]), "hint", "command")
    assert as_csv(by_layer) == "layer,n_neurons\n0,3\n1,0\n2,1\n3,0\n"
    assert as_csv(by_score) == "low,high,n_neurons\n0.5,0.55,1\n0.55,0.6,0\n0.6,0.65,2\n0.65,0.7,0\n0.7,0.75,1\n"
    assert by_layer.caption == "Top 4 by score: 4 neurons. Score: simulation."


@pytest.mark.parametrize(
    ("score", "step"),
    [(0.15, (0.15, 0.2)), (0.1499, (0.1, 0.15)), (1.0, (0.95, 1.0)), (-0.01, (-0.05, 0.0)), (-1.0, (-1.0, -0.95))],
)
def test_a_score_on_an_edge_counts_above_it(score: float, step: tuple[float, float]) -> None:
    assert score_counts(np.array([score])) == [(*step, 1)]


@given(st.lists(st.integers(-999, 999).map(lambda one: one / 1000 + 0.0004), min_size=1, max_size=60))
def test_every_score_is_counted_in_its_step(scores: list[float]) -> None:
    found = score_counts(np.array(scores))
    edges = np.array([*(low for low, _, _ in found), found[-1][1]])
    assert [n for _, _, n in found] == np.histogram(scores, edges)[0].tolist()
    assert found[0][2] > 0
    assert found[-1][2] > 0


def test_layers_without_a_neuron_are_there() -> None:
    assert layer_counts(scored([2, 2, 5], [0.1, 0.2, 0.3]), 8) == [0, 0, 2, 0, 0, 1, 0, 0]


def test_bars_stay_inside_and_the_fullest_is_the_tallest() -> None:
    by_layer, by_score = drawings(
        *figure3_tables("toy", 4, scored([0, 0, 2, 0], [0.62, 0.71, -0.03, 0.64]), "hint", "command")
    )
    assert (by_layer.first, by_layer.last, by_layer.n_tallest) == ("0", "3", 3)
    assert (by_score.first, by_score.last, by_score.n_tallest) == ("−0.05", "0.75", 2)
    assert [bar.label for bar in by_layer.bars] == ["layer 0: 3", "layer 1: 0", "layer 2: 1", "layer 3: 0"]
    assert by_score.bars[0].label == "−0.05 to 0.00: 1"
    for drawing in (by_layer, by_score):
        assert max(bar.height for bar in drawing.bars) == BAR_BOTTOM - BAR_TOP
        for bar, after in zip(drawing.bars, drawing.bars[1:], strict=False):
            assert bar.x + bar.width <= after.x
        for bar in drawing.bars:
            assert bar.y + bar.height == pytest.approx(BAR_BOTTOM)
        assert drawing.bars[-1].x + drawing.bars[-1].width <= WIDTH


def test_without_a_score_there_is_no_drawing() -> None:
    tables = figure3_tables("toy", 4, scored([], [], n_without=3), "hint", "command")
    assert [list(table.rows) for table in tables] == [[], []]
    assert drawings(*tables) == ()
    assert tables[0].notes == ["3 of the set have no score and are left out."]
