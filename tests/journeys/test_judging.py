"""A rater's whole way over 48 neurons in a real browser, in four ways: what is stored is always what was entered."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import sqlalchemy as sa
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from app.explanations.methods import METHOD_TITLES
from app.studies.models import Card, Condition, Guess
from app.studies.protocol import Protocol
from tests.journeys.conftest import Browsers, sign_in
from tests.journeys.installing import Installation, installed
from tests.journeys.judging import (
    Answers,
    Entered,
    Finger,
    Keyboard,
    Mouse,
    answers_by_chance,
    is_saved,
    judge,
    judge_by_chance,
    texts_of,
    ticked_answers,
)
from tests.journeys.steps import GuessesEntered, arrive, completion_code, finish, go_on
from tests.journeys.stored import expected_of, results_of, rows_of, stored_in, table5_from
from tests.studies.factories import PLAIN

pytestmark = [pytest.mark.browser, pytest.mark.long]

N_NEURONS = 48
MOST_KEYS = 12
"""For one neuron with five descriptions, in the median."""
REFUSED = r"status of 409 \(Conflict\)"
NO_NETWORK = r"net::ERR_INTERNET_DISCONNECTED"
FULL = Protocol(sharing="crossed", consent="I am of age.\n\nI take part because I want to.")
"""Consent, practice, false descriptions among the real ones, guesses."""


@contextmanager
def study_of_48(folder: Path, protocol: Protocol = PLAIN) -> Iterator[Installation]:
    with installed(folder, n_neurons=N_NEURONS, n_raters=1, protocol=protocol) as installation:
        yield installation


def conflict_rows(page: Page) -> list[list[str]]:
    """The rows of the two versions that differ."""
    rows = page.locator("#conflict-rows .differs").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


# By mouse -------------------------------------------------------------------------------------------------------------


def test_by_mouse_with_double_clicks_through_a_killed_server_to_table_5(tmp_path: Path, browsers: Browsers) -> None:
    hand, chance, entered = Mouse(n_clicks=2), random.Random(5), Entered()
    with study_of_48(tmp_path) as installation:
        page = browsers.new()
        arrive(page, installation.links[0], hand)
        for number in range(1, N_NEURONS + 1):
            if number == N_NEURONS // 2:
                page = resumed_after_a_power_cut(installation, browsers, page, hand)
            comment = f"Seen {number}.\nTwice." if number % 12 == 0 else ""
            judge_by_chance(page, hand, chance, entered, comment=comment)
            if number % 10 == 0:
                page.go_back()
                before = ticked_answers(page)
                assert before == entered[before.heading]
                judge_by_chance(page, hand, chance, entered, comment=before.comment)
        expect(page.get_by_role("heading", name="Every neuron is judged.")).to_be_visible()
        finish(page, hand)
        expect(page.get_by_role("heading", name="Thank you. You are done.")).to_be_visible()

        folder = results_of(installation)
        assert len(entered) == N_NEURONS
        assert stored_in(folder) == expected_of(entered)
        assert table5_on_the_page(installation, browsers.new()) == table5_from(folder / "ratings.csv")


def resumed_after_a_power_cut(installation: Installation, browsers: Browsers, page: Page, hand: Mouse) -> Page:
    """The server dies when two descriptions of the neuron are rated; its rater comes back on another device."""
    for number, rating in enumerate((4, 2)):
        hand.tick(page.locator("[data-card]").nth(number).locator(f".scale input[value='{rating}']"))
    is_saved(page)
    before, order = ticked_answers(page), texts_of(page)
    installation.server.kill()
    installation.server.start()
    page.context.close()
    again = browsers.new()
    arrive(again, installation.links[0], hand)
    assert ticked_answers(again) == before
    assert list(before.ratings.values()) == [4, 2]
    assert texts_of(again) == order
    return again


def table5_on_the_page(installation: Installation, page: Page) -> dict[str, tuple[str, str]]:
    sign_in(page, installation.server.url)
    page.goto(f"{installation.server.url}/studies/demo/results")
    shown = {}
    for line in page.locator("table.table5 tbody tr").all():
        cells = line.locator("th, td").all_inner_texts()
        shown[cells[0].lower()] = (cells[3], cells[5])
    return shown


# By keyboard ----------------------------------------------------------------------------------------------------------


def test_by_keyboard_alone_from_the_invitation_to_the_completion_code(tmp_path: Path, browsers: Browsers) -> None:
    hand, chance, entered, n_keys = Keyboard(), random.Random(6), Entered(), []
    with study_of_48(tmp_path, FULL) as installation:
        page = browsers.new()
        arrive(page, installation.links[0], hand)
        for number in range(1, N_NEURONS + 1):
            answers = answers_by_chance(page, chance)
            if number in (7, 30):
                answers = replace(answers, ratings={}, best="", cannot_judge="no_pattern" if number == 7 else "other")
            if number == 9:
                answers = replace(answers, comment="Written by keys: 1, 2, b.")
            if number == 20:
                keep_what_the_other_tab_saved(page, hand)
            before = hand.n_pressed
            if number == 21:
                hand.fill(page, answers)
                use_these_over_what_the_other_tab_saved(page, hand)
            else:
                judge(page, hand, answers)
            n_keys.append(hand.n_pressed - before)
            entered[answers.heading] = answers
        guesses = finish(page, hand)
        code = completion_code(page)

        browsers.forget(REFUSED, n=2)
        folder = results_of(installation)
        assert len(entered) == N_NEURONS
        assert stored_in(folder) == expected_of(entered)
        assert any(stored.check_rating for stored in stored_in(folder).values())
        assert guesses == stored_guesses(installation)
        assert len(code) == 8
        assert [row["completion_code"] for row in rows_of(folder / "raters.csv", "rater-1")] == [code]
    print(f"key presses per neuron: median {median(n_keys)}, most {max(n_keys)}")
    assert median(n_keys) <= MOST_KEYS


def keep_what_the_other_tab_saved(page: Page, hand: Keyboard) -> None:
    """Nothing was entered yet. The other tab rates A with 2, this one with 4."""
    other = page.context.new_page()
    other.goto(page.url)
    Keyboard().key(other, "2")
    is_saved(other)
    hand.key(page, "4")
    expect(page.locator("#conflict")).to_be_visible()
    expect(page.locator("#conflict")).to_be_focused()
    assert conflict_rows(page) == [["A", "2", "4"]]
    hand.press(page.get_by_role("link", name="Keep those"))
    expect(page.locator("#conflict")).to_be_hidden()
    assert list(ticked_answers(page).ratings.values()) == [2]
    other.close()


def use_these_over_what_the_other_tab_saved(page: Page, hand: Keyboard) -> None:
    """Everything is entered, and the other tab gives A another rating before it is submitted here."""
    is_saved(page)
    mine = next(iter(ticked_answers(page).ratings.values()))
    theirs = 1 if mine != 1 else 2
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("[data-card]").first.locator(f".scale input[value='{theirs}']").check()
    is_saved(other)
    before = page.url
    hand.save(page)
    if ticked_answers(page).is_asked_about:
        hand.confirm(page)
    expect(page.locator("#conflict")).to_be_focused()
    assert conflict_rows(page) == [["A", str(theirs), str(mine)]]
    hand.press(page.get_by_role("button", name="Use these"))
    page.wait_for_url(lambda url: url != before)
    other.close()


def stored_guesses(installation: Installation) -> GuessesEntered:
    query = sa.select(Card.text, Condition.method).select_from(Guess).join(Card, Card.id == Guess.card_id)
    with installation.database.reading() as session:
        rows = session.execute(query.outerjoin(Condition, Condition.id == Guess.condition_id)).all()
    return {text: "Cannot tell" if method is None else METHOD_TITLES[method] for text, method in rows}


# Without JavaScript ---------------------------------------------------------------------------------------------------


def test_without_javascript_with_a_stale_submission(tmp_path: Path, browsers: Browsers) -> None:
    hand, chance, entered = Mouse(), random.Random(7), Entered()
    with study_of_48(tmp_path) as installation:
        page = browsers.new(java_script_enabled=False)
        arrive(page, installation.links[0], hand)
        for number in range(1, N_NEURONS + 1):
            if number == 15:
                submit_over_what_the_other_tab_submitted(page, hand, chance, entered)
                browsers.forget(REFUSED, n=1)
            else:
                judge_by_chance(page, hand, chance, entered, has_scripts=False)
        finish(page, hand)
        expect(page.get_by_role("heading", name="Thank you. You are done.")).to_be_visible()
        folder = results_of(installation)
        assert len(entered) == N_NEURONS
        assert stored_in(folder) == expected_of(entered)


def submit_over_what_the_other_tab_submitted(page: Page, hand: Mouse, chance: random.Random, entered: Entered) -> None:
    """Both tabs show the neuron; the other one is first. The page then has both values, and these are used."""
    other = page.context.new_page()
    other.goto(page.url)
    theirs = answers_by_chance(other, chance)
    judge(other, hand, theirs, has_scripts=False)
    other.close()
    # Other answers in every row, so that every row is seen.
    texts = list(theirs.ratings)
    best = texts[texts.index(theirs.best) - 1]
    mine = replace(theirs, ratings={text: rating % 5 + 1 for text, rating in theirs.ratings.items()}, best=best)
    hand.fill(page, mine)
    hand.save(page)
    expect(page.get_by_role("heading", name="This neuron was changed in another tab")).to_be_visible()
    letters = "ABCDE"
    assert conflict_rows(page) == [
        *([letters[i], str(theirs.ratings[text]), str(mine.ratings[text])] for i, text in enumerate(texts)),
        ["Best pick", letters[texts.index(theirs.best)], letters[texts.index(best)]],
    ]
    assert ticked_answers(page) == mine
    go_on(page, hand, page.get_by_role("button", name="Use these"))
    entered[mine.heading] = mine


# On a phone -----------------------------------------------------------------------------------------------------------


def test_on_a_phone_through_two_minutes_offline_and_a_reload(tmp_path: Path, browsers: Browsers) -> None:
    hand, chance, entered = Finger(), random.Random(8), Entered()
    with study_of_48(tmp_path) as installation:
        page = browsers.new(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
        page.on("dialog", lambda dialog: dialog.accept())
        page.clock.install()
        arrive(page, installation.links[0], hand)
        for number in range(1, N_NEURONS + 1):
            if number in (16, 32):
                answers = answers_by_chance(page, chance)
                entered[answers.heading] = answers
                way = two_minutes_offline if number == 16 else reloaded_while_offline
                way(page, hand, answers)
                browsers.forget(NO_NETWORK)
            else:
                judge_by_chance(page, hand, chance, entered)
        finish(page, hand)
        expect(page.get_by_role("heading", name="Thank you. You are done.")).to_be_visible()
        folder = results_of(installation)
        assert len(entered) == N_NEURONS
        assert stored_in(folder) == expected_of(entered)


def answer_offline(page: Page, hand: Finger, answers: Answers) -> None:
    page.context.set_offline(True)
    expect(page.locator("#saved")).to_contain_text("You are offline.")
    hand.fill(page, answers)
    hand.save(page)
    if answers.is_asked_about:
        hand.confirm(page)
    expect(page.locator("#saved")).to_have_text(
        "You are offline. Your answers are kept here and will be sent when the connection is back. "
        "The next neuron opens then."
    )


def two_minutes_offline(page: Page, hand: Finger, answers: Answers) -> None:
    """The page tries again in vain, and goes on by itself when the connection is back."""
    before = page.url
    answer_offline(page, hand, answers)
    for _ in range(12):
        # Bit by bit: each attempt fails in real time before the page waits for the next one.
        page.clock.run_for(10_000)
    expect(page.locator("#saved")).to_contain_text("You are offline.")
    assert ticked_answers(page) == answers
    assert page.url == before
    page.context.set_offline(False)
    page.wait_for_url(lambda url: url != before)


def reloaded_while_offline(page: Page, hand: Finger, answers: Answers) -> None:
    """The browser shows its own error page; when the connection is back, the same reload sends what was entered."""
    before = page.url
    answer_offline(page, hand, answers)
    with pytest.raises(PlaywrightError, match="ERR_INTERNET_DISCONNECTED"):
        page.reload()
    page.context.set_offline(False)
    page.goto(before)
    page.wait_for_url(lambda url: url != before)
