"""Every page in a real browser: no accessibility problem, nothing wider than a phone, nothing in the console."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from app.database import utc_now
from app.studies.invitations import revoke_rater
from app.studies.protocol import Protocol
from tests.journeys.conftest import Browsers, sign_in
from tests.journeys.furnishing import closed, drafted, judged, paused, started
from tests.journeys.installing import Installation, installed
from tests.journeys.judging import Answers, Mouse, heading_of, is_saved, texts_of
from tests.journeys.looking import problems_of
from tests.journeys.steps import arrive, go_on, solution, take_step
from tests.studies.factories import PLAIN

pytestmark = [pytest.mark.browser, pytest.mark.long]

PAGES_OF_ADMINS = (
    "/",
    "/account",
    "/neurons",
    "/neurons/toy/3/0",
    "/batches",
    "/batches/new",
    "/batches/1",
    "/batches/scores/new",
    "/prices",
    "/neuron-sets",
    "/neurons/toy/3/0/prompts",
    "/studies",
    "/studies/new",
    "/studies/new?subject=toy",
    "/studies/import",
    "/studies/draft",
    "/studies/demo",
    "/studies/demo/raters/1",
    "/studies/demo/raters/1/delete",
    "/studies/demo/close",
    "/studies/demo/unmask",
    "/studies/demo/results",
    "/studies/paused",
    "/studies/closed",
    "/studies/closed/raters/1",
    "/studies/closed/results",
    "/tables",
    "/tables?table=2",
    "/tables?table=6",
    "/tables?table=figure3",
)
FULL = Protocol(sharing="crossed", consent="I am of age.\n\nI take part because I want to.", check_percent=0)
"""Consent, practice and guesses."""
REFUSED = r"the server responded with a status of 4\d\d"
HAND = Mouse()


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The open study `demo`, of whose raters one has judged everything; a draft, a paused and a closed study. For all
    tests here: each has raters and further studies of its own."""
    with installed(tmp_path_factory.mktemp("furnished"), n_neurons=6, n_raters=3) as installation:
        judged(installation, installation.links[0])
        drafted(installation, "draft")
        started(installation, "paused")
        paused(installation, "paused")
        for link in started(installation, "closed"):
            judged(installation, link)
        closed(installation, "closed")
        yield installation


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).first.click()
    page.wait_for_load_state()


def test_these_tests_would_see_a_problem(browsers: Browsers) -> None:
    page = browsers.new()
    page.set_content("<main><p style='color: #999; width: 400px'>Too pale, and too wide for a phone.</p></main>")
    found = " ".join(problems_of(page))
    assert all(words in found for words in ("color-contrast", "html-has-lang", "wider than its window"))


# Admins ---------------------------------------------------------------------------------------------------------------


def test_every_page_of_admins_is_accessible_and_fits(furnished: Installation, browsers: Browsers) -> None:
    page, url = browsers.new(), furnished.server.url
    page.goto(f"{url}/login")
    problems = problems_of(page)
    sign_in(page, url)
    for path in PAGES_OF_ADMINS:
        page.goto(url + path)
        expect(page.locator("h1")).not_to_have_text("No such page")
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        problems += problems_of(page)
    for path, button in (
        ("/studies/demo", "Make the links"),
        ("/studies/demo", "Make the joining link"),
        ("/studies/demo", "Try it as a rater"),
        ("/studies/draft", "Make a link for a dry run"),
    ):
        page.goto(url + path)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        press(page, button)
        problems += problems_of(page)
    assert problems == []


def test_what_admins_are_told_when_something_is_wrong_is_accessible_and_fits(
    furnished: Installation, browsers: Browsers
) -> None:
    page, url = browsers.new(), furnished.server.url
    sign_in(page, url)
    page.goto(f"{url}/studies/nowhere")
    problems = problems_of(page)
    page.goto(f"{url}/studies/new?subject=toy")
    page.get_by_label("Title", exact=True).fill("Demo once more")
    page.get_by_label("Short name (slug)").fill("demo")
    press(page, "Make the draft")
    problems += problems_of(page)
    page.goto(f"{url}/studies/import")
    page.get_by_label("File of the design").set_input_files(
        {"name": "design.json", "mimeType": "application/json", "buffer": b"{"}
    )
    press(page, "Import as a draft")
    problems += problems_of(page)
    page.goto(f"{url}/studies/demo/unmask")
    page.get_by_label("Why now?").fill("To see the results of an open study.")
    press(page, "Unmask the results")
    problems += problems_of(page)
    page.goto(f"{url}/studies/demo")
    problems += problems_of(page)
    assert problems == []
    browsers.forget(REFUSED, n=3)


# Raters ---------------------------------------------------------------------------------------------------------------


def test_every_page_on_a_raters_way_is_accessible_and_fits(furnished: Installation, browsers: Browsers) -> None:
    link = started(furnished, "full", protocol=FULL)[0]
    page = browsers.new()
    page.goto(link)
    problems = problems_of(page)
    go_on(page, HAND, page.get_by_role("button", name="Begin"))
    for step in ("Do you agree to take part?", "How to judge"):
        expect(page.locator("h1")).to_have_text(step)
        problems += problems_of(page)
        take_step(page, HAND)
    expect(page.locator("#practice")).to_be_visible()
    problems += problems_of(page)
    for is_right in (False, True, True):
        answer_puzzle(page, is_right)
        problems += problems_of(page)
        take_step(page, HAND)
    problems += on_a_neuron(page)
    page.goto(link)
    expect(page.get_by_text("Welcome back")).to_be_visible()
    problems += problems_of(page)
    arrive(page, link, HAND)
    while page.locator("#judgement").count():
        HAND.fill(page, best_is_highest(page))
        go_on(page, HAND, page.locator("#submit"))
    problems += problems_of(page)
    neuron = page.locator(".judged a").first.get_attribute("href")
    for button in ("I am finished", "Skip"):
        go_on(page, HAND, page.get_by_role("button", name=button))
        problems += problems_of(page)
    page.goto(f"{furnished.server.url}{neuron}")
    expect(page.get_by_text("your answers stand")).to_be_visible()
    problems += problems_of(page)
    page.goto(f"{furnished.server.url}/rate/done")
    HAND.press(page.get_by_role("button", name="Leave the study on this browser"))
    expect(page.locator("h1")).to_have_text("You have left the study on this browser.")
    problems += problems_of(page)
    assert problems == []
    browsers.forget(REFUSED, n=1)


def answer_puzzle(page: Page, is_right: bool) -> None:
    """Arrives at the feedback."""
    answer = solution(page)
    wrong = next(text for text in texts_of(page) if text != answer.best)
    HAND.fill(page, answer if is_right else replace(answer, best=wrong))
    go_on(page, HAND, page.get_by_role("button", name="Check my answer"))


def best_is_highest(page: Page) -> Answers:
    """Answers that the page asks nothing about."""
    texts = texts_of(page)
    return Answers(heading_of(page), {text: 5 - place for place, text in enumerate(texts)}, texts[0])


def on_a_neuron(page: Page) -> list[str]:
    """The first neuron in all its states: untouched, with all that opens, its keys, a question, two versions."""
    problems = problems_of(page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    problems += problems_of(page)
    page.locator("#show-keys").click()
    problems += problems_of(page)
    page.keyboard.press("Escape")
    page.locator("#submit").click()
    problems += problems_of(page)
    answers = best_is_highest(page)
    HAND.fill(page, replace(answers, best=list(answers.ratings)[-1]))
    page.locator("#submit").click()
    expect(page.locator("#missing")).to_contain_text("Is that right?")
    problems += problems_of(page)
    other = page.context.new_page()
    other.goto(page.url)
    HAND.tick(other.locator(".scale input[value='1']").first)
    is_saved(other)
    other.close()
    HAND.tick(page.locator(".scale input[value='2']").first)
    expect(page.locator("#conflict")).to_be_visible()
    problems += problems_of(page)
    page.get_by_role("link", name="Keep those").click()
    return problems


def test_what_raters_are_told_on_other_ways_is_accessible_and_fits(furnished: Installation, browsers: Browsers) -> None:
    page = browsers.new()
    problems = []
    for letter, heading in (
        (paused_study, "This study is paused."),
        (ended_study, "This study is closed."),
        (failed_practice, "Thank you for trying."),
        (nothing_free, "No neuron is free right now."),
        (withdrawn_invitation, "This invitation has been withdrawn."),
        (declined_consent, "You are not taking part."),
        (unknown_link, "This is not open to you"),
        (browser_of_an_admin, "This browser cannot rate in this study."),
    ):
        letter(furnished, page)
        expect(page.locator("h1")).to_have_text(heading)
        problems += problems_of(page)
    assert problems == []
    browsers.forget(REFUSED, n=3)


def paused_study(installation: Installation, page: Page) -> None:
    link = started(installation, "pausing")[0]
    paused(installation, "pausing")
    page.goto(link)


def ended_study(installation: Installation, page: Page) -> None:
    arrive(page, started(installation, "ended")[0], HAND)
    closed(installation, "ended")
    page.goto(f"{installation.server.url}/rate")


def failed_practice(installation: Installation, page: Page) -> None:
    strict = PLAIN.model_copy(update={"n_puzzles": 1, "n_right_to_pass": 1, "n_attempts": 1})
    page.goto(started(installation, "strict", protocol=strict)[0])
    go_on(page, HAND, page.get_by_role("button", name="Begin"))
    take_step(page, HAND)
    answer_puzzle(page, is_right=False)
    take_step(page, HAND)


def nothing_free(installation: Installation, page: Page) -> None:
    """The first rater has taken all there is."""
    all_at_once = PLAIN.model_copy(update={"sharing": "split", "n_raters": 1})
    first, second = started(installation, "crowded", protocol=all_at_once)
    judged(installation, first)
    page.goto(second)
    go_on(page, HAND, page.get_by_role("button", name="Begin"))
    take_step(page, HAND)


def withdrawn_invitation(installation: Installation, page: Page) -> None:
    link = started(installation, "withdrawing")[0]
    arrive(page, link, HAND)
    with installation.database.writing() as session:
        revoke_rater(session, "withdrawing", 1, utc_now())
    page.goto(f"{installation.server.url}/rate")


def declined_consent(installation: Installation, page: Page) -> None:
    page.goto(started(installation, "declining", protocol=FULL)[0])
    go_on(page, HAND, page.get_by_role("button", name="Begin"))
    go_on(page, HAND, page.get_by_role("button", name="I do not agree"))


def unknown_link(installation: Installation, page: Page) -> None:
    page.goto(f"{installation.server.url}/r/{'0' * 32}")


def browser_of_an_admin(installation: Installation, page: Page) -> None:
    """Of one who has read a neuron's explanations with their methods."""
    sign_in(page, installation.server.url)
    page.goto(f"{installation.server.url}/neurons/toy/0/0")
    page.goto(installation.links[2])


def test_the_rating_page_without_javascript_is_accessible_and_fits(furnished: Installation, browsers: Browsers) -> None:
    """Axe is itself a script: the server's own pages for what is missing and for two versions, in a browser that runs
    none of ours."""
    page = browsers.new()
    page.route("**/static/*.js*", lambda route: route.fulfill(content_type="text/javascript", body=""))
    arrive(page, furnished.links[1], HAND)
    page.locator("#submit").click()
    expect(page.locator("#problem")).to_be_visible()
    problems = problems_of(page)
    other = page.context.new_page()
    other.goto(f"{furnished.server.url}/rate")
    HAND.fill(other, best_is_highest(other))
    go_on(other, HAND, other.locator("#submit"))
    other.close()
    answers = best_is_highest(page)
    HAND.fill(page, replace(answers, best=list(answers.ratings)[-1]))
    page.locator("#submit").click()
    expect(page.locator("#conflict")).to_be_visible()
    problems += problems_of(page)
    assert problems == []
    browsers.forget(REFUSED, n=2)
