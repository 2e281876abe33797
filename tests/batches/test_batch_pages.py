"""The admin's pages of batches: ordered through the real form, watched, cancelled."""

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.batches.models import CANCELLED, Batch
from app.database import Database, utc_now
from app.explanations.models import DONE, FAILED, QUEUED, Explanation
from app.jobs import WorkerHeartbeat, migrate_jobs
from app.settings import Settings
from tests.factories import make_neuron, make_records, make_subject
from tests.forms import submit


@pytest.fixture
def admin(admin_client: TestClient, database: Database, settings: Settings) -> TestClient:
    """An admin's browser, on an installation with two neurons to explain."""
    migrate_jobs(settings.jobs_database_url)
    with database.writing() as session:
        subject = make_subject(session, "toy")
        for layer in range(2):
            make_records(session, make_neuron(session, subject, layer))
    return admin_client


def order(admin: TestClient, **fields: str | list[str]) -> str:
    """Orders a batch through the form; gives the address that follows."""
    defaults: dict[str, str | list[str]] = {"methods": ["original", "tokens"], "explainer": "openai:gpt-4"}
    response = submit(admin, admin.get("/batches/new"), **{**defaults, **fields})
    assert response.status_code == 303, response.text
    return response.headers["location"]


def test_an_ordered_batch_waits_for_a_worker_and_says_that_there_is_none(admin: TestClient, database: Database) -> None:
    assert order(admin) == "/batches/1"
    page = admin.get("/batches/1").text
    assert "4 explanations of neurons of toy" in page
    assert "No worker is running" in page
    assert 'hx-get="/batches/1/progress"' in page
    with database.writing() as session:
        session.add(WorkerHeartbeat(name="here", seen_at=utc_now()))
    assert "No worker is running" not in admin.get("/batches/1/progress").text
    assert "1 worker is running" in admin.get("/batches").text


def test_failures_are_shown_by_reason_and_an_ended_batch_is_not_asked_for_again(
    admin: TestClient, database: Database
) -> None:
    order(admin)
    with database.writing() as session:
        rows = list(session.scalars(sa.select(Explanation).order_by(Explanation.id)))
        for row in rows[:3]:
            row.status, row.failure = FAILED, "refusal"
        rows[3].status, rows[3].text = DONE, "Cats."
        session.get_one(Batch, 1).status = DONE
    page = admin.get("/batches/1").text
    assert '<th scope="row">refusal</th><td class="num">3</td>' in page
    assert "hx-get" not in page
    assert "Cancel this batch" not in page


def test_a_cancelled_batch_keeps_what_was_done(admin: TestClient, database: Database) -> None:
    order(admin)
    page = admin.get("/batches/1")
    assert submit(admin, page, action="/batches/1/cancel").headers["location"] == "/batches/1"
    with database.reading() as session:
        assert session.get_one(Batch, 1).status == CANCELLED
        assert set(session.scalars(sa.select(Explanation.status))) == {QUEUED}


def test_what_is_there_already_makes_no_batch(admin: TestClient, database: Database) -> None:
    order(admin, methods=["tokens"], explainer="none")
    with database.writing() as session:
        session.execute(sa.update(Explanation).values(status=DONE, text="Cats."))
    assert order(admin, methods=["tokens"], explainer="none") == "/batches"
    assert "All of these explanations are there already." in admin.get("/batches").text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"explainer": "oracle"}, "unknown explainer &#39;oracle&#39;"),
        ({"n_per_layer": "many"}, "neurons per layer is &#39;many&#39;; expected a whole number from 1 to 10000"),
        ({"layers": "7"}, "layer 7"),
        ({"temperature": "9"}, "temperature"),
        ({"base_url": "ftp://somewhere"}, "expected a URL that begins with http:// or https://"),
        ({"neuron_choice": "listed", "csv_text": "layer,neuron\n0,0\n0,9\n"}, "line 3: toy has no neuron 0:9"),
    ],
)
def test_a_mistake_is_named_and_what_was_typed_stays(
    admin: TestClient, database: Database, fields: dict[str, str], problem: str
) -> None:
    typed = {"methods": ["original"], "explainer": "openai:gpt-4"} | fields
    response = submit(admin, admin.get("/batches/new"), **typed)
    assert response.status_code == 400
    assert problem in response.text
    for value in fields.values():
        assert value.splitlines()[-1] in response.text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0


def test_batches_are_for_admins(researcher_client: TestClient) -> None:
    assert [researcher_client.get(path).status_code for path in ("/batches", "/batches/new", "/batches/1")] == [403] * 3


@pytest.mark.parametrize("number", ["0", "9", "99999999999999999999", "one"])
def test_an_unknown_batch_is_a_page_that_says_so(admin: TestClient, number: str) -> None:
    assert admin.get(f"/batches/{number}").status_code in (404, 422)
