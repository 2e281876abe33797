"""The mark that says which accounts were ever signed in on a browser."""

from fastapi import Request, Response
from starlette.testclient import TestClient

from app.accounts.creating import create_account
from app.accounts.known_browser import MOST_ACCOUNTS, SEEN_COOKIE, mark_browser, marked_accounts
from app.database import Database
from app.main import create_app
from app.settings import Settings
from tests.forms import submit

PASSWORD = "a long enough password"


def request_with(settings: Settings, cookie: str = "") -> Request:
    headers = [(b"cookie", f"{SEEN_COOKIE}={cookie}".encode())] if cookie else []
    return Request({"type": "http", "headers": headers, "app": create_app(settings)})


def marked(settings: Settings, cookie: str, account_id: int) -> tuple[str, str]:
    """The cookie's new value, and everything that is said about it."""
    response = Response()
    mark_browser(request_with(settings, cookie), response, account_id)
    value, _, attributes = response.headers["set-cookie"].partition(";")
    return value.partition("=")[2].strip('"'), attributes


def test_the_mark_adds_up_accounts(settings: Settings) -> None:
    one, _ = marked(settings, "", 7)
    two, attributes = marked(settings, one, 3)
    again, _ = marked(settings, two, 7)
    assert marked_accounts(request_with(settings, one)) == (7,)
    assert marked_accounts(request_with(settings, two)) == (7, 3)
    assert marked_accounts(request_with(settings, again)) == (3, 7)
    assert {"HttpOnly", "SameSite=lax", f"Max-Age={365 * 24 * 3600}"} <= {
        part.strip() for part in attributes.split(";")
    }


def test_a_mark_that_this_site_did_not_sign_says_nothing(settings: Settings) -> None:
    value, _ = marked(settings, "", 7)
    signature = value.partition("~")[2]
    for forged in (f"8~{signature}", value[:-1] + "x", "7", "7~", "~", "x~y"):
        assert marked_accounts(request_with(settings, forged)) == ()
    assert marked_accounts(request_with(settings)) == ()


def test_the_mark_is_bounded_and_keeps_the_latest(settings: Settings) -> None:
    value = ""
    for account_id in range(1, MOST_ACCOUNTS + 3):
        value, _ = marked(settings, value, account_id)
    assert marked_accounts(request_with(settings, value)) == tuple(range(3, MOST_ACCOUNTS + 3))
    assert len(value) < 1000


def test_only_https_sites_ask_for_https(settings: Settings) -> None:
    secure = settings.model_copy(update={"public_url": "https://lab.example"})
    assert "Secure" in marked(secure, "", 1)[1]
    assert "Secure" not in marked(settings, "", 1)[1]


def test_signing_in_marks_the_browser_and_signing_out_keeps_the_mark(
    database: Database, client: TestClient, settings: Settings
) -> None:
    with database.writing() as session:
        account_id = create_account(session, "ada", "admin", PASSWORD).id
    submit(client, client.get("/login"), name="ada", password=PASSWORD)
    cookie = client.cookies[SEEN_COOKIE]
    assert marked_accounts(request_with(settings, cookie)) == (account_id,)
    submit(client, client.get("/account"), "/logout")
    assert marked_accounts(request_with(settings, client.cookies[SEEN_COOKIE])) == (account_id,)


def test_signing_out_marks_a_browser_that_has_no_mark_yet(admin_client: TestClient, settings: Settings) -> None:
    assert SEEN_COOKIE not in admin_client.cookies
    submit(admin_client, admin_client.get("/account"), "/logout")
    assert len(marked_accounts(request_with(settings, admin_client.cookies[SEEN_COOKIE]))) == 1


def test_a_wrong_password_marks_nothing(client: TestClient) -> None:
    submit(client, client.get("/login"), name="ada", password="wrong")
    assert SEEN_COOKIE not in client.cookies
