"""The admin's form of a new batch of scores, ordered through as a browser sends it."""

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.batches.models import Batch
from app.database import Database
from app.explanations.models import Score
from app.jobs import migrate_jobs
from app.neurons.sets import save_set
from app.settings import Settings
from tests.factories import make_explanation, make_neuron, make_records, make_subject
from tests.forms import submit


@pytest.fixture
def admin(admin_client: TestClient, database: Database, settings: Settings) -> TestClient:
    """An admin's browser, on an installation with two explained neurons, the second one in a set."""
    migrate_jobs(settings.jobs_database_url)
    with database.writing() as session:
        subject = make_subject(session, "toy")
        for layer in range(2):
            neuron = make_neuron(session, subject, layer)
            make_records(session, neuron)
            for method in ("summary", "reference"):
                make_explanation(session, neuron, method)
        save_set(session, subject, "best", [neuron.id], {"in_words": "the best"})
    return admin_client


def order(admin: TestClient, **fields: str | list[str]) -> str:
    """Orders a batch through the form; gives the address that follows."""
    defaults: dict[str, str | list[str]] = {"metric": "lexical"}
    response = submit(admin, admin.get("/batches/scores/new"), "/batches/scores/new", **{**defaults, **fields})
    assert response.status_code == 303, response.text
    return response.headers["location"]


def test_an_ordered_batch_is_one_of_scores(admin: TestClient, database: Database) -> None:
    assert order(admin) == "/batches/1"
    assert "Lexical: 4 scores of explanations of neurons of toy" in admin.get("/batches/1").text
    with database.reading() as session:
        assert set(session.execute(sa.select(Score.metric, Score.scorer, Score.status))) == {
            ("lexical", "tf-idf", "queued")
        }


def test_only_the_explanations_chosen_are_scored(admin: TestClient, database: Database) -> None:
    order(
        admin,
        metric="detection",
        scorer="openai:gpt-x",
        methods=["summary"],
        explainers="local:toy, local:other",
        neuron_set="best",
        max_tokens="5",
        timeout_seconds="120",
        budget_tokens="1000",
        requests_per_minute="60",
    )
    with database.reading() as session:
        batch = session.get_one(Batch, 1)
        assert (batch.n_explanations, batch.methods, batch.explainer, batch.budget_tokens) == (
            1,
            ["summary"],
            "openai:gpt-x",
            1000,
        )
        chosen = {name: batch.settings[name] for name in ("metric", "max_tokens", "requests_per_minute", "temperature")}
        assert chosen == {"metric": "detection", "max_tokens": 5, "requests_per_minute": 60.0, "temperature": 0.0}
        assert batch.settings["timeout_seconds"] == 120.0
        assert batch.settings["ordered_for"] == "neurons of the set best; explanations by local:toy, local:other"


def test_what_another_metric_reads_does_not_name_this_scorer(admin: TestClient, database: Database) -> None:
    order(admin, metric="adacs", scorer="minilm-l6-v2", simulator="logprob-free", prompt_pack="unknown")
    with database.reading() as session:
        assert set(session.scalars(sa.select(Score.scorer))) == {"minilm-l6-v2"}


def test_a_scorer_typed_for_another_metric_is_not_meant_for_the_lexical_one(
    admin: TestClient, database: Database
) -> None:
    order(admin, metric="lexical", scorer="openai:gpt-x")
    with database.reading() as session:
        assert session.get_one(Batch, 1).explainer == "none"


def test_what_is_there_already_makes_no_batch(admin: TestClient, database: Database) -> None:
    order(admin)
    with database.writing() as session:
        session.execute(sa.update(Score).values(status="done", value=0.5))
    assert order(admin) == "/batches"
    assert "All of these scores are there already." in admin.get("/batches").text


def test_an_estimate_orders_nothing_and_keeps_what_was_typed(admin: TestClient, database: Database) -> None:
    form = admin.get("/batches/scores/new")
    # The button sends the form to an address of its own.
    page = submit(admin, form, "/batches/scores/new", metric="fuzzing", scorer="openai:gpt-x", methods=["summary"])
    assert page.status_code == 303
    with database.writing() as session:
        session.execute(sa.delete(Score))
        session.execute(sa.delete(Batch))
    fields = {"metric": "fuzzing", "scorer": "openai:gpt-x", "methods": ["summary"], "subject": "toy"}
    token = {"form_token": form.text.split('name="form_token" value="')[1].split('"')[0]}
    estimated = admin.post("/batches/scores/new/estimate", data=token | fields)
    assert estimated.status_code == 200
    assert "2 to make by openai:gpt-x" in estimated.text
    assert "about 20 to openai:gpt-x" in estimated.text
    assert "no price is known for openai:gpt-x" in estimated.text
    assert 'value="openai:gpt-x"' in estimated.text
    assert 'value="fuzzing" checked' in estimated.text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"metric": "detection", "scorer": "oracle"}, "unknown scorer &#39;oracle&#39;"),
        ({"metric": "detection", "scorer": ""}, "detection cannot be measured by &#39;&#39;"),
        ({"metric": "simulation", "scorer": "openai:gpt-x"}, "all-at-once reads a local model from within"),
        ({"temperature": "9"}, "temperature"),
        ({"temperature": "warm"}, "temperature is &#39;warm&#39;; expected a number"),
        ({"n_in_flight": "0"}, "calls at once is &#39;0&#39;"),
        ({"metric": "detection", "budget_tokens": "lots"}, "budget in tokens is &#39;lots&#39;"),
        ({"base_url": "ftp://somewhere"}, "expected a URL that begins with http:// or https://"),
        ({"methods": ["hs"]}, "has no done explanation of the methods hs"),
        ({"explainers": "local:nobody"}, "has no done explanation of the explainers local:nobody"),
    ],
)
def test_a_wrong_order_is_shown_again_with_what_was_wrong(
    admin: TestClient, database: Database, fields: dict[str, str | list[str]], problem: str
) -> None:
    form = admin.get("/batches/scores/new")
    response = submit(admin, form, "/batches/scores/new", **({"metric": "lexical"} | fields))
    assert response.status_code == 400
    assert problem in response.text
    for value in fields.values():
        assert isinstance(value, list) or f'value="{value}"' in response.text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0


def test_without_a_subject_the_form_says_what_to_do(admin_client: TestClient) -> None:
    assert "There is no subject model yet." in admin_client.get("/batches/scores/new").text
