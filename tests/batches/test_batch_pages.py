"""The admin's pages of batches: estimated and ordered through the real form, watched, paused, resumed, cancelled."""

from datetime import date

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.batches.models import CANCELLED, PAUSED, SCORES, Batch
from app.batches.prices import Price, enter_price
from app.database import Database, utc_now
from app.explanations.models import DONE, FAILED, QUEUED, Explanation
from app.jobs import WorkerHeartbeat, migrate_jobs
from app.settings import Settings
from tests.factories import make_neuron, make_records, make_subject
from tests.forms import form_of, submit


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


MISTAKES: tuple[tuple[dict[str, str], str], ...] = (
    ({"explainer": "oracle"}, "unknown explainer &#39;oracle&#39;"),
    ({"n_per_layer": "many"}, "neurons per layer is &#39;many&#39;; expected a whole number from 1 to 10000"),
    ({"layers": "7"}, "layer 7"),
    ({"neuron_choice": "dice"}, "choice of neurons &#39;dice&#39;; expected one of peaks, random"),
    ({"neuron_choice": "random", "n_per_layer": "2"}, "layer 0 has 1 neurons of toy, 2 were asked for"),
    ({"neuron_choice": "interpretable"}, "no explanation of toy has a simulation score"),
    ({"neuron_choice": "interpretable", "threshold": "high"}, "threshold is &#39;high&#39;; expected a number"),
    ({"neuron_choice": "top", "n_neurons": "0"}, "neurons of the model is &#39;0&#39;"),
    ({"neuron_choice": "random", "save_set": "a/b"}, "neuron set &#39;a/b&#39;; expected up to 100 letters"),
    ({"samples": "0"}, "samples is &#39;0&#39;; expected a whole number from 1"),
    ({"budget_usd": "5"}, "no price is known for openai:gpt-4; enter one under Prices"),
    ({"budget_tokens": "1.5"}, "budget in tokens is &#39;1.5&#39;"),
    ({"requests_per_minute": "0"}, "requests_per_minute"),
    ({"n_few_shots": "4"}, "4 few-shot neurons; expected at most 3"),
    ({"cutoff": "q12"}, "cutoff &#39;q12&#39;; expected q50, q90, q99, q999 or share:X"),
    ({"temperature": "9"}, "temperature"),
    ({"base_url": "ftp://somewhere"}, "expected a URL that begins with http:// or https://"),
    ({"neuron_choice": "listed", "csv_text": "layer,neuron\n0,0\n0,9\n"}, "line 3: toy has no neuron 0:9"),
)


def test_every_mistake_is_named_and_what_was_typed_stays(admin: TestClient, database: Database) -> None:
    form = admin.get("/batches/new")
    for fields, problem in MISTAKES:
        response = submit(admin, form, **({"methods": ["original"], "explainer": "openai:gpt-4"} | fields))
        assert response.status_code == 400, fields
        assert problem in response.text
        for value in fields.values():
            assert value.splitlines()[-1] in response.text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0


def test_an_estimate_is_shown_above_the_filled_form_and_orders_nothing(admin: TestClient, database: Database) -> None:
    fields = {"methods": ["summary", "tokens"], "explainer": "openai:mystery", "samples": "2", "budget_tokens": "9"}
    values = form_of(admin.get("/batches/new")).values | fields
    response = admin.post("/batches/new/estimate", data=values)
    assert response.status_code == 200
    assert "<dt>Explanations</dt><dd>8 to make, of 2 neurons</dd>" in response.text
    assert "<dt>Calls</dt><dd>4 to openai:mystery</dd>" in response.text
    assert "no price is known for openai:mystery; enter one under Prices" in response.text
    assert "9 tokens: will stop the batch before its end" in response.text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0
    # The form is filled as it was, so that it can be ordered as it is.
    assert form_of(response).values["budget_tokens"] == "9"
    assert submit(admin, response, methods=fields["methods"]).headers["location"] == "/batches/1"
    with database.reading() as session:
        assert (session.get_one(Batch, 1).n_explanations, session.get_one(Batch, 1).budget_tokens) == (8, 9)


def test_a_mistake_is_named_by_the_estimate_too(admin: TestClient) -> None:
    values = form_of(admin.get("/batches/new")).values | {"explainer": "oracle"}
    response = admin.post("/batches/new/estimate", data=values)
    assert response.status_code == 400
    assert "unknown explainer &#39;oracle&#39;" in response.text


def test_what_was_chosen_stays_with_the_batch(admin: TestClient, database: Database) -> None:
    choice = {"neuron_choice": "random", "n_per_layer": "1", "seed": "3", "save_set": "two of them"}
    order(admin, **choice, requests_per_minute="60", max_tokens="40", cutoff="q99", n_few_shots="1")
    page = admin.get("/batches/1").text
    assert "Neurons: the set two of them: random, 1 per layer, seed 3." in page
    assert "<dt>Few-shot neurons</dt><dd>1</dd>" in page
    assert "<dt>Cutoff</dt><dd>q99</dd>" in page
    assert "the set two of them" in admin.get("/batches").text
    assert "two of them" in admin.get("/neuron-sets").text
    with database.reading() as session:
        settings = session.get_one(Batch, 1).settings
    assert (settings["requests_per_minute"], settings["max_tokens"], settings["n_few_shots"]) == (60.0, 40, 1)
    # Ordered again for the saved set, there is nothing left to make.
    assert order(admin, neuron_choice="set", neuron_set="two of them", cutoff="q99", n_few_shots="1") == "/batches"


def test_a_batch_is_paused_resumed_and_cancelled(admin: TestClient, database: Database) -> None:
    order(admin)
    page = admin.get("/batches/1")
    assert submit(admin, page, action="/batches/1/pause").headers["location"] == "/batches/1"
    page = admin.get("/batches/1")
    assert "hx-get" not in page.text
    assert submit(admin, page, action="/batches/1/resume").headers["location"] == "/batches/1"
    with database.reading() as session:
        batch = session.get_one(Batch, 1)
        assert (batch.status, batch.submission) == (QUEUED, 1)
    assert 'hx-get="/batches/1/progress"' in admin.get("/batches/1").text


def test_only_a_batch_that_is_no_longer_under_way_has_its_whole_page_loaded_again(
    admin: TestClient, database: Database
) -> None:
    order(admin)
    assert "HX-Refresh" not in admin.get("/batches/1/progress").headers
    with database.writing() as session:
        session.get_one(Batch, 1).status = PAUSED
    assert admin.get("/batches/1/progress").headers["HX-Refresh"] == "true"


def end_with_failures(database: Database) -> None:
    """Batch 1 is done: two refusals, one empty answer, one explanation."""
    with database.writing() as session:
        rows = list(session.scalars(sa.select(Explanation).order_by(Explanation.id)))
        for row, failure in zip(rows, ("refusal", "refusal", "empty", None), strict=True):
            row.status, row.failure, row.text = (DONE, None, "Cats.") if failure is None else (FAILED, failure, None)
        session.get_one(Batch, 1).status = DONE


@pytest.mark.parametrize(("reason", "n_queued"), [("", 3), ("refusal", 2), ("empty", 1)])
def test_failures_are_asked_again_for_one_reason_or_any(
    admin: TestClient, database: Database, reason: str, n_queued: int
) -> None:
    order(admin)
    end_with_failures(database)
    submit(admin, admin.get("/batches/1"), action="/batches/1/retry", reason=reason)
    assert f"{n_queued} asked again." in admin.get("/batches/1").text
    with database.reading() as session:
        states = list(session.scalars(sa.select(Explanation.status)))
        assert (states.count(QUEUED), session.get_one(Batch, 1).status) == (n_queued, QUEUED)


def test_a_paused_batch_goes_on_with_a_raised_budget(admin: TestClient, database: Database) -> None:
    order(admin, budget_tokens="500")
    with database.writing() as session:
        batch = session.get_one(Batch, 1)
        batch.status, batch.failure, batch.spent_tokens = PAUSED, "The budget is used up.", 400
    page = admin.get("/batches/1")
    assert "The budget is used up." in page.text
    assert '400 <span class="soft small">of 500</span>' in page.text
    assert "no price was entered" in page.text
    refused = submit(admin, page, action="/batches/1/budget", budget_tokens="300")
    assert refused.status_code == 400
    assert "a budget can only be raised, expected at least 500" in refused.text
    submit(admin, page, action="/batches/1/budget", budget_tokens="900")
    with database.reading() as session:
        batch = session.get_one(Batch, 1)
        assert (batch.status, batch.failure, batch.budget_tokens) == (QUEUED, None, 900)
    assert "The budget is changed. The batch goes on." in admin.get("/batches/1").text


def test_money_is_shown_against_the_budget(admin: TestClient, database: Database) -> None:
    with database.writing() as session:
        enter_price(session, Price("openai:gpt-4", date(2020, 1, 1), 30.0, 60.0, "a list"))
    order(admin, budget_usd="2.50")
    with database.writing() as session:
        session.get_one(Batch, 1).spent_usd = 0.5
    page = admin.get("/batches/1").text
    assert '$0.50 <span class="soft small">of $2.50</span>' in page
    assert "<dt>Price of a million prompt tokens</dt><dd>$30.00</dd>" in page


def test_a_batch_of_scores_is_named_as_such(admin: TestClient, database: Database) -> None:
    order(admin)
    with database.writing() as session:
        batch = session.get_one(Batch, 1)
        batch.kind, batch.settings, batch.remark = SCORES, {"metric": "simulation"}, "One explanation is left out."
    page = admin.get("/batches/1").text
    assert "4 simulation scores of explanations of neurons of toy by" in page
    assert "One explanation is left out." in page
    assert "4 simulation scores" in admin.get("/batches").text


def test_batches_are_for_admins(researcher_client: TestClient) -> None:
    assert [researcher_client.get(path).status_code for path in ("/batches", "/batches/new", "/batches/1")] == [403] * 3


@pytest.mark.parametrize("number", ["0", "9", "99999999999999999999", "one"])
def test_an_unknown_batch_is_a_page_that_says_so(admin: TestClient, number: str) -> None:
    assert admin.get(f"/batches/{number}").status_code in (404, 422)
