"""The admin's pages of batches: estimated and ordered through the real form, watched, paused, resumed, cancelled."""

from datetime import date

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.batches.models import CANCELLED, PAUSED, SCORES, Batch, CallReservation
from app.batches.prices import Price, enter_price
from app.database import Database, utc_now
from app.explanations.models import DONE, FAILED, QUEUED, Explanation
from app.jobs import WorkerHeartbeat, migrate_jobs
from app.neurons.models import Neuron
from app.settings import Settings
from tests.factories import make_explanation, make_neuron, make_records, make_score, make_subject
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


PRICES = '<a href="/prices" target="_blank" rel="noopener">enter one under Prices</a>'
MISTAKES: tuple[tuple[dict[str, str], str], ...] = (
    ({"explainer": "oracle"}, "unknown explainer &#39;oracle&#39;"),
    ({"n_per_layer": "many"}, "neurons per layer is &#39;many&#39;; expected a whole number from 1 to 10000"),
    ({"layers": "7"}, "layer 7"),
    ({"neuron_choice": "dice"}, "choice of neurons &#39;dice&#39;; expected one of peaks, random"),
    ({"neuron_choice": "random", "n_per_layer": "2"}, "layer 0 has 1 neurons of toy, 2 were asked for"),
    ({"neuron_choice": "interpretable"}, "no explanation of toy has any simulation score"),
    ({"neuron_choice": "interpretable", "threshold": "high"}, "threshold is &#39;high&#39;; expected a number"),
    ({"neuron_choice": "top", "n_neurons": "0"}, "neurons of the model is &#39;0&#39;"),
    ({"neuron_choice": "random", "save_set": "a/b"}, "neuron set &#39;a/b&#39;; expected up to 100 letters"),
    ({"samples": "0"}, "samples is &#39;0&#39;; expected a whole number from 1"),
    ({"budget_usd": "5"}, f"no price is known for openai:gpt-4; {PRICES}"),
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
    assert f"openai:mystery; {PRICES}" in response.text
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
    limits = {"requests_per_minute": "60", "timeout_seconds": "120", "n_context": "8192", "n_in_flight": "3"}
    order(admin, **choice, **limits, max_tokens="40", cutoff="q99", n_few_shots="1")
    page = admin.get("/batches/1").text
    assert "Neurons: the set two of them: random, 1 per layer, seed 3." in page
    assert "<dt>Few-shot neurons</dt><dd>1</dd>" in page
    assert "<dt>Cutoff</dt><dd>q99</dd>" in page
    assert "the set two of them" in admin.get("/batches").text
    assert "two of them" in admin.get("/neuron-sets").text
    with database.reading() as session:
        settings = session.get_one(Batch, 1).settings
    assert (settings["requests_per_minute"], settings["max_tokens"], settings["n_few_shots"]) == (60.0, 40, 1)
    assert (settings["timeout_seconds"], settings["n_context"], settings["n_in_flight"]) == (120.0, 8192, 3)
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


def test_a_retry_says_what_goes_on_beside_the_failures_and_is_not_offered_of_a_cancelled_batch(
    admin: TestClient, database: Database
) -> None:
    order(admin)
    end_with_failures(database)
    with database.writing() as session:
        session.get_one(Batch, 1).status = PAUSED
        session.execute(sa.update(Explanation).where(Explanation.status == DONE).values(status=QUEUED, text=None))
    page = admin.get("/batches/1")
    assert "also with the 1 that wait" in page.text
    with database.writing() as session:
        session.get_one(Batch, 1).status = CANCELLED
    assert submit(admin, page, action="/batches/1/retry", reason="").status_code == 409
    assert "/batches/1/retry" not in admin.get("/batches/1").text
    with database.writing() as session:
        session.get_one(Batch, 1).status = PAUSED
    submit(admin, page, action="/batches/1/retry", reason="refusal")
    assert "2 asked again. The 1 that waited go on too." in admin.get("/batches/1").text


def test_a_paused_batch_goes_on_with_a_raised_budget(admin: TestClient, database: Database) -> None:
    order(admin, budget_tokens="500")
    with database.writing() as session:
        batch = session.get_one(Batch, 1)
        batch.status, batch.failure, batch.spent_tokens = PAUSED, "the budget is used up.", 400
    page = admin.get("/batches/1")
    assert '<p class="notice">The budget is used up.</p>' in page.text
    assert '400 <span class="soft small">of 500</span>' in page.text
    assert "no price was entered" in page.text
    refused = submit(admin, page, action="/batches/1/budget", budget_tokens="300")
    assert refused.status_code == 400
    assert "a budget can only be raised, expected at least 500" in refused.text
    assert form_of(refused, "/batches/1/budget").values["budget_tokens"] == "300"
    worded = submit(admin, page, action="/batches/1/budget", budget_tokens="lots")
    assert (worded.status_code, 'value="lots"' in worded.text) == (400, True)
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
        batch.kind, batch.settings, batch.remark = SCORES, {"metric": "adacs"}, "one explanation is left out."
    page = admin.get("/batches/1").text
    assert "AdaCS: 4 scores of explanations of neurons of toy by" in page
    assert '<p class="notice">One explanation is left out.</p>' in page
    assert '4 scores <span class="soft small">AdaCS</span>' in admin.get("/batches").text


def test_a_batch_of_failures_alone_is_shown_as_a_problem(admin: TestClient, database: Database) -> None:
    order(admin)
    with database.writing() as session:
        for row in session.scalars(sa.select(Explanation)):
            row.status, row.failure, row.failure_detail = FAILED, "connection", f"timed out after {min(row.id, 2)} s"
        session.get_one(Batch, 1).status = DONE
    page = admin.get("/batches/1").text
    assert "Nothing came of this batch: all explanations failed." in page
    assert "Most often: timed out after 2 s" in page
    for shown in (page, admin.get("/batches").text):
        assert '<span class="status status-bad">Done</span>' in shown
    assert "4 failed" in admin.get("/batches").text
    with database.writing() as session:
        row = session.get_one(Explanation, 1)
        row.status, row.failure, row.text = DONE, None, "Cats."
    assert '<span class="status status-good">Done</span>' in admin.get("/batches").text
    assert "Nothing came of this batch" not in admin.get("/batches/1").text


def test_undefined_scores_are_shown_by_reason(admin: TestClient, database: Database) -> None:
    order(admin)
    with database.writing() as session:
        batch = session.get_one(Batch, 1)
        batch.kind, batch.settings = SCORES, {"metric": "lexical"}
        for explanation in session.scalars(sa.select(Explanation)).all():
            score = make_score(session, explanation, "lexical", None, reason="no <word> in common")
            score.batch_id, score.shard = 1, 0
    page = admin.get("/batches/1").text
    assert '<th scope="row">no &lt;word&gt; in common</th><td class="num">4</td>' in page
    assert "Why scores are undefined" in page


def test_a_batch_whose_rows_were_taken_over_is_full_and_over(admin: TestClient, database: Database) -> None:
    order(admin)
    with database.writing() as session:
        batch = session.get_one(Batch, 1)
        batch.status, batch.failure = "failed", "the folder of the model is gone"
    assert '<p class="notice notice-bad">The folder of the model is gone</p>' in admin.get("/batches/1").text
    assert order(admin) == "/batches/2"
    page = admin.get("/batches/1").text
    assert '<progress value="1" max="1"' in page
    for gone in ("The folder of the model is gone", "Resume", "Cancel this batch"):
        assert gone not in page


def test_what_a_cancelled_batch_left_is_not_waiting(admin: TestClient, database: Database) -> None:
    order(admin)
    submit(admin, admin.get("/batches/1"), action="/batches/1/cancel")
    page = admin.get("/batches/1").text
    assert "<dt>Not made</dt><dd>4</dd>" in page
    assert "<dt>Waiting</dt>" not in page


def test_a_paused_batch_is_followed_while_calls_under_way_end(admin: TestClient, database: Database) -> None:
    order(admin)
    with database.writing() as session:
        session.get_one(Batch, 1).status = PAUSED
    assert "hx-get" not in admin.get("/batches/1").text
    with database.writing() as session:
        session.add(CallReservation(batch_id=1, key=b"call", usd=0.0, tokens=9))
    assert 'hx-get="/batches/1/progress"' in admin.get("/batches/1").text
    assert "HX-Refresh" not in admin.get("/batches/1/progress?seen=paused").headers
    assert admin.get("/batches/1/progress?seen=running").headers["HX-Refresh"] == "true"
    with database.writing() as session:
        session.execute(sa.delete(CallReservation))
    assert admin.get("/batches/1/progress?seen=paused").headers["HX-Refresh"] == "true"


def test_the_form_opens_with_a_subject_that_has_activations(admin: TestClient, database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, "a subject of texts alone")
        neuron = make_neuron(session, subject, maximum=0.0)
        neuron.mean = None
    values = form_of(admin.get("/batches/new")).values
    assert (values["subject"], values["n_neurons"]) == ("toy", "20")
    refused = submit(admin, admin.get("/batches/new"), subject="a subject of texts alone", explainer="openai:gpt-4")
    assert "no activations of &#39;a subject of texts alone&#39; are here" in refused.text


def test_as_many_top_neurons_as_the_papers_are_offered_where_so_many_are_scored(
    admin: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.batches.new_page.N_TOP_OF_PAPER", 2)
    with database.writing() as session:
        for neuron in session.scalars(sa.select(Neuron)).all():
            make_score(session, make_explanation(session, neuron), "simulation", 0.5)
    assert form_of(admin.get("/batches/new")).values["n_neurons"] == "2"


def test_batches_are_for_admins(researcher_client: TestClient) -> None:
    assert [researcher_client.get(path).status_code for path in ("/batches", "/batches/new", "/batches/1")] == [403] * 3


@pytest.mark.parametrize("number", ["0", "9", "99999999999999999999", "one"])
def test_an_unknown_batch_is_a_page_that_says_so(admin: TestClient, number: str) -> None:
    assert admin.get(f"/batches/{number}").status_code in (404, 422)
