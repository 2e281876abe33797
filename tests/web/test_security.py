"""Headers, origins, form tokens, sizes, and the rooms of raters, on the real site."""

import asyncio
import json
import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient
from starlette.types import Message

from app.accounts.models import BrowserSession
from app.database import Database, utc_now
from app.settings import Settings
from app.studies.models import Rater, Study
from app.web.cookies import SESSION_COOKIE
from app.web.dependencies import SessionDep
from app.web.security import LARGEST_REQUEST, ROOMS_OF_RATERS, is_room_of_raters
from app.web.static_files import static_url
from tests.conftest import SignIn
from tests.factories import make_subject
from tests.forms import form_token_of, submit

PAGES = ["/", "/login", "/healthz", "/no-such-page", "/static/no-such-file", "/api/v1/neurons/toy/0/0"]


@pytest.mark.parametrize("address", PAGES)
def test_every_response_carries_the_security_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["permissions-policy"].startswith("camera=()")
    assert headers["cache-control"] in ("no-store", "no-cache")


def test_an_unexpected_error_tells_nothing_and_keeps_the_headers(site: FastAPI, settings: Settings) -> None:
    @site.get("/breaks")
    def breaks() -> None:
        raise RuntimeError("the secret of the house")

    with TestClient(site, base_url=settings.public_url, raise_server_exceptions=False) as client:
        response = client.get("/breaks", headers={"Accept": "text/html"})
        as_json = client.get("/breaks", headers={"Accept": "application/json"})
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.text
    assert "secret of the house" not in response.text
    assert "Traceback" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["cache-control"] == "no-store"
    assert list(as_json.json()) == ["error"]


def test_the_log_of_an_unexpected_error_holds_no_invitation_and_no_value_of_a_statement(
    site: FastAPI, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"key": "the key of the orders"}

    @site.get("/r/{code}/breaks")
    def breaks(session: SessionDep) -> None:
        session.execute(sa.text("SELECT * FROM no_such_table WHERE x = :key"), values)

    answer = TestClient(site, base_url="http://127.0.0.1:8000", raise_server_exceptions=False).get("/r/c0de/breaks")
    assert answer.status_code == 500
    assert "unexpected error at GET /r/..." in caplog.text
    assert "no_such_table" in caplog.text
    assert "c0de" not in caplog.text
    assert "the key of the orders" not in caplog.text


def test_static_files_named_by_their_content_are_kept_for_good(client: TestClient) -> None:
    named = client.get(static_url("app.css"))
    assert named.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/static/app.css").headers["cache-control"] == "no-cache"
    assert client.get("/static/app.css?v=000000000000").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000.evil.example"},
        {"Origin": "", "Referer": "https://evil.example/http://127.0.0.1:8000/"},
        {"Origin": "", "Referer": "http://[broken"},
        {"Origin": ""},
    ],
)
def test_an_unsafe_request_from_elsewhere_is_refused(admin_client: TestClient, headers: dict[str, str]) -> None:
    token = form_token_of(admin_client.get("/account"))
    response = admin_client.post("/logout", data={"form_token": token}, headers=headers)
    assert response.status_code == 403
    assert "came from another site" in response.text
    assert admin_client.get("/account").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "", "Referer": "http://127.0.0.1:8000/account"},
        {"Origin": "http://jury.lan", "Host": "jury.lan"},
    ],
)
def test_an_unsafe_request_from_this_site_is_carried_out(admin_client: TestClient, headers: dict[str, str]) -> None:
    token = form_token_of(admin_client.get("/account"))
    assert admin_client.post("/logout", data={"form_token": token}, headers=headers).status_code == 303


@pytest.mark.parametrize("token", [None, "", "0" * 64, "ü"])
def test_a_form_without_its_token_is_refused(admin_client: TestClient, token: str | None) -> None:
    response = admin_client.post("/logout", data={} if token is None else {"form_token": token})
    assert response.status_code == 403
    assert "This form has expired" in response.text
    assert admin_client.get("/account").status_code == 200


def test_a_token_of_another_browser_is_refused(admin_client: TestClient, researcher_client: TestClient) -> None:
    token = form_token_of(researcher_client.get("/account"))
    assert admin_client.post("/logout", data={"form_token": token}).status_code == 403


def test_a_script_may_send_the_token_as_a_header(admin_client: TestClient) -> None:
    token = form_token_of(admin_client.get("/account"))
    assert admin_client.post("/logout", headers={"X-Form-Token": token}).status_code == 303


def test_an_anonymous_form_needs_the_cookie_that_came_with_it(client: TestClient) -> None:
    page = client.get("/login")
    assert submit(client, page, name="ada", password="wrong").status_code == 401
    client.cookies.clear()
    assert submit(client, page, name="ada", password="wrong").status_code == 403


def test_an_anonymous_form_stays_valid_when_another_page_is_opened(client: TestClient) -> None:
    page = client.get("/login")
    client.get("/login")
    assert submit(client, page, name="ada", password="wrong").status_code == 401


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_request_that_is_too_large_is_refused(client: TestClient, is_chunked: bool) -> None:
    body = b"name=" + b"x" * LARGEST_REQUEST

    def chunks() -> Iterator[bytes]:
        yield from (body[start : start + 65536] for start in range(0, len(body), 65536))

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = client.post("/login", content=chunks() if is_chunked else body, headers=headers)
    assert response.status_code == 413
    assert "The request is larger than 1024 KiB." in response.text


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape", "UTF-7", '"idna"', ""])
def test_a_form_in_another_encoding_than_utf_8_is_refused_unread(client: TestClient, charset: str) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n\\ud800\r\n--B--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=B; charset={charset}"}
    assert client.post("/login", content=body, headers=headers).status_code == 415


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf8"'])
def test_a_form_that_says_it_is_utf_8_is_read(client: TestClient, charset: str) -> None:
    token = form_token_of(client.get("/login"))
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    body = f"name=ada&password=wrong&form_token={token}"
    assert client.post("/login", content=body, headers=headers).status_code == 401


def test_a_nul_character_is_refused_everywhere(client: TestClient, admin_client: TestClient) -> None:
    for address in ("/studies/%00", "/neurons/%00/0/0", "/neurons?subject=%00", "/login?next=%00"):
        response = admin_client.get(address)
        assert (response.status_code, "NUL character" in response.text) == (400, True), address
    page = admin_client.get("/account")
    assert admin_client.post("/logout", data={"form_token": form_token_of(page), "x": "a\0"}).status_code == 400
    client.cookies.clear()
    assert submit(client, client.get("/login"), name="ada\0", password="wrong").status_code == 400


def test_no_transaction_is_open_while_a_body_is_still_arriving(
    site: FastAPI, client: TestClient, database: Database, sign_in: SignIn
) -> None:
    # A token in the header once let the route begin before the body was read: one slow browser kept all others from
    # writing.
    sign_in(client, rater_id=make_rater(database))
    with database.reading() as session:
        token = session.scalars(sa.select(BrowserSession.form_token)).one()
    headers = {
        "host": "127.0.0.1:8000",
        "origin": "http://127.0.0.1:8000",
        "cookie": f"{SESSION_COOKIE}={client.cookies[SESSION_COOKIE]}",
        "x-form-token": token,
        "content-type": "application/x-www-form-urlencoded",
    }
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/rate/0",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "root_path": "",
    }
    arriving = [b"best=0", b"0", b"0"]
    connections_in_use: list[int] = []
    statuses: list[int] = []

    async def receive() -> Message:
        connections_in_use.append(site.state.database.engine.pool.checkedout())
        return {"type": "http.request", "body": arriving.pop(0), "more_body": bool(arriving)}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    asyncio.run(site(scope, receive, send))
    assert connections_in_use == [0, 0, 0]
    assert statuses == [404]


def test_a_page_with_a_form_token_is_never_compressed_and_others_are(admin_client: TestClient) -> None:
    assert "content-encoding" not in admin_client.get("/account").headers
    home = admin_client.get("/")
    assert home.headers["content-encoding"] == "gzip"
    assert "Nothing is recorded yet" in home.text
    assert "content-encoding" not in admin_client.get("/", headers={"Accept-Encoding": "identity"}).headers
    assert admin_client.get(static_url("app.css")).headers["content-encoding"] == "gzip"


def make_rater(database: Database) -> int:
    with database.writing() as session:
        study = Study(
            slug="s",
            title="S",
            subject_id=make_subject(session).id,
            instructions="",
            neuron_set={},
            order_key=b"k" * 32,
        )
        session.add(study)
        session.flush()
        rater = Rater(study_id=study.id, number=1, invitation_hash="0" * 64, expires_at=utc_now())
        session.add(rater)
        session.flush()
        return rater.id


def test_a_raters_browser_reaches_nothing_but_its_rooms(
    site: FastAPI, client: TestClient, database: Database, sign_in: SignIn
) -> None:
    sign_in(client, rater_id=make_rater(database))
    outside = {
        (method, route.path)
        for route in iter_route_contexts(site.routes)
        for method in route.methods or ()
        if route.path is not None and not is_room_of_raters(route.path)
    }
    assert {("GET", "/"), ("GET", "/neurons"), ("POST", "/login"), ("GET", "/api/v1/openapi.json")} <= outside
    answers = {(method, path): client.request(method, with_values(path)).status_code for method, path in outside}
    assert {key: status for key, status in answers.items() if status not in (403, 404)} == {}


def with_values(path: str) -> str:
    """A path with something in place of each parameter: a number, which fits a name as well."""
    return re.sub(r"\{\w+\}", "0", path)


def test_a_rater_is_told_where_the_ratings_are(client: TestClient, database: Database, sign_in: SignIn) -> None:
    sign_in(client, rater_id=make_rater(database))
    response = client.get("/neurons")
    assert response.status_code == 403
    assert 'href="/rate"' in response.text
    assert 'href="/neurons"' not in response.text
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/rates", "/ratings", "/raw", "/staticky", "/", "/r2", "/joining"])
def test_what_only_begins_like_a_raters_room_is_none(path: str) -> None:
    assert not is_room_of_raters(path)


def test_the_rooms_of_raters_are_few() -> None:
    assert ROOMS_OF_RATERS == ("/r", "/join", "/rate", "/static", "/healthz")


@pytest.mark.parametrize("address", ["/neurons", "/neurons/toy", "/neurons/toy/0/0", "/account"])
def test_a_browser_nobody_is_signed_in_on_is_asked_to_sign_in(client: TestClient, address: str) -> None:
    response = client.get(address)
    assert (response.status_code, response.headers["location"]) == (303, f"/login?next={address}")


def test_a_program_that_is_not_signed_in_gets_a_401(client: TestClient) -> None:
    response = client.get("/api/v1/neurons/toy/0/0")
    assert (response.status_code, response.json()) == (401, {"error": "Sign in to see this page."})


def test_the_api_description_is_for_researchers(client: TestClient, researcher_client: TestClient) -> None:
    assert client.get("/api/v1/openapi.json").status_code == 401
    document = json.loads(researcher_client.get("/api/v1/openapi.json").text)
    assert "/api/v1/neurons/{subject}/{layer}/{index}" in document["paths"]
    assert [path for path in document["paths"] if not path.startswith("/api/v1/")] == []
