"""From a neuron's counts of excerpts to the histogram that its page draws. Pure: decides heights and places, knows no
colour and no markup."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.neurons.records import QUANTILE_BANDS

WIDTH, BAR_TOP, BAR_BOTTOM = 320.0, 26.0, 84.0
"""Of the drawing, in its own units; labels of the marks stand above the bars, the two ends below them."""
LABEL_DISTANCE = 44.0
"""Between the middles of two labels, so that the widest, "99.9 %", never touches its neighbour."""
LABEL_MARGIN = 22.0


@dataclass(frozen=True)
class HistogramBar:
    """The excerpts of one bin. x, y, width, height: of its rectangle; height 0 for an empty bin."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class QuantileMark:
    """Below which value a share of the excerpts stays. label: "99.9 %". x: of the value. label_x: of the label's
    middle."""

    label: str
    value: float
    x: float
    label_x: float


@dataclass(frozen=True)
class HistogramShown:
    """The excerpts by their largest activation, low to high.

    n_tallest: excerpts of the fullest bin; heights are logarithmic and end there.
    """

    n_excerpts: int
    n_tallest: int
    low: float
    high: float
    bars: tuple[HistogramBar, ...]
    marks: tuple[QuantileMark, ...]


def histogram_shown(
    counts: npt.NDArray[np.int32], low: float, high: float, quantiles: Mapping[str, float | None]
) -> HistogramShown | None:
    """The drawing; None where nothing was counted.

    counts: of excerpts, in bins of equal width from low to high. quantiles: by name (`q50`, ...), null where unknown;
    they are marked.
    """
    n_tallest = int(counts.max(initial=0))
    if n_tallest == 0:
        return None
    places = [
        (_percentage(name), value, _x(value, low, high))
        for name in QUANTILE_BANDS
        if (value := quantiles.get(name)) is not None
    ]
    labels = spread([x for _, _, x in places])
    return HistogramShown(
        n_excerpts=int(counts.sum()),
        n_tallest=n_tallest,
        low=low,
        high=high,
        bars=_bars(counts, n_tallest),
        marks=tuple(
            QuantileMark(label, value, x, label_x) for (label, value, x), label_x in zip(places, labels, strict=True)
        ),
    )


def spread(places: list[float]) -> list[float]:
    """Middles of labels as near to these places as their width allows, in the same order and within the drawing.

    places: rising, 0 to WIDTH, few enough to stand side by side.
    """
    spread_out: list[float] = []
    for place in places:
        spread_out.append(max(place, spread_out[-1] + LABEL_DISTANCE if spread_out else LABEL_MARGIN))
    # What was pushed over the right end goes back, and pushes those before it.
    end = WIDTH - LABEL_MARGIN
    for index in reversed(range(len(spread_out))):
        spread_out[index] = round(min(spread_out[index], end), 1)
        end = spread_out[index] - LABEL_DISTANCE
    return spread_out


def _bars(counts: npt.NDArray[np.int32], n_tallest: int) -> tuple[HistogramBar, ...]:
    """Logarithmic: of thousands of excerpts a handful are what the neuron is about, and they must be seen."""
    width = WIDTH / len(counts)
    tallest = BAR_BOTTOM - BAR_TOP
    heights = [round(tallest * math.log1p(count) / math.log1p(n_tallest), 1) for count in counts.tolist()]
    return tuple(
        HistogramBar(round(index * width, 1), round(BAR_BOTTOM - height, 1), round(0.8 * width, 1), height)
        for index, height in enumerate(heights)
    )


def _x(value: float, low: float, high: float) -> float:
    """Where a value stands; in the middle where all excerpts have the same maximum."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(WIDTH * min(1.0, max(0.0, share)), 1)


def _percentage(name: str) -> str:
    """`q999` -> "99.9 %"."""
    return f"{100 * QUANTILE_BANDS[name][1]:g} %"
