"""Every page in a real browser: no accessibility problem, nothing wider than a phone, nothing in the console."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.journeys.conftest import Installation, sign_in

pytestmark = pytest.mark.browser

PAGES_OF_ADMINS = (
    "/",
    "/account",
    "/neurons",
    "/neurons/toy/3/0",
    "/batches",
    "/batches/new",
    "/batches/1",
    "/studies",
    "/studies/new",
    "/studies/demo",
    "/studies/demo/close",
    "/studies/demo/results",
)


def serious_problems(page: Page) -> list[str]:
    results = Axe().run(page).response
    return [
        f"{page.url}: {violation['id']} at {violation['nodes'][0]['target']}"
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def is_wider_than_its_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_is_accessible_and_fits(
    installation: Installation, browser_page: Page, width: int, colours: str
) -> None:
    page, url = browser_page, installation.server.url
    page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{url}/login")
    problems = serious_problems(page)
    sign_in(page, url)
    for path in PAGES_OF_ADMINS:
        page.goto(url + path)
        problems += serious_problems(page)
        if is_wider_than_its_window(page):
            problems.append(f"{path} is wider than {width} px")
    assert problems == []


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_raters_pages_are_accessible_and_fit(
    installation: Installation, browser_page: Page, width: int, colours: str
) -> None:
    page = browser_page
    page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(installation.links[0])
    problems = serious_problems(page)
    page.get_by_role("button", name="Begin").click()
    problems += serious_problems(page)
    assert problems == []
    assert not is_wider_than_its_window(page)
