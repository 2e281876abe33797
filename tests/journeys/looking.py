"""Looks at a page as four kinds of people see it: accessible, not wider than its window."""

from itertools import product

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

WIDTHS, COLOURS = (1280, 360), ("light", "dark")
_VIOLATIONS = """async rules => {
    const found = await axe.run(document, rules ? {runOnly: {type: "rule", values: rules}} : {});
    return found.violations.map(one => `${one.id} (${one.impact}) at ${one.nodes.map(n => n.target).join(" | ")}`);
}"""
_IS_TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def problems_of(page: Page) -> list[str]:
    """All violations that axe knows of, of any impact, in light and dark, wide and narrow; and whether it overflows.

    All rules look at both widths; those that depend on the colours look at all four.
    """
    # With less motion: a colour that is still fading to the other scheme's has the contrast of neither.
    page.emulate_media(reduced_motion="reduce")
    page.evaluate(AXE_SCRIPT)
    problems = []
    for width, colours in product(WIDTHS, COLOURS):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=colours)
        rules = None if (width, colours) in ((1280, "light"), (360, "dark")) else ["color-contrast"]
        problems += page.evaluate(_VIOLATIONS, rules)
        if page.evaluate(_IS_TOO_WIDE):
            problems.append("wider than its window")
    return [f"{page.url} ({page.title()}), {problem}" for problem in dict.fromkeys(problems)]
