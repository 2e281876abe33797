"""The start page, the health check, error pages and notices."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.accounts.models import ADMIN, Account
from app.database import Database
from app.errors import InvalidInput
from app.main import create_app
from app.settings import Settings
from app.web.dependencies import SessionDep
from app.web.limiting import LIMITS, AttemptCounter
from app.web.templating import redirect
from tests.factories import make_account, make_subject


def test_the_health_check_reaches_the_database(client: TestClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_the_health_check_fails_without_a_database(tmp_path: Path) -> None:
    nowhere = tmp_path / "no-such-folder" / "study.sqlite"
    settings = Settings(data=tmp_path, database_url=f"sqlite:///{nowhere}", secret="x" * 32)
    with TestClient(create_app(settings)) as client:
        response = client.get("/healthz")
    assert (response.status_code, response.json()) == (503, {"status": "no database"})


def test_a_weak_secret_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="NEURONJURY_SECRET has 5 characters"):
        create_app(Settings(data=tmp_path, secret="short"))


def test_the_start_page_says_what_this_is_and_where_to_sign_in(client: TestClient) -> None:
    html = client.get("/").text
    assert "Which explanations of neurons do people believe?" in html
    assert 'href="/login"' in html
    assert 'href="/neurons"' not in html


def test_the_start_page_says_how_to_record_while_nothing_is(admin_client: TestClient) -> None:
    html = admin_client.get("/").text
    assert "Nothing is recorded yet" in html
    assert "neuronjury record --help" in html


def test_the_start_page_shows_subjects_and_what_the_role_allows(
    admin_client: TestClient, researcher_client: TestClient, database: Database
) -> None:
    with database.writing() as session:
        make_subject(session, n_layers=30, n_neurons_per_layer=1536)
    for_admin, for_researcher = admin_client.get("/").text, researcher_client.get("/").text
    assert "46,080 neurons in 30 layers" in for_admin
    assert "46,080 neurons in 30 layers" in for_researcher
    assert "Open batches" in for_admin
    assert "Open batches" not in for_researcher


def test_an_unknown_page_is_a_friendly_404(client: TestClient) -> None:
    response = client.get("/no-such-page")
    assert response.status_code == 404
    assert "No page has this address." in response.text


def test_a_wrong_method_says_so(client: TestClient) -> None:
    assert client.delete("/login").status_code in (403, 405)


def test_an_error_is_json_for_a_program(client: TestClient) -> None:
    response = client.get("/no-such-page", headers={"Accept": "application/json"})
    assert response.json() == {"error": "No page has this address. The link may be old or mistyped."}


def test_a_wrong_query_is_explained(admin_client: TestClient) -> None:
    response = admin_client.get("/neurons?after=first")
    assert response.status_code == 422
    assert "After: String should match pattern" in response.text


def test_a_notice_is_shown_once_as_text(site: FastAPI, client: TestClient) -> None:
    @site.get("/moved")
    def moved() -> object:
        return redirect("/", notice="Saved: <b>5 neurons</b>, ü.")

    client.get("/moved")
    assert "Saved: &lt;b&gt;5 neurons&lt;/b&gt;, ü." in client.get("/").text
    assert "Saved" not in client.get("/").text


def test_a_route_that_raises_leaves_nothing_behind(site: FastAPI, admin_client: TestClient, database: Database) -> None:
    @site.post("/half-done")
    def half_done(session: SessionDep) -> None:
        make_account(session, "half")
        raise InvalidInput("the second half is missing")

    token = re.search(r'name="form_token" value="(\w+)"', admin_client.get("/account").text)
    assert token is not None
    response = admin_client.post("/half-done", data={"form_token": token[1]})
    assert response.status_code == 400
    assert "The second half is missing." in response.text
    with database.reading() as session:
        names = session.scalars(sa.text("SELECT name FROM account")).all()
    assert names == ["ada"]


def test_a_response_says_success_only_after_the_commit(
    site: FastAPI, admin_client: TestClient, database: Database
) -> None:
    @site.post("/stores")
    def stores(session: SessionDep, name: str) -> None:
        # Not flushed: only the commit finds out that a name is taken.
        session.add(Account(name=name, role=ADMIN, password_hash="no password"))

    token = re.search(r'name="form_token" value="(\w+)"', admin_client.get("/account").text)
    assert token is not None
    unraised = TestClient(site, str(admin_client.base_url), raise_server_exceptions=False)
    unraised.headers.update(admin_client.headers)
    unraised.cookies.update(admin_client.cookies)
    assert unraised.post("/stores?name=grace", data={"form_token": token[1]}).status_code == 200
    assert unraised.post("/stores?name=ada", data={"form_token": token[1]}).status_code == 500
    with database.reading() as session:
        assert session.scalars(sa.select(Account.name).order_by(Account.name)).all() == ["ada", "grace"]


def test_attempts_are_counted_by_kind_and_by_whom() -> None:
    attempts = AttemptCounter()
    for _ in range(LIMITS["login"].amount):
        attempts.count("login", "10.0.0.1", "ada")
    with pytest.raises(Exception, match="Too many attempts"):
        attempts.count("login", "10.0.0.1", "ada")
    attempts.count("login", "10.0.0.2", "ada")
    attempts.count("login", "10.0.0.1", "grace")
    attempts.count("invitation", "10.0.0.1", "ada")
