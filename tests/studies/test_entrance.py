"""How raters come in: by an invitation or a joining link, unless they have seen the methods or the study is paused."""

import html
import re
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.accounts.sessions import find_visitor
from app.database import Database, utc_now
from app.explanations.models import ExplanationView
from app.studies.invitations import dry_run
from app.studies.models import Rater, StudyNeuron
from app.web.cookies import SESSION_COOKIE
from tests.forms import form_of, forms_of, submit
from tests.studies.raters_browser import (
    close,
    enter,
    follow,
    start_study,
)
from tests.studies.steps import FULL, at_review, joining_link, rater_row, words

IDS = {"PROLIFIC_PID": "person-1", "STUDY_ID": "their-study", "SESSION_ID": "their-session"}


def test_the_invitation_says_what_comes_and_stores_nothing(database: Database, client: TestClient) -> None:
    study = start_study(database, n_neurons=4, protocol=FULL)
    welcome = client.get(study.links[0])
    assert (welcome.status_code, welcome.headers["cache-control"]) == (200, "no-store")
    assert "You are invited to judge Which description fits?" in words(welcome)
    assert "There are 4 neurons to judge." in words(welcome)
    assert SESSION_COOKIE not in client.cookies
    assert rater_row(database).seen_at is None


def test_whoever_comes_back_reads_how_far_they_are(database: Database, client: TestClient) -> None:
    study, _ = at_review(database, client)
    welcome = client.get(study.links[0])
    assert "Welcome back" in words(welcome)
    assert "You have judged 2 of 2 neurons." in words(welcome)
    assert str(follow(client, submit(client, welcome)).url).endswith("/rate/review")


@pytest.mark.parametrize("link", ["invitation", "joining"])
def test_a_second_click_that_the_first_has_overtaken_is_let_in_too(
    database: Database, client: TestClient, link: str
) -> None:
    """The form was made for a browser nobody was signed in on; the first click's answer has changed that."""
    study = start_study(database)
    # The second link comes to a browser in which somebody is a rater already.
    for address in study.links if link == "invitation" else [joining_link(database, study)]:
        welcome = client.get(address)
        first, second = (submit(client, welcome) for _ in range(2))
        assert (first.status_code, first.headers["location"]) == (303, "/rate")
        assert second.status_code == 303
        inside = rater_inside(database, client)
        assert str(follow(client, second).url) == str(follow(client, first).url)
        assert rater_inside(database, client) == inside


def test_an_old_form_of_another_invitation_lets_nobody_in(database: Database, client: TestClient) -> None:
    study = start_study(database)
    old = client.get(study.links[1])
    enter(client, study.links[0])
    first = rater_inside(database, client)
    again = follow(client, submit(client, old))
    assert "Please press the button again" in words(again)
    assert rater_inside(database, client) == first
    assert str(follow(client, submit(client, again)).url).endswith("/rate/instructions")
    assert rater_inside(database, client) not in (None, first)


def test_an_old_form_keeps_what_the_recruiting_site_has_added(database: Database, client: TestClient) -> None:
    study = start_study(database)
    link = joining_link(database, study)
    of_second = client.get(link, params=IDS | {"PROLIFIC_PID": "person-2"})
    submit(client, client.get(link, params=IDS))
    assert joined(database) == [(3, "person-1")]
    again = follow(client, submit(client, of_second))
    assert "Please press the button again" in words(again)
    assert joined(database) == [(3, "person-1")]
    assert submit(client, again).headers["location"] == "/rate"
    assert joined(database) == [(3, "person-1"), (4, "person-2")]
    # Somebody else's session is no second click; their own is.
    of_first = client.get(link, params=IDS)
    for _ in range(2):
        last = follow(client, submit(client, of_first))
    assert str(last.url).endswith("/rate/instructions")
    assert joined(database) == [(3, "person-1"), (4, "person-2")]


def test_a_second_click_of_a_session_that_the_first_has_ended_comes_in_too(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database)
    enter(client, study.links[0])
    new_client.cookies.update(client.cookies)
    welcome = client.get(study.links[1])
    submit(client, welcome)
    # The second one was sent before the first one's answer came: with the cookie of the session that is over.
    again = follow(new_client, submit(new_client, welcome))
    assert again.status_code == 200
    assert "Please press the button again" in words(again)


def rater_inside(database: Database, client: TestClient) -> int | None:
    with database.reading() as session:
        visitor = find_visitor(session, client.cookies[SESSION_COOKIE])
        return None if visitor is None else visitor.rater_id


def test_what_a_recruiting_site_adds_to_the_link_is_kept_once(database: Database, client: TestClient) -> None:
    study = start_study(database)
    welcome = client.get(study.links[0], params=IDS)
    assert {name: form_of(welcome).values[name] for name in IDS} == IDS
    assert rater_row(database).external_id is None
    submit(client, welcome)
    submit(client, client.get(study.links[0], params={"PROLIFIC_PID": "somebody else"}))
    rater = rater_row(database)
    assert (rater.external_id, rater.external_study, rater.external_session) == tuple(IDS.values())


def joined(database: Database) -> list[tuple[int, str | None]]:
    with database.reading() as session:
        query = sa.select(Rater.number, Rater.external_id).where(Rater.external_id.is_not(None))
        return [(number, name) for number, name in session.execute(query.order_by(Rater.number))]


def test_the_joining_link_makes_one_rater_of_one_person(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database, n_raters=2)
    link = joining_link(database, study)
    welcome = client.get(link, params=IDS)
    assert joined(database) == []
    assert submit(client, welcome).headers["location"] == "/rate"
    assert submit(new_client, new_client.get(link, params=IDS)).headers["location"] == "/rate"
    assert joined(database) == [(3, "person-1")]


def test_who_joins_without_a_name_gets_one_that_a_double_click_repeats(database: Database, client: TestClient) -> None:
    study = start_study(database, n_raters=2)
    link = joining_link(database, study)
    welcome = client.get(link)
    sent = form_of(welcome).values
    assert re.fullmatch(r"joined-[0-9a-f]{32}", sent["PROLIFIC_PID"])
    assert submit(client, welcome).status_code == 303
    assert str(follow(client, client.post(link, data=sent)).url).endswith("/rate/instructions")
    assert joined(database) == [(3, sent["PROLIFIC_PID"])]
    assert client.get(link).headers["location"] == "/rate", "this browser is the rater's already"


def test_a_joining_link_ends_with_its_places(database: Database, client: TestClient, new_client: TestClient) -> None:
    study = start_study(database)
    link = joining_link(database, study, most=1)
    submit(client, client.get(link))
    refused = submit(new_client, new_client.get(link))
    assert refused.status_code == 403
    assert "All places in this study are taken" in html.unescape(refused.text)
    assert len(joined(database)) == 1


def test_an_unknown_joining_link_and_one_of_a_closed_study_are_refused(database: Database, client: TestClient) -> None:
    study = start_study(database)
    link = joining_link(database, study)
    assert client.get("/join/" + "0" * 32).status_code == 403
    close(database, study)
    assert client.get(link).status_code == 409


def test_joining_links_cannot_be_guessed_in_bulk(database: Database, client: TestClient) -> None:
    statuses = [client.get(f"/join/{number:032x}").status_code for number in range(61)]
    assert statuses == [403] * 60 + [429]


def test_whoever_has_seen_the_methods_is_told_kindly_and_kept_out(database: Database, admin_client: TestClient) -> None:
    study = start_study(database)
    links = (study.links[0], joining_link(database, study))
    welcomes = [admin_client.get(link) for link in links]
    with database.writing() as session:
        neuron_id = session.scalars(sa.select(StudyNeuron.neuron_id).limit(1)).one()
        session.add(ExplanationView(account_id=1, neuron_id=neuron_id))
    for link, welcome in zip(links, welcomes, strict=True):
        for answer in (admin_client.get(link), submit(admin_client, welcome)):
            assert answer.status_code == 403
            assert "It was signed in to the account ada" in words(answer)
            assert "ask an admin for a dry run" in words(answer)
            assert forms_of(answer) == []
    assert joined(database) == []


def test_a_dry_run_is_open_to_whoever_has_seen_the_methods(database: Database, admin_client: TestClient) -> None:
    study = start_study(database)
    with database.writing() as session:
        neuron_id = session.scalars(sa.select(StudyNeuron.neuron_id).limit(1)).one()
        session.add(ExplanationView(account_id=1, neuron_id=neuron_id))
        code = dry_run(session, study.slug, utc_now(), "ada").code
    welcome = admin_client.get(f"/r/{code}")
    assert "To judge as a rater you will be signed out of it." in words(welcome)
    assert str(enter(admin_client, f"/r/{code}").url).endswith("/rate/instructions")


def test_whoever_tries_too_often_gets_back_to_their_own_link(database: Database, client: TestClient) -> None:
    study = start_study(database)
    statuses = {client.get(study.links[0], params=IDS).status_code for _ in range(30)}
    refused = client.get(study.links[0], params=IDS)
    assert (statuses, refused.status_code) == ({200}, 429)
    back = re.search(r'href="([^"]*)">Try again', refused.text)
    assert back is not None
    assert html.unescape(back[1]) == f"{study.links[0]}?{urlencode(IDS)}"
