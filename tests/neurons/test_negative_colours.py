"""The scale of the negative side: legible, rising, and as strong at each level as the positive one. Computed from the
style sheet."""

import re
from itertools import pairwise

import pytest

from app.paths import shipped
from tests.web.test_contrast import TEXT_CONTRAST, colours, contrast, luminance

SHEET = (shipped("static") / "viewer.css").read_text(encoding="utf-8")


def cold(mode: str) -> list[str]:
    light, _, dark = SHEET.partition("@media (prefers-color-scheme: dark)")
    block = light if mode == "light" else dark[: dark.index("\n}\n")]
    found = dict(re.findall(r"--cold-(\d+): (#[0-9a-f]{6});", block))
    return [found[str(level)] for level in range(1, 11)]


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("level", range(1, 11))
def test_text_on_every_level_is_legible(mode: str, level: int) -> None:
    assert contrast(cold(mode)[level - 1], colours(mode)[f"heat-{level}-ink"]) >= TEXT_CONTRAST


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_levels_grow_away_from_the_paper_one_by_one(mode: str) -> None:
    away = [contrast(colours(mode)["paper"], colour) for colour in cold(mode)]
    assert all(later / earlier > 1.03 for earlier, later in pairwise(away))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_level_is_as_light_as_the_same_level_of_the_positive_side(mode: str) -> None:
    for level, colour in enumerate(cold(mode), start=1):
        assert luminance(colour) == pytest.approx(luminance(colours(mode)[f"heat-{level}"]), abs=0.01)


def test_every_level_of_the_negative_side_takes_its_own_colour() -> None:
    block = SHEET[SHEET.index(".negative {") :].partition("}")[0]
    assert re.findall(r"--heat-(\d+): var\(--cold-(\d+)\);", block) == [(str(n), str(n)) for n in range(1, 11)]
