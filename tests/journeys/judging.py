"""What a person does on a page, by mouse, by touch or by keys, and how a neuron is judged that way."""

import random
import re
from dataclasses import dataclass, replace
from typing import Protocol

from playwright.sync_api import Locator, Page, expect

CARDS = "[data-card]"
QUESTION = "Is that right?"
"""How the page's question about a best pick with a lower rating ends."""
DOUBLE_TOUCH_MS = 500
MOST_TABS = 400
"""More tab stops than any page of raters has."""


@dataclass(frozen=True)
class Answers:
    """For one neuron: its heading, the rating of each text in the order of the page, and the text of the best one.

    cannot_judge: the reason as stored; ratings and best are then empty. comment: as typed.
    """

    heading: str
    ratings: dict[str, int]
    best: str
    cannot_judge: str = ""
    comment: str = ""

    @property
    def is_asked_about(self) -> bool:
        """Whether the page asks if the best pick is meant."""
        return bool(self.ratings) and self.ratings[self.best] < max(self.ratings.values())


Entered = dict[str, Answers]
"""What was entered last, by neuron heading."""


class Hand(Protocol):
    """A way to use a page."""

    def press(self, target: Locator) -> None:
        """A button or a link."""

    def tick(self, radio: Locator) -> None:
        """A radio button, which lies over its face."""

    def fill(self, page: Page, answers: Answers) -> None:
        """Enters everything on a page with cards, saves nothing."""

    def save(self, page: Page) -> None:
        """Presses what saves and goes on."""

    def confirm(self, page: Page) -> None:
        """The same once more, after the page has asked about it."""


class Mouse:
    """n_clicks: 2 for people who double-click everything."""

    def __init__(self, n_clicks: int = 1):
        self.n_clicks = n_clicks

    def press(self, target: Locator) -> None:
        target.click(click_count=self.n_clicks)

    def tick(self, radio: Locator) -> None:
        # Forced: without waiting two frames for it to lie still. A click that went astray would show in what is stored.
        radio.click(click_count=self.n_clicks, force=True)

    def fill(self, page: Page, answers: Answers) -> None:
        for number, (text, rating) in enumerate(answers.ratings.items()):
            card = page.locator(CARDS).nth(number)
            self.tick(card.locator(f".scale input[value='{rating}']"))
            if text == answers.best:
                self.tick(card.locator("input[name=best]"))
        if answers.cannot_judge:
            self._open(page, "I cannot judge this neuron")
            self.tick(page.locator(f"input[name=cannot_judge][value={answers.cannot_judge}]"))
        if answers.comment:
            self._open(page, "Comment")
            page.get_by_label("Comment on this neuron").fill(answers.comment)

    def save(self, page: Page) -> None:
        self.press(page.locator(".rating-bar button.button"))

    def confirm(self, page: Page) -> None:
        self.save(page)

    def _open(self, page: Page, name: str) -> None:
        # Once, however many clicks: a double click opens and closes again, and whoever sees that clicks once more.
        page.locator("summary", has_text=name).click()


class Finger(Mouse):
    """On a touch screen, which the browser's context must have."""

    def press(self, target: Locator) -> None:
        target.tap()

    def tick(self, radio: Locator) -> None:
        radio.tap(force=True)

    def confirm(self, page: Page) -> None:
        # Reads first: two touches at once are a double one, and its second is no yes.
        page.wait_for_timeout(DOUBLE_TOUCH_MS)
        self.save(page)

    def _open(self, page: Page, name: str) -> None:
        page.locator("summary", has_text=name).tap()


class Keyboard:
    """n_pressed: keys so far, a typed character being one."""

    def __init__(self) -> None:
        self.n_pressed = 0

    def key(self, page: Page, key: str, times: int = 1) -> None:
        for _ in range(times):
            page.keyboard.press(key)
        self.n_pressed += times

    def press(self, target: Locator) -> None:
        self._tab_to(target)
        self.key(target.page, "Enter")

    def tick(self, radio: Locator) -> None:
        """Within a group of radio buttons where nothing is ticked: tab stops at the first one, arrows go on from it."""
        group = radio.page.locator(f"input[name='{radio.get_attribute('name')}']")
        place = group.evaluate_all("(radios, wanted) => radios.findIndex(r => r.value === wanted)", _value(radio))
        self._tab_to(group.first)
        self.key(radio.page, "ArrowRight", place) if place else self.key(radio.page, "Space")

    def fill(self, page: Page, answers: Answers) -> None:
        texts = list(answers.ratings)
        for number, rating in enumerate(answers.ratings.values()):
            self._move_to(page, number)
            self.key(page, str(rating))
        if texts:
            self._move_to(page, texts.index(answers.best))
            self.key(page, "b")
        if answers.cannot_judge:
            self.key(page, "c")
            reasons = page.locator("input[name=cannot_judge]:not([value=''])")
            place = [_value(reason) for reason in reasons.all()].index(answers.cannot_judge)
            self.key(page, "ArrowDown", place) if place else self.key(page, "Space")
        if answers.comment:
            self.press(page.locator("summary", has_text="Comment"))
            self._tab_to(page.get_by_label("Comment on this neuron"))
            page.keyboard.type(answers.comment)
            self.n_pressed += len(answers.comment)
            self._tab_to(page.locator("#submit"))

    def save(self, page: Page) -> None:
        self.key(page, "Enter")

    def confirm(self, page: Page) -> None:
        self.save(page)

    def _move_to(self, page: Page, number: int) -> None:
        """Mostly no key: the page moves on by itself."""
        is_current = "cards => cards.findIndex(card => card.classList.contains('is-current'))"
        moves = number - page.locator(CARDS).evaluate_all(is_current)
        self.key(page, "j" if moves > 0 else "k", abs(moves))

    def _tab_to(self, target: Locator) -> None:
        for _ in range(MOST_TABS):
            if target.evaluate("element => element === document.activeElement"):
                return
            self.key(target.page, "Tab")
        raise AssertionError(f"no way by Tab to {target}")


def _value(radio: Locator) -> str:
    return radio.get_attribute("value") or ""


# One neuron -----------------------------------------------------------------------------------------------------------


def heading_of(page: Page) -> str:
    return page.locator("h1").inner_text()


def texts_of(page: Page) -> list[str]:
    return [text.strip() for text in page.locator(".description-text").all_inner_texts()]


def answers_by_chance(page: Page, chance: random.Random) -> Answers:
    """As people answer: the best one is mostly among those rated highest, once in ten not."""
    texts = texts_of(page)
    ratings = {text: chance.randint(1, 5) for text in texts}
    highest = [text for text in texts if ratings[text] == max(ratings.values())]
    best = chance.choice(texts if chance.random() < 0.1 else highest)
    return Answers(heading_of(page), ratings, best)


def ticked_answers(page: Page) -> Answers:
    """What the page shows as entered, complete or not."""
    read = """cards => cards.map(card => [
        card.querySelector(".description-text").innerText.trim(),
        Number(card.querySelector(".scale input:checked")?.value ?? 0),
        card.querySelector("input[name=best]").checked,
    ])"""
    cards = page.locator(CARDS).evaluate_all(read)
    ratings = {text: rating for text, rating, _ in cards if rating}
    best = next((text for text, _, is_best in cards if is_best), "")
    reason = page.locator("input[name=cannot_judge]:checked")
    return Answers(heading_of(page), ratings, best, _value(reason), page.locator("#comment").input_value())


def is_saved(page: Page) -> None:
    """Waits until all that was entered on the page has arrived."""
    unsaved = "Object.keys(sessionStorage).some(key => key.startsWith('neuronjury.unsaved.'))"
    for _ in range(100):
        if not page.evaluate(unsaved):
            break
        page.wait_for_timeout(20)
    expect(page.locator("#saved")).to_have_text(re.compile(r"^Saved \d\d:\d\d:\d\d$"))


def judge(page: Page, hand: Hand, answers: Answers, *, has_scripts: bool = True) -> None:
    """Judges the neuron and arrives at the next page."""
    hand.fill(page, answers)
    save(page, hand, answers, has_scripts=has_scripts)


def save(page: Page, hand: Hand, answers: Answers, *, has_scripts: bool = True) -> None:
    """Saves what is on the page and arrives at the next one, after saying yes to the question where one is asked."""
    before = page.url
    hand.save(page)
    if has_scripts and answers.is_asked_about:
        expect(page.locator("#missing")).to_contain_text(QUESTION)
        hand.confirm(page)
    page.wait_for_url(lambda url: url != before)


def judge_by_chance(
    page: Page, hand: Hand, chance: random.Random, entered: Entered, *, has_scripts: bool = True, comment: str = ""
) -> None:
    answers = replace(answers_by_chance(page, chance), comment=comment)
    judge(page, hand, answers, has_scripts=has_scripts)
    entered[answers.heading] = answers
