"""Raters in their browsers: from the link to the last neuron, with everything that can go wrong on the way."""

import html
import re
from datetime import timedelta

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.studies.invitations import revoke_rater
from app.studies.models import Assignment, BestPick, JudgementEvent, Rater, Rating, Study
from app.web.cookies import SESSION_COOKIE
from tests.forms import form_of, form_token_of, submit
from tests.studies.factories import PLAIN, distinct_text
from tests.studies.raters_browser import (
    begin,
    card_fields,
    card_texts,
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


def chosen(page: httpx2.Response) -> dict[str, str]:
    """The ratings and the best pick that are ticked on a rating page."""
    values = form_of(page).values
    return {name: value for name, value in values.items() if name.startswith("rating-") or name == "best"}


def problem_of(text: str) -> str:
    """The line above everything."""
    found = re.search(r'<p class="rating-problem"[^>]*>(.*?)</p>', text, re.DOTALL)
    return "" if found is None else html.unescape(re.sub(r"<[^>]+>", "", found[1]))


# The way in ---------------------------------------------------------------------------------------------------------


def test_beginning_leads_to_the_first_neuron(database: Database, client: TestClient) -> None:
    study = start_study(database)
    page = begin(client, study.links[0])
    assert page.status_code == 200
    assert str(page.url).endswith(f"/rate/{tokens_of(database, 1)[0]}")
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


def test_the_rating_pages_are_closed_to_those_without_an_invitation(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    page = begin(client, start_study(database).links[0])
    for path in ("/rate", f"/rate/{tokens_of(database, 1)[0]}"):
        assert new_client.get(path).status_code == 403
    login = new_client.get("/login")
    sent = judgement(page, 3) | {"form_token": form_token_of(login)}
    for path in (str(page.url), f"{page.url}/save"):
        assert new_client.post(path, data=sent).status_code == 403
    assert n_stored(database) == (0, 0, 0)


def test_beginning_without_the_forms_token_is_refused(database: Database, client: TestClient) -> None:
    study = start_study(database)
    assert client.post(study.links[0], data={}).status_code == 403
    assert SESSION_COOKIE not in client.cookies


# Judging ------------------------------------------------------------------------------------------------------------


def test_a_rater_judges_one_neuron_after_the_other(database: Database, client: TestClient) -> None:
    study = start_study(database, n_neurons=4)
    first = begin(client, study.links[0])
    answer = submit(client, first, **judgement(first, 5, 4, 3, 2, 1, best=1))
    second, third, fourth = tokens_of(database, 1)[1:]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/rate/{second}")
    assert n_stored(database) == (5, 1, 1)
    assert client.get("/rate").headers["location"] == f"/rate/{second}"
    review = judge_all(client, client.get(f"/rate/{second}"))
    assert [f"/rate/{token}" in review.text for token in (second, third, fourth)] == [True] * 3
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
    back = begin(new_client, study.links[0])
    assert str(back.url) == str(left_at.url)
    assert card_texts(back) == card_texts(left_at)
    assert card_fields(back) == card_fields(left_at)


def birds_twice(layer: int, index: int, method: str) -> str:
    return f"birds {layer}:{index}" if method in ("hs", "avhs") else distinct_text(layer, index, method)


def test_conditions_with_the_same_text_share_a_card(database: Database, client: TestClient) -> None:
    study = start_study(database, texts=birds_twice)
    page = begin(client, study.links[0])
    assert len(card_texts(page)) == 4
    assert len([text for text in card_texts(page) if text.startswith("birds")]) == 1
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
    assert "This study is closed and takes no more judgements." in refused.text
    assert n_stored(database) == (5, 1, 1)
    welcome = client.get(study.links[1])
    assert welcome.status_code == 409
    assert "closed" in welcome.text


def test_a_paused_study_keeps_what_is_on_the_screen_and_shows_no_other_neuron(
    database: Database, client: TestClient
) -> None:
    page = begin(client, start_study(database).links[0])
    with database.writing() as session:
        session.execute(sa.update(Study).values(paused_at=utc_now()))
    assert client.get(str(page.url)).status_code == 200
    other = client.get(f"/rate/{tokens_of(database, 1)[1]}")
    assert (other.status_code, other.headers["location"]) == (303, "/rate")
    assert submit(client, page, **judgement(page, 4)).status_code == 303
    assert n_stored(database) == (5, 1, 1)


def test_a_rater_who_has_finished_sees_the_answers_and_cannot_change_them(
    database: Database, client: TestClient
) -> None:
    page = begin(client, start_study(database).links[0])
    submit(client, page, **judgement(page, 4))
    with database.writing() as session:
        session.execute(sa.update(Rater).values(finished_at=utc_now()))
    again = client.get(str(page.url))
    assert "You have finished, and your answers stand." in again.text
    assert '<fieldset class="entries" disabled>' in again.text
    assert 'id="submit"' not in again.text
    assert submit(client, page, **judgement(page, 1)).status_code == 409
    assert save(client, page, **judgement(page, 1)).status_code == 409
    assert chosen(again) == judgement(page, 4)
    assert n_stored(database) == (5, 1, 1)


# Autosave -------------------------------------------------------------------------------------------------------------


def save(client: TestClient, page: httpx2.Response, **sent: str) -> httpx2.Response:
    """What the page's script sends."""
    headers = {"x-form-token": form_token_of(page), "Accept": "application/json"}
    return client.post(f"{page.url}/save", data=sent, headers=headers)


def test_a_click_is_saved_and_is_there_on_another_device(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database)
    page = begin(client, study.links[0])
    first = card_fields(page)[0]
    answer = save(client, page, version="0", **{first: "4"})
    assert (answer.status_code, answer.json()) == (200, {"version": 1})
    assert save(client, page, version="1", **{first: "4"}, comment="hm").json() == {"version": 2}
    there = begin(new_client, study.links[0])
    assert str(there.url) == str(page.url)
    assert form_of(there).values == form_of(page).values | {
        first: "4",
        "comment": "hm",
        "version": "2",
        "form_token": form_token_of(there),
    }
    assert n_stored(database) == (1, 0, 2)


def test_a_script_submits_by_saving_and_is_told_where_to_go(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    sent = judgement(page, 5, 4, 3, 2, 1)
    assert save(client, page, version="0", **sent).json() == {"version": 1}
    assert client.get("/rate").headers["location"] == page.url.path
    submitted = {"version": 2, "next": f"/rate/{tokens_of(database, 1)[1]}"}
    assert save(client, page, version="1", submits="1", **sent).json() == submitted
    assert client.get("/rate").headers["location"] != page.url.path
    again = [save(client, page, version="1", submits="1", **sent) for _ in range(3)]
    assert [(answer.status_code, answer.json()) for answer in again] == [(200, submitted)] * 3
    assert n_stored(database) == (5, 1, 2)


def test_a_stale_save_gets_what_is_stored(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    fields = card_fields(page)
    tokens = [field.removeprefix("rating-") for field in fields]
    save(client, page, version="0", **{fields[0]: "4", fields[2]: "1"}, best=tokens[2], comment="first")
    for submits in ({}, {"submits": "1"}):
        answer = save(client, page, version="0", **judgement(page, 2), **submits)
        assert answer.status_code == 409
        assert answer.json() == {
            "version": 1,
            "entries": {
                "ratings": {tokens[0]: 4, tokens[2]: 1},
                "best": tokens[2],
                "cannot_judge": "",
                "comment": "first",
            },
            "error": "this neuron was changed in another tab or on another device; nothing of yours was stored",
        }
    assert n_stored(database) == (2, 1, 1)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"cannot_judge": "bored"}, "Reason 'bored'; expected one of not_understood, no_pattern, display, other."),
        ({"comment": "x" * 2001}, "Comment of 2001 characters; expected at most 2000."),
        ({"submits": "1"}, "No rating on card A; expected 1-5."),
        ({"rating-" + "0" * 32: "3"}, "Answers for 1 cards that are not on this page; reload it and judge again."),
    ],
)
def test_what_cannot_be_saved_is_refused_with_a_reason(
    database: Database, client: TestClient, sent: dict[str, str], error: str
) -> None:
    page = begin(client, start_study(database).links[0])
    answer = save(client, page, version="0", **sent)
    assert (answer.status_code, answer.json()) == (422, {"error": error})
    assert n_stored(database) == (0, 0, 0)


def test_saving_says_why_it_is_over(database: Database, client: TestClient) -> None:
    study = start_study(database)
    page = begin(client, study.links[0])
    unknown = client.post(
        "/rate/" + "0" * 32 + "/save",
        data={},
        headers={"x-form-token": form_token_of(page), "Accept": "application/json"},
    )
    assert (unknown.status_code, unknown.json()) == (404, {"error": "There is no such page among yours."})
    close(database, study)
    closed = save(client, page, version="0", **judgement(page, 3))
    assert (closed.status_code, closed.json()) == (
        409,
        {"error": "This study is closed and takes no more judgements."},
    )
    with database.writing() as session:
        revoke_rater(session, study.slug, 1, utc_now())
    assert save(client, page, version="0", **judgement(page, 3)).status_code == 403
    assert n_stored(database) == (0, 0, 0)


def test_saving_without_the_forms_token_is_refused(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    assert client.post(f"{page.url}/save", data=judgement(page, 3)).status_code == 403
    assert n_stored(database) == (0, 0, 0)


# Two tabs without JavaScript ------------------------------------------------------------------------------------------


def rows_of(page: httpx2.Response) -> list[tuple[str, ...]]:
    """The table of both versions: (answer, stored, sent)."""
    body = page.text.split('<tbody id="conflict-rows">')[1].split("</tbody>")[0]
    return [
        tuple(map(html.unescape, row)) for row in re.findall(r"<th[^>]*>(.*?)</th><td>(.*?)</td><td>(.*?)</td>", body)
    ]


def test_a_stale_form_shows_both_versions_and_lets_the_rater_choose(database: Database, client: TestClient) -> None:
    first_tab = begin(client, start_study(database).links[0])
    second_tab = client.get(str(first_tab.url))
    submit(client, first_tab, **judgement(first_tab, 5, 4, 3, 2, 1), comment="first")
    mine = judgement(second_tab, 5, 1, 3, 2, 1, best=2)
    conflict = submit(client, second_tab, **mine, comment="second")
    assert conflict.status_code == 409
    assert "This neuron was changed in another tab or on another device." in conflict.text
    assert rows_of(conflict) == [
        ("A", "5", "5"),
        ("B", "4", "1"),
        ("C", "3", "3"),
        ("D", "2", "2"),
        ("E", "1", "1"),
        ("Best pick", "A", "C"),
        ("Cannot judge", "–", "–"),
        ("Comment", "first", "second"),
    ]
    assert f'id="keep-theirs" href="{first_tab.url.path}"' in conflict.text
    assert chosen(client.get(str(first_tab.url))) == judgement(first_tab, 5, 4, 3, 2, 1)
    assert chosen(conflict) == mine
    assert submit(client, conflict).status_code == 303
    assert chosen(client.get(str(first_tab.url))) == mine
    assert n_stored(database) == (5, 1, 2)


def test_a_page_that_is_not_stale_shows_no_versions(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    assert re.search(r'<section class="conflict"[^>]* hidden>', page.text)
    assert rows_of(page) == []


# What cannot be judged, and where it is said --------------------------------------------------------------------------


def test_a_neuron_that_cannot_be_judged_is_passed_with_a_reason(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    for words in ("I see no pattern at all", "The page does not show properly"):
        assert words in page.text
    assert submit(client, page, cannot_judge="no_pattern", comment="noise").status_code == 303
    again = client.get(str(page.url))
    assert "You have judged this neuron" in again.text
    assert form_of(again).values["cannot_judge"] == "no_pattern"
    assert n_stored(database) == (0, 0, 1)


def test_a_comment_that_is_too_long_is_given_back(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    answer = submit(client, page, **judgement(page, 3), comment="x" * 2001)
    assert answer.status_code == 422
    assert problem_of(answer.text) == ("Not saved yet. The comment is too long: shorten it to 2000 characters.")
    assert form_of(answer).values["comment"] == "x" * 2001


def test_what_a_rater_writes_is_text_and_never_markup(database: Database, client: TestClient) -> None:
    page = begin(client, start_study(database).links[0])
    evil = "</textarea><b>bold</b>"
    submit(client, page, **judgement(page, 3), comment=evil)
    again = client.get(str(page.url))
    assert "<b>bold" not in again.text
    assert form_of(again).values["comment"] == evil


def test_a_hidden_name_is_nowhere_on_the_page(database: Database, client: TestClient) -> None:
    hidden = PLAIN.model_copy(update={"names_neurons": False})
    study = start_study(database, texts=lambda layer, index, method: f"kind {method[0]}{layer}{index}", protocol=hidden)
    page = begin(client, study.links[0])
    assert "<h1>Neuron 1 of 2</h1>" in page.text
    assert "is a good explanation of this neuron’s behavior" in page.text
    assert re.search(r"\b\d+:\d+\b", page.text) is None


def test_the_time_left_is_said_once_it_is_known(database: Database, client: TestClient) -> None:
    study = start_study(database, n_neurons=6)
    page = begin(client, study.links[0])
    found = []
    for _ in range(4):
        found.append(re.findall(r"about (\d+) minutes? left", page.text))
        with database.writing() as session:
            shown = sa.update(Assignment).where(Assignment.shown_at.is_not(None), Assignment.submitted_at.is_(None))
            session.execute(shown.values(shown_at=utc_now() - timedelta(seconds=70)))
        page = follow(client, submit(client, page, **judgement(page, 3)))
    assert found == [[], [], [], ["4"]]
