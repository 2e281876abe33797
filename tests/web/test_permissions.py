"""Who may ask for what: every route of the site stands in one of four lists, and is asked for by all who may not.

The lists are compared with the routes that there are, so that a new route cannot be forgotten.
"""

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.studies.invitations import make_joining_link
from app.studies.models import Rater
from app.tables import metadata
from app.web.security import is_room_of_raters
from tests.conftest import SignIn
from tests.factories import make_account
from tests.forms import form_token_of
from tests.studies.raters_browser import start_study

Asked = tuple[str, str]
"""Method and path as the application names it."""


def listed(text: str) -> frozenset[Asked]:
    """`GET POST /a` on a line each."""
    lines = [line.split() for line in text.strip().splitlines()]
    return frozenset((method, path) for *methods, path in lines for method in methods)


ADMINS_ALONE = listed("""
    GET      /batches
    GET POST /batches/new
    GET POST /batches/scores/new
    POST     /batches/scores/new/estimate
    GET      /batches/{batch_id}
    GET      /batches/{batch_id}/progress
    POST     /batches/new/estimate
    POST     /batches/{batch_id}/pause
    POST     /batches/{batch_id}/resume
    POST     /batches/{batch_id}/retry
    POST     /batches/{batch_id}/budget
    POST     /batches/{batch_id}/cancel
    GET POST /prices
    POST     /prices/delete
    GET POST /studies/new
    GET POST /studies/import
    GET      /studies/{slug}
    GET      /studies/{slug}/progress
    GET      /studies/{slug}/design.json
    POST     /studies/{slug}/waive
    POST     /studies/{slug}/waive-all
    POST     /studies/{slug}/leave-out
    POST     /studies/{slug}/wording
    POST     /studies/{slug}/dry-run
    POST     /studies/{slug}/open
    POST     /studies/{slug}/invite
    POST     /studies/{slug}/joining-link
    POST     /studies/{slug}/extend
    POST     /studies/{slug}/pause
    POST     /studies/{slug}/resume
    GET POST /studies/{slug}/close
    GET POST /studies/{slug}/unmask
    GET      /studies/{slug}/raters/{number}
    POST     /studies/{slug}/raters/{number}/reclaim
    POST     /studies/{slug}/raters/{number}/revoke
    GET POST /studies/{slug}/raters/{number}/delete
""")
ACCOUNTS = listed("""
    GET      /account
    GET      /neurons
    GET      /neurons/{subject}
    GET      /neurons/{subject}/go
    GET      /neurons/{subject}/{layer}/{index}
    GET      /neurons/{subject}/{layer}/{index}/more/{band}
    GET      /neurons/{subject}/{layer}/{index}/prompts
    GET      /neuron-sets
    GET      /neurons/{subject}/{layer}/{index}/scores/{score_id}
    GET      /studies
    GET      /studies/{slug}/results
    GET      /studies/{slug}/ratings.csv
    GET      /studies/{slug}/judgements.csv
    GET      /studies/{slug}/raters.csv
    GET      /studies/{slug}/table5.csv
    GET      /tables
    GET      /tables/{file_name}
    GET      /api/v1/openapi.json
    GET      /api/v1/neurons/{subject}/{layer}/{index}
""")
"""Researchers and admins."""
RATERS = listed("""
    GET      /rate
    POST     /rate/leave
    GET POST /rate/consent
    GET POST /rate/instructions
    GET      /rate/practice
    GET POST /rate/practice/{token}
    GET POST /rate/review
    GET POST /rate/survey
    GET      /rate/done
    GET POST /rate/{token}
    POST     /rate/{token}/save
""")
ANYBODY = listed("""
    GET      /
    GET      /healthz
    GET POST /login
    POST     /logout
    GET POST /r/{code}
    GET POST /join/{code}
    GET      /rate/left
    GET      /rate/declined
""")
"""Raters only where it is one of their rooms."""

VALUES = {"slug": "demo", "number": "1", "batch_id": "1", "subject": "toy-demo", "layer": "0", "index": "0"}
VALUES |= {"score_id": "1", "file_name": "1.csv", "band": "top", "code": "0" * 32, "token": "0" * 32}


def in_order(asked: frozenset[Asked]) -> list[Asked]:
    return sorted(asked, key=lambda one: (one[1], one[0]))


def ask(client: TestClient, asked: Asked, form_token: str) -> tuple[int, str, str]:
    """Status, where it leads and what it says, of the route with real values and a form token that is this browser's:
    a form is refused for nothing but who sends it."""
    method, path = asked
    data = {"form_token": form_token} if method == "POST" else None
    answer = client.request(method, path.format(**VALUES), data=data)
    return answer.status_code, answer.headers.get("location", ""), answer.text


def contents(session: Session) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables but the leases, which every visit of a rater renews."""
    rows = {}
    for table in metadata.sorted_tables:
        columns = [column for column in table.columns if column.name not in ("seen_at", "lease_until")]
        rows[table.name] = sorted((tuple(row) for row in session.execute(sa.select(*columns))), key=repr)
    return rows


def all_rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.reading() as session:
        return contents(session)


@pytest.fixture
def study(database: Database) -> None:
    """The open study `demo`, with raters and a joining link."""
    start_study(database)
    with database.writing() as session:
        make_joining_link(session, "demo", 5, utc_now(), "ada")


@pytest.fixture
def rater_client(client: TestClient, database: Database, sign_in: SignIn, study: None) -> TestClient:
    with database.reading() as session:
        rater_id = session.scalars(sa.select(Rater.id).where(Rater.number == 1)).one()
    return sign_in(client, rater_id=rater_id)


def test_every_route_says_who_may_ask_for_it(site: FastAPI) -> None:
    """Whoever adds a route decides here who may use it."""
    routes = {
        (method, route.path)
        for route in iter_route_contexts(site.routes)
        for method in route.methods or ()
        if route.path is not None
    }
    lists = (ADMINS_ALONE, ACCOUNTS, RATERS, ANYBODY)
    assert routes == frozenset().union(*lists)
    assert len(routes) == sum(map(len, lists)), "each stands in one list"


def test_no_route_takes_another_method(site: FastAPI) -> None:
    """HEAD, PUT, PATCH or DELETE would pass by what is said here of GET and POST."""
    methods = {method for route in iter_route_contexts(site.routes) for method in route.methods or ()}
    assert methods == {"GET", "POST"}


def test_a_rater_gets_nothing_of_admins_and_researchers(rater_client: TestClient, database: Database) -> None:
    form_token = form_token_of(rater_client.get("/rate/instructions"))
    before = all_rows(database)
    for asked in in_order(ADMINS_ALONE | ACCOUNTS):
        status, _, said = ask(rater_client, asked, form_token)
        assert (status, "raters see nothing but their own ratings" in said) == (403, True), asked
    for asked in in_order(ANYBODY):
        if not is_room_of_raters(asked[1]):
            assert ask(rater_client, asked, form_token)[0] == 403, asked
    assert all_rows(database) == before


def test_a_researcher_gets_nothing_of_admins(researcher_client: TestClient, database: Database, study: None) -> None:
    form_token = form_token_of(researcher_client.get("/account"))
    before = all_rows(database)
    for asked in in_order(ADMINS_ALONE):
        status, _, said = ask(researcher_client, asked, form_token)
        assert (status, "This page is for admins." in said) == (403, True), asked
    assert all_rows(database) == before


def test_a_stranger_is_asked_to_sign_in(client: TestClient, database: Database, study: None) -> None:
    form_token = form_token_of(client.get("/login"))
    before = all_rows(database)
    for asked in in_order(ADMINS_ALONE | ACCOUNTS):
        status, leads_to, said = ask(client, asked, form_token)
        method, path = asked
        if method == "POST" or path.startswith("/api/"):
            assert (status, "Sign in to see this page." in said) == (401, True), asked
        else:
            assert (status, leads_to) == (303, f"/login?next={path.format(**VALUES)}"), asked
    assert all_rows(database) == before


def test_raters_come_by_invitation_alone(
    client: TestClient, researcher_client: TestClient, database: Database, sign_in: SignIn, study: None
) -> None:
    """Neither a stranger nor a researcher nor an admin is a rater, whatever they ask for."""
    before = all_rows(database)
    for browser, page in ((client, "/login"), (researcher_client, "/account")):
        form_token = form_token_of(browser.get(page))
        for asked in in_order(RATERS):
            status, _, said = ask(browser, asked, form_token)
            assert (status, "Raters come by invitation" in said) == (403, True), asked
    assert all_rows(database) == before
    with database.writing() as session:
        account_id = make_account(session, "ada").id
    sign_in(client, account_id=account_id)
    form_token = form_token_of(client.get("/account"))
    assert {ask(client, asked, form_token)[0] for asked in RATERS} == {403}


def test_those_who_may_are_not_kept_out(admin_client: TestClient, researcher_client: TestClient, study: None) -> None:
    """The refusals above say something only if the same requests are answered to others."""
    for client, lists in ((admin_client, ADMINS_ALONE | ACCOUNTS), (researcher_client, ACCOUNTS)):
        for asked in in_order(lists):
            if asked[0] == "GET":
                # There is no batch, and under the embargo the files are a conflict: those are answers too.
                status, leads_to, _ = ask(client, asked, "")
                assert status not in (401, 403), asked
                assert not leads_to.startswith("/login"), asked


def test_every_form_of_admins_needs_its_token(admin_client: TestClient, database: Database, study: None) -> None:
    before = all_rows(database)
    for asked in in_order(ADMINS_ALONE):
        if asked[0] == "POST":
            for wrong in ("", "0" * 64):
                status, _, said = ask(admin_client, asked, wrong)
                assert (status, "This form has expired" in said) == (403, True), asked
    assert all_rows(database) == before


def test_no_form_is_taken_from_another_site(rater_client: TestClient) -> None:
    """Not even with the right token: the origin alone decides."""
    form_token = form_token_of(rater_client.get("/rate/instructions"))
    rater_client.headers["Origin"] = "https://evil.example"
    for asked in in_order(ADMINS_ALONE | RATERS | ANYBODY):
        if asked[0] == "POST":
            status, _, said = ask(rater_client, asked, form_token)
            assert (status, "came from another site" in said) == (403, True), asked
