"""Where a histogram's bars, marks and labels stand."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.neurons.histogram import BAR_BOTTOM, BAR_TOP, LABEL_DISTANCE, LABEL_MARGIN, WIDTH, histogram_shown, spread

NO_QUANTILES = {"q50": None, "q90": None, "q99": None, "q999": None}


def counts(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(numbers, dtype=np.int32)


def test_heights_are_logarithmic_and_an_empty_bin_has_none() -> None:
    shown = histogram_shown(counts(99, 0, 9, 1), 0.0, 8.0, NO_QUANTILES)
    assert shown is not None
    assert (shown.n_excerpts, shown.n_tallest, shown.low, shown.high) == (109, 99, 0.0, 8.0)
    full = BAR_BOTTOM - BAR_TOP
    assert [bar.height for bar in shown.bars] == pytest.approx([full, 0, full / 2, full * math.log10(2) / 2], abs=0.06)
    assert [bar.x for bar in shown.bars] == [0.0, 80.0, 160.0, 240.0]
    assert all(bar.y + bar.height == pytest.approx(BAR_BOTTOM) for bar in shown.bars)


def test_quantiles_are_marked_where_they_stand_and_unknown_ones_are_not() -> None:
    shown = histogram_shown(counts(1, 1), 2.0, 12.0, {"q50": 4.5, "q90": None, "q99": 9.5, "q999": 12.0})
    assert shown is not None
    assert [(mark.label, mark.value, mark.x) for mark in shown.marks] == [
        ("50 %", 4.5, 80.0),
        ("99 %", 9.5, 240.0),
        ("99.9 %", 12.0, 320.0),
    ]


def test_excerpts_that_all_have_the_same_maximum_are_marked_in_the_middle() -> None:
    shown = histogram_shown(counts(5, 0), 3.0, 3.0, {"q50": 3.0})
    assert shown is not None
    assert [mark.x for mark in shown.marks] == [WIDTH / 2]


def test_where_nothing_was_counted_nothing_is_drawn() -> None:
    assert histogram_shown(counts(0, 0), 0.0, 0.0, NO_QUANTILES) is None
    assert histogram_shown(counts(), 0.0, 0.0, NO_QUANTILES) is None


@given(st.lists(st.floats(0, WIDTH), max_size=4).map(sorted))
def test_labels_never_touch_nor_leave_the_drawing(places: list[float]) -> None:
    labels = spread(places)
    assert len(labels) == len(places)
    assert all(later - earlier >= LABEL_DISTANCE - 0.2 for earlier, later in pairwise(labels))
    assert all(LABEL_MARGIN - 0.2 <= label <= WIDTH - LABEL_MARGIN for label in labels)


def test_a_label_with_room_around_it_stands_over_its_place() -> None:
    assert spread([40.0, 200.0]) == [40.0, 200.0]
    assert spread([5.0, 6.0, 310.0, 315.0]) == [22.0, 66.0, 254.0, 298.0]
