"""A served installation, and browsers whose every complaint fails the test."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.journeys.chromium import FLAGS, HOW_TO_GET_ONE, find_chromium
from tests.journeys.installing import PASSWORD, Installation, installed


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path) as ready:
        yield ready


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.fail(HOW_TO_GET_ONE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Browsers:
    """Browser profiles of one test, each a fresh one.

    complaints: of all their pages' consoles. A test empties it of those that it provoked, see `forget`.
    """

    def __init__(self, chromium: Browser):
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def new(self, **options: object) -> Page:
        """The first page of a fresh profile. options: of Playwright's new_context."""
        context = self._chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))  # type: ignore[arg-type]
        context.set_default_timeout(30_000)
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self._contexts.append(context)
        return context.new_page()

    def forget(self, provoked: str, n: int | None = None) -> None:
        """Strikes out the complaints of this pattern. n: how many there must be; None: one or more."""
        others = [complaint for complaint in self.complaints if not re.search(provoked, complaint)]
        n_found = len(self.complaints) - len(others)
        assert n_found == n if n is not None else n_found > 0, self.complaints
        self.complaints = others

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@pytest.fixture
def browsers(chromium: Browser) -> Iterator[Browsers]:
    """Any complaint of a browser that is still there at the end fails the test."""
    browsers = Browsers(chromium)
    yield browsers
    browsers.close()
    assert browsers.complaints == []


@pytest.fixture
def browser_page(browsers: Browsers) -> Page:
    return browsers.new()


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
