"""Signing in and out through the real forms."""

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.accounts.forms import local_path
from app.accounts.models import Account, BrowserSession
from app.accounts.sessions import find_visitor
from app.database import Database
from app.main import create_app
from app.settings import Settings
from app.web.cookies import SESSION_COOKIE
from tests.factories import make_account
from tests.forms import Answer, submit

PASSWORD = "correct horse battery"
# Cheap parameters: these tests are about the form. The hash is outdated, and signing in makes a proper one of it.
CHEAP = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)


@pytest.fixture
def ada(database: Database) -> None:
    with database.writing() as session:
        make_account(session, "ada", password_hash=CHEAP)


def sign_in(client: TestClient, address: str = "/login", name: str = "ada", password: str = PASSWORD) -> Answer:
    return submit(client, client.get(address), "/login", name=name, password=password)


@pytest.mark.usefixtures("ada")
def test_signing_in_leads_where_one_was_going(client: TestClient) -> None:
    refused = client.get("/neurons?subject=toy&layer=3")
    assert (refused.status_code, refused.headers["location"]) == (
        303,
        "/login?next=/neurons%3Fsubject%3Dtoy%26layer%3D3",
    )
    response = sign_in(client, refused.headers["location"])
    assert (response.status_code, response.headers["location"]) == (303, "/neurons?subject=toy&layer=3")
    assert client.get("/neurons").status_code == 200


@pytest.mark.usefixtures("ada")
def test_the_session_cookie_is_kept_from_scripts_and_other_sites(client: TestClient) -> None:
    cookie = sign_in(client).headers["set-cookie"].lower()
    assert cookie.startswith("neuronjury_session=")
    assert "; httponly" in cookie
    assert "; samesite=lax" in cookie
    assert "; path=/" in cookie
    assert "; secure" not in cookie


@pytest.mark.usefixtures("ada")
def test_behind_https_the_cookie_is_secure_and_the_site_insists_on_https(settings: Settings) -> None:
    settings = settings.model_copy(update={"public_url": "https://jury.example"})
    headers = {"Origin": "https://jury.example"}
    with TestClient(create_app(settings), "https://jury.example", headers=headers, follow_redirects=False) as client:
        response = sign_in(client)
    assert "; secure" in response.headers["set-cookie"].lower()
    assert response.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(("name", "password"), [("ada", "wrong password"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_name_and_a_wrong_password_read_the_same(client: TestClient, name: str, password: str) -> None:
    response = sign_in(client, name=name, password=password)
    assert response.status_code == 401
    assert "The name or the password is wrong." in response.text
    assert SESSION_COOKIE not in client.cookies
    assert f'name="name" value="{name}"' in response.text
    assert PASSWORD not in response.text


@pytest.mark.usefixtures("ada")
def test_signing_in_never_keeps_an_id_that_the_browser_brought(client: TestClient, database: Database) -> None:
    client.cookies.set(SESSION_COOKIE, "planted-by-somebody-else")
    response = sign_in(client)
    assert response.status_code == 303
    assert "planted-by-somebody-else" not in response.headers["set-cookie"]
    with database.reading() as session:
        assert find_visitor(session, "planted-by-somebody-else") is None
        assert session.scalar(sa.select(sa.func.count()).select_from(BrowserSession)) == 1


@pytest.mark.usefixtures("ada")
def test_an_outdated_hash_is_renewed_when_its_password_is_known(client: TestClient, database: Database) -> None:
    sign_in(client)
    with database.reading() as session:
        renewed = session.scalars(sa.select(Account.password_hash)).one()
    assert renewed != CHEAP
    assert PasswordHasher().verify(renewed, PASSWORD)
    assert not PasswordHasher().check_needs_rehash(renewed)


@pytest.mark.usefixtures("ada")
def test_signing_out_ends_the_session_on_the_server(client: TestClient, database: Database) -> None:
    sign_in(client)
    value = client.cookies[SESSION_COOKIE]
    response = submit(client, client.get("/account"), "/logout")
    assert response.headers["location"] == "/login"
    assert SESSION_COOKIE not in client.cookies
    assert "You are signed out." in client.get("/login").text
    client.cookies.set(SESSION_COOKIE, value)
    assert client.get("/account").status_code == 303


def test_the_eleventh_attempt_on_a_name_is_refused_and_other_names_go_on(site: FastAPI, client: TestClient) -> None:
    form = client.get("/login")
    # Nine attempts counted without their argon2, which would take seconds.
    for _ in range(9):
        site.state.attempts.count("login", "testclient", "ada")
    assert submit(client, form, name="ada", password="wrong").status_code == 401
    refused = submit(client, form, name="Ada ", password="wrong")
    assert refused.status_code == 429
    assert "Too many attempts from your network." in refused.text
    assert submit(client, form, name="grace", password="wrong").status_code == 401


def test_an_account_made_for_nobody_cannot_be_signed_in_to(client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_account(session, "ada", password_hash="no password")
    assert sign_in(client, password="no password").status_code == 401


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "evil",
        "",
        "javascript:alert(1)",
    ],
)
def test_signing_in_never_leads_to_another_site(address: str) -> None:
    assert local_path(address) == "/"


@pytest.mark.parametrize("address", ["/", "/neurons?subject=toy", "/studies/demo/results"])
def test_signing_in_leads_to_any_page_of_this_site(address: str) -> None:
    assert local_path(address) == address


def test_who_is_signed_in_is_sent_on_from_the_login_page(admin_client: TestClient) -> None:
    assert admin_client.get("/login?next=/neurons").headers["location"] == "/neurons"
