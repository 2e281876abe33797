"""Raters in their browsers: from the link to the last neuron, with everything that can go wrong on the way."""

import html
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.studies.invitations import revoke_rater
from app.studies.models import Assignment, BestPick, JudgementEvent, Rater, Rating
from app.web.cookies import SESSION_COOKIE
from tests.forms import form_token_of, submit
from tests.studies.raters_browser import (
    begin,
    card_fields,
    card_texts,
    chosen,
    close,
    follow,
    judge_all,
    judgement,
    start_study,
    tokens_of,
)


def n_stored(database: Database) -> tuple[int, int, int]:
    """(ratings, best picks, events)"""
    with database.reading() as session:
        counts = [session.scalar(sa.select(sa.func.count()).select_from(table)) for table in (Rating, BestPick)]
        return counts[0] or 0, counts[1] or 0, session.scalar(sa.select(sa.func.count(JudgementEvent.id))) or 0


def problem_of(text: str) -> str:
    """The line above everything."""
    found = re.search(r'<p class="rating-problem"[^>]*>(.*?)</p>', text, re.DOTALL)
    return "" if found is None else html.unescape(re.sub(r"<[^>]+>", "", found[1]))


# The way in ---------------------------------------------------------------------------------------------------------


def test_an_invitation_says_what_is_asked_and_stores_nothing(database: Database, client: TestClient) -> None:
    study = start_study(database, n_neurons=4)
    welcome = client.get(study.links[0])
    assert welcome.status_code == 200
    assert "Which description fits?" in welcome.text
    assert "Judge by the activations." in welcome.text
    assert "<strong>4 neurons</strong>" in welcome.text
    assert SESSION_COOKIE not in client.cookies


def test_beginning_leads_to_the_first_neuron(database: Database, client: TestClient) -> None:
    study = start_study(database)
    answer = submit(client, client.get(study.links[0]))
    assert (answer.status_code, answer.headers["location"]) == (303, "/rate")
    rate = client.get("/rate")
    assert (rate.status_code, rate.headers["location"]) == (303, f"/rate/{tokens_of(database, 1)[0]}")
    page = client.get(rate.headers["location"])
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert len(card_fields(page)) == 5
    assert chosen(page) == {}


def test_all_excerpts_and_the_papers_words_are_on_the_page(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page.text)))
    neuron = re.search(r"Neuron (\d+:\d+)", text)
    assert neuron is not None
    assert f"[description] is a good explanation of neuron {neuron[1]}’s behavior" in text
    for words in ("Strongly Disagree", "Disagree", "Neither Agree nor Disagree", "Agree", "Strongly Agree"):
        assert f"<span>{words}</span>" in page.text
    assert "Strongest activations" in text
    assert "Random excerpts" in text
    assert text.count(" cat") == 3


def test_the_clock_starts_when_a_neuron_is_first_shown(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    with database.reading() as session:
        first_shown = session.scalars(sa.select(Assignment.shown_at).where(Assignment.shown_at.is_not(None))).one()
    client.get(str(page.url))
    with database.reading() as session:
        assert (
            session.scalars(sa.select(Assignment.shown_at).where(Assignment.shown_at.is_not(None))).one() == first_shown
        )


@pytest.mark.parametrize("code", ["0" * 32, "x", "r" * 500])
def test_a_wrong_invitation_is_refused(database: Database, client: TestClient, code: str) -> None:
    start_study(database)
    answer = client.get(f"/r/{code}")
    assert answer.status_code == 403
    assert "invitation is not known" in answer.text


def test_an_expired_invitation_is_refused(database: Database, client: TestClient) -> None:
    study = start_study(database)
    with database.writing() as session:
        session.execute(sa.update(Rater).values(expires_at=utc_now() - timedelta(minutes=1)))
    answer = client.get(study.links[0])
    assert answer.status_code == 403
    assert "expired" in answer.text


def test_a_withdrawn_invitation_is_refused_also_where_it_was_used(database: Database, client: TestClient) -> None:
    study = start_study(database)
    page = begin(client, study.links[0])
    with database.writing() as session:
        revoke_rater(session, study.slug, 1, utc_now())
    for answer in (client.get(study.links[0]), client.get("/rate"), client.get(str(page.url))):
        assert answer.status_code == 403
        assert "withdrawn" in answer.text
    assert submit(client, page, **judgement(page, 3)).status_code == 403
    assert n_stored(database) == (0, 0, 0)


def test_invitations_cannot_be_guessed_in_bulk(database: Database, client: TestClient) -> None:
    statuses = [client.get(f"/r/{number:032x}").status_code for number in range(31)]
    assert statuses == [403] * 30 + [429]


def test_the_rating_pages_are_closed_to_those_without_an_invitation(database: Database, client: TestClient) -> None:
    start_study(database)
    for path in ("/rate", f"/rate/{tokens_of(database, 1)[0]}"):
        assert client.get(path).status_code == 403


def test_beginning_without_the_forms_token_is_refused(database: Database, client: TestClient) -> None:
    study = start_study(database)
    assert client.post(study.links[0], data={}).status_code == 403
    assert SESSION_COOKIE not in client.cookies


# Judging ------------------------------------------------------------------------------------------------------------


def test_a_rater_judges_everything_and_is_thanked(database: Database, client: TestClient) -> None:
    study = start_study(database, n_neurons=4)
    first = begin(client, study.links[0])
    answer = submit(client, first, **judgement(first, 5, 4, 3, 2, 1, best=1))
    second, third, fourth = tokens_of(database, 1)[1:]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/rate/{second}")
    assert n_stored(database) == (5, 1, 1)
    done = judge_all(client, client.get(f"/rate/{second}"))
    assert str(done.url).endswith("/rate")
    assert "Thank you" in done.text
    assert [token in done.text for token in (second, third, fourth)] == [True] * 3
    assert n_stored(database) == (20, 4, 4)


def test_a_judged_neuron_shows_its_answers_and_takes_others(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    sent = judgement(page, 5, 4, 3, 2, 1, best=2)
    submit(client, page, **sent)
    again = client.get(str(page.url))
    assert chosen(again) == sent
    assert "You have judged this neuron" in again.text
    changed = judgement(again, 1, 2, 3, 4, 5, best=4)
    assert submit(client, again, **changed).status_code == 303
    assert chosen(client.get(str(page.url))) == changed
    assert n_stored(database) == (5, 1, 2)


def test_a_second_submit_of_the_same_changes_nothing(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    sent = judgement(page, 4)
    answers = [submit(client, page, **sent) for _ in range(3)]
    assert len({(answer.status_code, answer.headers["location"]) for answer in answers}) == 1
    assert n_stored(database) == (5, 1, 1)


def test_a_rater_who_comes_back_continues_at_the_same_place_with_the_same_order(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database)
    first = begin(client, study.links[0])
    left_at = follow(client, submit(client, first, **judgement(first, 3)))
    welcome = new_client.get(study.links[0])
    assert "you have judged <strong>1</strong>" in welcome.text
    back = begin(new_client, study.links[0])
    assert str(back.url) == str(left_at.url)
    assert card_texts(back) == card_texts(left_at)
    assert card_fields(back) == card_fields(left_at)


def test_conditions_with_the_same_text_share_a_card(database: Database, client: TestClient) -> None:
    study = start_study(database, texts=lambda layer, index, method: "birds" if method in ("hs", "avhs") else method)
    page = begin(client, study.links[0])
    assert sorted(card_texts(page)) == ["birds.", "highlight.", "original.", "summary."]
    judge_all(client, page)
    assert n_stored(database) == (8, 2, 2)


def test_the_next_neuron_is_linked_only_from_a_judged_one(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    second = tokens_of(database, 1)[1]
    assert f'href="/rate/{second}"' not in page.text
    submit(client, page, **judgement(page, 3))
    assert f'href="/rate/{second}"' in client.get(str(page.url)).text


# What is no judgement -------------------------------------------------------------------------------------------------


def without_second(fields: list[str], sent: dict[str, object]) -> None:
    del sent[fields[1]]


def without_best(fields: list[str], sent: dict[str, object]) -> None:
    del sent["best"]


def zero(fields: list[str], sent: dict[str, object]) -> None:
    sent[fields[1]] = "0"


def six(fields: list[str], sent: dict[str, object]) -> None:
    sent[fields[1]] = "6"


def words(fields: list[str], sent: dict[str, object]) -> None:
    sent[fields[1]] = "Agree"


def twice(fields: list[str], sent: dict[str, object]) -> None:
    sent[fields[1]] = ["2", "4"]


def two_best(fields: list[str], sent: dict[str, object]) -> None:
    sent["best"] = [field.removeprefix("rating-") for field in fields[:2]]


def foreign_best(fields: list[str], sent: dict[str, object]) -> None:
    sent["best"] = "0" * 32


NO_JUDGEMENTS = [
    (without_second, "Not saved yet. Rate B from 1 to 5."),
    (zero, "Not saved yet. Rate B from 1 to 5."),
    (six, "Not saved yet. Rate B from 1 to 5."),
    (words, "Not saved yet. Rate B from 1 to 5."),
    (twice, "Not saved yet. Rate B from 1 to 5."),
    (without_best, "Not saved yet. There is no best pick yet. Choose exactly one."),
    (two_best, "Not saved yet. There is more than one best pick. Choose exactly one."),
    (foreign_best, "Not saved yet. There is no best pick yet. Choose exactly one."),
]


@pytest.mark.parametrize(("spoil", "problem"), NO_JUDGEMENTS, ids=[case[0].__name__ for case in NO_JUDGEMENTS])
def test_what_is_no_judgement_is_refused_whole_and_keeps_the_entries(
    database: Database, client: TestClient, spoil: object, problem: str
) -> None:
    page = begin(client, start_study(database).links[0])
    fields = card_fields(page)
    good = judgement(page, 5, 4, 3, 2, 1)
    sent: dict[str, object] = dict(good)
    spoil(fields, sent)  # type: ignore[operator]
    answer = client.post(str(page.url), data=sent | {"form_token": form_token_of(page)})
    assert answer.status_code == 422
    assert problem_of(answer.text) == problem
    spoilt = {name for name in good if sent.get(name) != good[name]}
    assert chosen(answer) == {name: value for name, value in good.items() if name not in spoilt}
    assert n_stored(database) == (0, 0, 0)
    assert submit(client, answer, **good).status_code == 303


def test_an_empty_form_names_all_that_is_missing(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    answer = submit(client, page)
    assert problem_of(answer.text) == (
        "Not saved yet. Rate A, B, C, D and E from 1 to 5. There is no best pick yet. Choose exactly one."
    )
    assert answer.text.count("No rating yet. Choose 1 to 5.") == 5
    assert re.search(r'<p class="rating-problem"[^>]* autofocus', answer.text)


def test_answers_for_cards_of_another_page_are_refused(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    sent = judgement(page, 3) | {"rating-" + "0" * 32: "3"}
    answer = client.post(str(page.url), data=sent | {"form_token": form_token_of(page)})
    assert answer.status_code == 422
    assert "did not belong to this page" in problem_of(answer.text)
    assert n_stored(database) == (0, 0, 0)


def test_a_refused_change_leaves_the_earlier_judgement(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    sent = judgement(page, 2)
    submit(client, page, **sent)
    spoilt = dict(sent) | {card_fields(page)[0]: "6"}
    assert client.post(str(page.url), data=spoilt | {"form_token": form_token_of(page)}).status_code == 422
    assert chosen(client.get(str(page.url))) == sent
    assert n_stored(database) == (5, 1, 1)


# The end of a study ---------------------------------------------------------------------------------------------------


def test_a_closed_study_says_so_and_takes_nothing(database: Database, client: TestClient) -> None:
    study = start_study(database)
    page = begin(client, study.links[0])
    submit(client, page, **judgement(page, 3))
    close(database, study)
    rate = client.get("/rate")
    assert rate.status_code == 200
    assert "This study is closed." in rate.text
    assert "The one neuron that you judged is counted." in rate.text
    assert client.get(str(page.url)).headers["location"] == "/rate"
    refused = submit(client, page, **judgement(page, 1))
    assert refused.status_code == 409
    assert "This study is closed." in refused.text
    assert n_stored(database) == (5, 1, 1)
    welcome = client.get(study.links[1])
    assert welcome.status_code == 409
    assert "closed" in welcome.text
