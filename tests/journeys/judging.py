"""What a person does on the rating page, by mouse or by keyboard, and what that should have left in ratings.csv."""

import csv
import io
import random
from dataclasses import dataclass

from playwright.sync_api import Page, expect


@dataclass(frozen=True)
class Answers:
    """For one neuron: its heading, the rating of each text in the order of the page, and the text of the best one."""

    heading: str
    ratings: dict[str, int]
    best: str


Entered = dict[str, tuple[dict[str, int], str]]
"""Neuron heading -> ({text of a card: rating}, text of the best one)."""


def texts_of(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".description-text").all_inner_texts()]


def heading_of(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def answers_by_chance(page: Page, chance: random.Random) -> Answers:
    """As people answer: the best one is mostly among those rated highest, once in ten not."""
    texts = texts_of(page)
    ratings = {text: chance.randint(1, 5) for text in texts}
    highest = [text for text in texts if ratings[text] == max(ratings.values())]
    best = chance.choice(texts if chance.random() < 0.1 else highest)
    return Answers(heading_of(page), ratings, best)


def judge_by_keyboard(page: Page, answers: Answers) -> int:
    """Judges the neuron and goes on to the next page, with keys alone; how many were pressed."""
    texts = list(answers.ratings)
    keys = [str(answers.ratings[text]) for text in texts]
    for key in keys:
        page.keyboard.press(key)
    current = page.locator("[data-card]").evaluate_all(
        "cards => cards.findIndex(c => c.classList.contains('is-current'))"
    )
    moves = texts.index(answers.best) - current
    way = ["j" if moves > 0 else "k"] * abs(moves)
    keys += [*way, "b", "Enter"]
    for key in (*way, "b", "Enter"):
        page.keyboard.press(key)
    if answers.ratings[answers.best] < max(answers.ratings.values()):
        # The page asks once whether that is right; the same key says yes.
        expect(page.locator("#question")).to_be_visible()
        keys.append("Enter")
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text(answers.heading)
    return len(keys)


def fill_by_mouse(page: Page, answers: Answers) -> None:
    """Ticks everything, saves nothing."""
    for number, (text, rating) in enumerate(answers.ratings.items()):
        card = page.locator("[data-card]").nth(number)
        card.locator(f".scale input[value='{rating}']").check()
        if text == answers.best:
            card.locator("input[name=best]").check()


def judge_by_mouse(page: Page, answers: Answers, *, n_clicks: int = 1) -> None:
    """Judges the neuron and goes on to the next page. n_clicks: 2 for people who double-click everything."""
    fill_by_mouse(page, answers)
    page.locator("#submit").click(click_count=n_clicks)
    question = page.locator("#question")
    if answers.ratings[answers.best] < max(answers.ratings.values()) and question.count():
        expect(question.or_(page.get_by_role("heading", level=1))).not_to_have_text(answers.heading)
        if question.is_visible():
            question.get_by_role("button").first.click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text(answers.heading)


def entered_in_csv(ratings_csv: str) -> Entered:
    entered: Entered = {}
    for row in csv.DictReader(io.StringIO(ratings_csv)):
        heading = f"Neuron {row['layer']}:{row['neuron']}"
        ratings, best = entered.get(heading, ({}, ""))
        ratings[row["explanation"]] = int(row["rating"])
        entered[heading] = (ratings, row["explanation"] if row["best"] == "1" else best)
    return entered
