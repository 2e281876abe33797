"""A rater's whole way in a real browser, through a killed server, to Table 5 and back from its CSV."""

import csv
import io
import math
import random
import statistics
from collections import defaultdict

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import N_NEURONS, Installation, sign_in

pytestmark = pytest.mark.browser

Entered = dict[str, tuple[dict[str, int], str]]
"""Neuron heading -> ({text of a card: rating}, text of the best one)."""


def cards_of(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".description-text").all_inner_texts()]


def judge(page: Page, chance: random.Random, *, by_keyboard: bool) -> tuple[str, dict[str, int], str]:
    """Judges the neuron on the page with random answers; returns its heading and what was entered."""
    texts = cards_of(page)
    ratings = {text: chance.randint(1, 5) for text in texts}
    best = chance.choice(texts)
    (judge_by_keyboard if by_keyboard else judge_by_mouse)(page, texts, ratings, best)
    return page.get_by_role("heading", level=1).inner_text(), ratings, best


def judge_by_keyboard(page: Page, texts: list[str], ratings: dict[str, int], best: str) -> None:
    for text in texts:
        page.keyboard.press(str(ratings[text]))
    for _ in range(len(texts)):
        page.keyboard.press("k")
    for _ in range(texts.index(best)):
        page.keyboard.press("j")
    page.keyboard.press("b")
    expect(page.locator("#missing")).to_have_text("Complete.")


def judge_by_mouse(page: Page, texts: list[str], ratings: dict[str, int], best: str) -> None:
    for number, text in enumerate(texts):
        card = page.locator("[data-card]").nth(number)
        card.locator(f".scale input[value='{ratings[text]}']").check()
        if text == best:
            card.locator("input[name=best]").check()


def judge_next(page: Page, chance: random.Random, entered: Entered, *, by_keyboard: bool) -> None:
    heading, ratings, best = judge(page, chance, by_keyboard=by_keyboard)
    before = page.url
    entered[heading] = (ratings, best)
    if by_keyboard:
        page.keyboard.press("Enter")
    else:
        page.locator("#submit").click()
    page.wait_for_url(lambda url: url != before)


def table5_from(ratings_csv: str) -> dict[str, tuple[str, str]]:
    """Method -> (mean ± SEM, share best), computed from the CSV by nothing of ours."""
    values: dict[str, list[int]] = defaultdict(list)
    shares: dict[str, float] = defaultdict(float)
    for row in csv.DictReader(io.StringIO(ratings_csv)):
        values[row["method"]].append(int(row["rating"]))
        shares[row["method"]] += float(row["best_share"])
    return {
        method: (
            f"{statistics.mean(each):.3f} ± {statistics.stdev(each) / math.sqrt(len(each)):.3f}",
            f"{100 * shares[method] / len(each):.2f} %",
        )
        for method, each in values.items()
    }


def entered_in_csv(ratings_csv: str) -> Entered:
    entered: Entered = {}
    for row in csv.DictReader(io.StringIO(ratings_csv)):
        heading = f"Neuron {row['layer']}:{row['neuron']}"
        ratings, best = entered.get(heading, ({}, ""))
        ratings[row["explanation"]] = int(row["rating"])
        entered[heading] = (ratings, row["explanation"] if row["best"] == "1" else best)
    return entered


def test_a_rater_finishes_a_study_through_a_killed_server_and_the_csv_gives_the_pages_table(
    installation: Installation, browser_page: Page
) -> None:
    page, server, chance = browser_page, installation.server, random.Random(5)
    entered: Entered = {}
    page.goto(installation.links[0])
    page.get_by_role("button", name="Begin").click()
    for number in range(N_NEURONS // 2):
        judge_next(page, chance, entered, by_keyboard=number % 2 == 0)

    neuron_before = page.get_by_role("heading", level=1).inner_text()
    cards_before = cards_of(page)
    server.kill()
    server.start()
    page.goto(installation.links[0])
    expect(page.get_by_text("you have judged 12")).to_be_visible()
    page.get_by_role("button", name="Continue").click()
    assert page.get_by_role("heading", level=1).inner_text() == neuron_before
    assert cards_of(page) == cards_before

    for number in range(N_NEURONS // 2):
        judge_next(page, chance, entered, by_keyboard=number % 2 == 1)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    assert len(entered) == N_NEURONS

    server.command("study", "close", "demo")
    page.context.clear_cookies()
    sign_in(page, server.url)
    page.goto(f"{server.url}/studies/demo/results")
    with page.expect_download() as download:
        page.get_by_role("link", name="ratings.csv").click()
    ratings_csv = download.value.path().read_text(encoding="utf-8")
    assert entered_in_csv(ratings_csv) == entered
    shown = {}
    for line in page.locator("table.table5 tbody tr").all():
        cells = line.locator("th, td").all_inner_texts()
        shown[cells[0].lower()] = (cells[3], cells[5])
    assert shown == table5_from(ratings_csv)


def test_a_rater_finishes_without_javascript(installation: Installation, browser_page: Page) -> None:
    plain = browser_page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    page, chance = plain.new_page(), random.Random(6)
    entered: Entered = {}
    page.goto(installation.links[1])
    page.get_by_role("button", name="Begin").click()
    for _ in range(N_NEURONS):
        judge_next(page, chance, entered, by_keyboard=False)
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    plain.close()
    installation.server.command("study", "close", "demo")
    installation.server.command("study", "results", "demo", "--out", str(installation.folder))
    assert entered_in_csv((installation.folder / "ratings.csv").read_text(encoding="utf-8")) == entered
