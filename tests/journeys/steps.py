"""A rater's way before the first neuron and after the last one, with whatever hand."""

import re

from playwright.sync_api import Locator, Page

from app.puzzles.loading import load_puzzles
from app.studies.dealing.blinding import shown_text
from tests.journeys.judging import Answers, Hand, heading_of, texts_of

GuessesEntered = dict[str, str]
"""Text of a description -> the label that was ticked for it."""


def arrive(page: Page, link: str, hand: Hand) -> None:
    """By the invitation to the first neuron, or to where the rater stopped: agrees, reads, practises, always right."""
    page.goto(link)
    go_on(page, hand, page.get_by_role("button", name=re.compile("^(Begin|Continue)$")))
    while page.locator("#judgement").count() == 0:
        take_step(page, hand)


def take_step(page: Page, hand: Hand) -> None:
    """What is to be done on a page before the first neuron."""
    if page.locator("#practice").count():
        hand.fill(page, solution(page))
        # The page's own button, unless a key has brought the focus there.
        go_on(page, hand, page.get_by_role("button", name="Check my answer"))
    else:
        go_on(page, hand, page.locator(".letter form:not(.leave) .button, .letter-actions .button").first)


def go_on(page: Page, hand: Hand, target: Locator) -> None:
    """Presses it and arrives at another page."""
    before = page.url
    hand.press(target)
    page.wait_for_url(lambda url: url != before)


def solution(page: Page) -> Answers:
    """The right answer to the practice neuron on the page."""
    truths = {shown_text(puzzle.truth) for puzzle in load_puzzles()}
    texts = texts_of(page)
    best = next(text for text in texts if text in truths)
    return Answers(heading_of(page), {text: 5 if text == best else 2 for text in texts}, best)


def finish(page: Page, hand: Hand, comment: str = "") -> GuessesEntered:
    """From the review to the page with the completion code; what was guessed: the labels in turn, then no guess."""
    go_on(page, hand, page.get_by_role("button", name="I am finished"))
    guesses: GuessesEntered = {}
    for number, card in enumerate(page.locator(".guess").all()):
        choices = card.locator(".guess-choice")
        choice = choices.nth(number % choices.count())
        hand.tick(choice.locator("input"))
        guesses[card.locator("legend").inner_text()] = choice.inner_text()
    if comment:
        page.get_by_label("Comment").fill(comment)
    go_on(page, hand, page.get_by_role("button", name="Send and finish"))
    return guesses


def completion_code(page: Page) -> str:
    return page.get_by_label("Your completion code").input_value()
