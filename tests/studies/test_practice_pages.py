"""The practice in a rater's browser: puzzles through their real forms, with feedback, a pass and a polite end."""

import html
import re

import httpx2
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.puzzles.loading import load_puzzles
from app.studies.dealing.blinding import shown_text
from app.studies.models import Assignment
from tests.forms import form_of, submit
from tests.studies.factories import PLAIN
from tests.studies.raters_browser import (
    begin,
    card_fields,
    card_texts,
    chosen,
    follow,
    judgement,
    start_study,
)
from tests.studies.steps import step_of, words

PRACTISING = PLAIN.model_copy(update={"n_puzzles": 2, "n_right_to_pass": 2, "n_attempts": 2})
TRUTHS = {shown_text(puzzle.truth) for puzzle in load_puzzles()}


def solve(client: TestClient, page: httpx2.Response, is_right: bool) -> httpx2.Response:
    """Rates every description 3, picks the true one or the first of the others, and gets the feedback."""
    place = next(place for place, text in enumerate(card_texts(page)) if (text in TRUTHS) is is_right)
    return follow(client, submit(client, page, **judgement(page, 3, best=place)))


def test_practice_tells_what_was_right_and_leads_to_the_first_neuron(database: Database, client: TestClient) -> None:
    study = start_study(database, protocol=PRACTISING)
    first = begin(client, study.links[0])
    assert step_of(first) == "Step 2 of 5: Practice"
    assert "Practice neuron 1 of 2" in words(first)
    assert (len(card_texts(first)), len(TRUTHS.intersection(card_texts(first)))) == (4, 1)
    right = solve(client, first, is_right=True)
    assert "That is right." in words(right)
    assert "1 of 1 right so far." in words(right)
    assert client.get(str(right.url)).text == right.text, "a reload shows the same"
    second = follow(client, client.get("/rate"))
    assert "Practice neuron 2 of 2" in words(second)
    passed = solve(client, second, is_right=True)
    assert "You have passed the practice , with 2 of 2 right." in words(passed)
    assert re.search(r"/rate/[0-9a-f]{32}$", str(follow(client, client.get("/rate")).url))
    assert client.get(str(passed.url)).headers["location"] == "/rate", "practice is behind"


def test_a_wrong_answer_is_explained(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database, protocol=PRACTISING).links[0])
    truth = next(text for text in card_texts(page) if text in TRUTHS)
    why = next(puzzle.why for puzzle in load_puzzles() if shown_text(puzzle.truth) == truth)
    wrong = words(solve(client, page, is_right=False))
    assert "It was another one. The true description is: " + html.unescape(truth) in wrong
    assert why in wrong
    assert "0 of 1 right so far." in wrong


def test_an_incomplete_practice_answer_is_kept_and_not_stored(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database, protocol=PRACTISING).links[0])
    fields = card_fields(page)
    refused = submit(client, page, **{fields[0]: "4"})
    assert refused.status_code == 422
    assert chosen(refused) == {fields[0]: "4"}
    assert refused.text.count("No rating yet. Choose 1 to 5.") == 3
    assert "There is no best pick yet." in words(refused)
    assert follow(client, client.get("/rate")).text == page.text


def test_two_failed_attempts_end_politely_without_neurons_or_code(database: Database, client: TestClient) -> None:
    site = {"completion_code": "C0FFEE", "completion_url": "https://recruiting.example/done"}
    page = begin(client, start_study(database, protocol=PRACTISING.model_copy(update=site)).links[0])
    said = []
    for _ in range(4):
        said.append(words(solve(client, page, is_right=False)))
        page = follow(client, client.get("/rate"))
    assert "this will be attempt 2 of 2" in said[1]
    assert "0 of 2 right in the last attempt; it takes 2 to go on." in said[3]
    assert "Thank you for trying." in words(page)
    assert "C0FFEE" not in page.text
    assert "recruiting.example" not in page.text
    with database.reading() as session:
        assert session.scalars(sa.select(Assignment.id)).all() == []


def test_another_raters_puzzle_is_no_address_of_mine(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database, protocol=PRACTISING)
    theirs = form_of(begin(new_client, study.links[1]), None).action
    mine = begin(client, study.links[0])
    assert client.get(theirs).headers["location"] == "/rate"
    sent = judgement(mine, 3) | {"form_token": form_of(mine).values["form_token"]}
    assert client.post(theirs, data=sent).status_code == 404
