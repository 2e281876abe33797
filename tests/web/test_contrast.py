"""Colours keep the contrast of WCAG 2.2 AA, computed from the style sheets, in light and in dark."""

import re
from itertools import pairwise

import pytest

from app.paths import shipped

TEXT_CONTRAST = 4.5
SHAPE_CONTRAST = 3.0
DARK = "@media (prefers-color-scheme: dark)"


def colours(mode: str) -> dict[str, str]:
    """The custom properties that hold a colour; dark ones override light ones."""
    found: dict[str, str] = {}
    for sheet in ("app.css", "heatmap.css"):
        light, _, rest = (shipped("static") / sheet).read_text(encoding="utf-8").partition(DARK)
        dark = rest[: rest.index("\n}\n")]
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
        if mode == "dark":
            found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))
    return found


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_oracle_knows_black_on_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("level", range(1, 11))
def test_text_on_every_level_of_the_heatmap_is_legible(mode: str, level: int) -> None:
    palette = colours(mode)
    assert contrast(palette[f"heat-{level}"], palette[f"heat-{level}-ink"]) >= TEXT_CONTRAST


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_levels_grow_away_from_the_paper_one_by_one(mode: str) -> None:
    palette = colours(mode)
    away = [contrast(palette["paper"], palette[f"heat-{level}"]) for level in range(1, 11)]
    assert away == sorted(away)
    assert all(later / earlier > 1.03 for earlier, later in pairwise(away))


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "ink-soft", "accent", "good", "bad"])
@pytest.mark.parametrize("ground", ["paper", "surface"])
def test_text_is_legible_on_every_ground(mode: str, ink: str, ground: str) -> None:
    assert contrast(colours(mode)[ink], colours(mode)[ground]) >= TEXT_CONTRAST


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("shape", ["line-strong", "focus"])
def test_borders_of_controls_and_the_focus_can_be_seen(mode: str, shape: str) -> None:
    assert contrast(colours(mode)[shape], colours(mode)["paper"]) >= SHAPE_CONTRAST
