"""Scores beside explanations, and the page of one score."""

import re

import numpy as np
import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.batches.models import Batch
from app.database import Database
from app.explanations.beside_neuron import explanations_beside
from app.explanations.models import FAILED, QUEUED, Explanation, ExplanationView, Score, SimulatedExcerpt
from app.neurons.models import Neuron
from tests.factories import (
    make_bottom_records,
    make_explanation,
    make_neuron,
    make_record,
    make_records,
    make_score,
    make_subject,
)

EXPECTED = [0.0, 9.5, 3.0, 0.5, 10.0]


def simulated(session: Session, side: str = "positive") -> Score:
    """The score 1 of neuron 0:0 of toy, with one simulated excerpt."""
    neuron = make_neuron(session, make_subject(session, polarity="both"))
    row = make_record(session, neuron)
    make_bottom_records(session, neuron, n=1)
    explanation = make_explanation(session, neuron, "summary", side="negative" if side == "negative" else "positive")
    score = make_score(session, explanation, "simulation", 0.34, scorer="local:toy all-at-once")
    score.details = {"n_excerpts": 1, "rsquared_score": 0.25, "calibration": {"kind": "linear", "slope": 2.0}}
    expected = np.array(EXPECTED, dtype="<f4").tobytes()
    session.add(
        SimulatedExcerpt(score_id=score.id, rank=0, excerpt_id=row.excerpt_id, expected=expected, correlation=0.875)
    )
    session.flush()
    return score


def neuron_of(session: Session, score: Score) -> Neuron:
    return session.get_one(Explanation, score.explanation_id).neuron


def coloured(html: str) -> list[tuple[str, str]]:
    """(level, token) of every coloured token, excerpt by excerpt."""
    return [(level, token.strip()) for level, token in re.findall(r'<mark class="a(\d+)[^"]*"[^>]*>([^<]*)<', html)]


def test_scores_stand_beside_their_explanation_with_two_decimals_or_why_there_is_none(
    database: Database, researcher_client: TestClient
) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_records(session, neuron, 1, 0)
        explanation = make_explanation(session, neuron, "summary")
        make_score(session, explanation, "simulation", -0.346, scorer="local:toy all-at-once")
        make_score(session, explanation, "adacs", None, scorer="minilm-l6-v2", reason="no reference")
        for metric, status, failure in (("detection", QUEUED, None), ("fuzzing", FAILED, "rate limit")):
            row = Score(explanation_id=explanation.id, metric=metric, scorer="openai:gpt-x", details={})
            row.status, row.failure = status, failure
            session.add(row)
    page = researcher_client.get("/neurons/toy/0/0").text
    shown = re.sub(r"<[^>]+>", "", page[page.index('aria-label="Scores"') :])
    assert [" ".join(line.split()) for line in shown.splitlines() if line.strip()][1:5] == [
        "AdaCS– no reference minilm-l6-v2",
        "Detectionqueued openai:gpt-x",
        "Fuzzingfailed: rate limit openai:gpt-x",
        "Simulate and score−0.35 local:toy all-at-once",
    ]


def test_the_json_of_a_neuron_has_its_done_scores_alone(database: Database, researcher_client: TestClient) -> None:
    with database.writing() as session:
        score = simulated(session)
        queued = Score(explanation_id=score.explanation_id, metric="fuzzing", scorer="openai:gpt-x", details={})
        queued.status = QUEUED
        session.add(queued)
    (explanation,) = researcher_client.get("/api/v1/neurons/toy/0/0").json()["explanations"]
    assert explanation["scores"] == [
        {"metric": "simulation", "scorer": "local:toy all-at-once", "value": 0.34, "reason": None}
    ]


def test_an_imported_metric_goes_by_its_own_name(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_score(session, make_explanation(session, neuron), "ev_correlation", 0.5)
        ((method,),) = (explanations_beside(session, neuron.id),)
        assert method.explanations[0].scores[0].title == "ev_correlation"


@pytest.mark.parametrize(("batch_status", "n_shown"), [("cancelled", 0), ("failed", 0), ("paused", 1), ("running", 1)])
def test_what_nobody_makes_any_more_is_not_shown_as_queued(database: Database, batch_status: str, n_shown: int) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        batch = Batch(subject_id=neuron.subject_id, methods=[], explainer="none", settings={}, status=batch_status)
        batch.n_explanations = batch.n_shards = 1
        session.add(batch)
        session.flush()
        score = make_score(session, make_explanation(session, neuron), "lexical", 0.5)
        score.batch_id, score.status, score.value = batch.id, QUEUED, None
        session.add(
            Explanation(
                neuron_id=neuron.id, method="hs", explainer="a", prompt_pack="p", batch_id=batch.id, status=QUEUED
            )
        )
        session.flush()
        methods = explanations_beside(session, neuron.id)
        assert len(methods) == 1 + n_shown
        assert len(methods[0].explanations[0].scores) == n_shown


def test_the_page_of_a_score_shows_expected_under_true_activations(
    database: Database, researcher_client: TestClient
) -> None:
    with database.writing() as session:
        simulated(session)
    page = researcher_client.get("/neurons/toy/0/0/scores/1").text
    assert "<h1>Simulate and score 0.34</h1>" in page
    assert "words for animals." in page
    assert page.index("Expected beside true activations") < page.index("<dt>rsquared")
    # True activations 0, 5, 1.25, -0.25, 2.5 on the neuron's scale up to 5; expected ones on theirs up to 10.
    assert coloured(page) == [
        *(("10", "cat"), ("2", "sat"), ("5", "mats")),
        *(("9", "cat"), ("3", "sat"), ("10", "mats")),
    ]
    assert re.search(r"Correlation </span>0\.8[78]<", page)
    for name, value in (("number of excerpts", "1"), ("rsquared", "0.250"), ("calibration slope", "2.00")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page


def test_the_negative_side_is_shown_in_its_own_colours(database: Database, researcher_client: TestClient) -> None:
    with database.writing() as session:
        simulated(session, "negative")
    page = researcher_client.get("/neurons/toy/0/0/scores/1").text
    assert 'class="heat negative"' in page
    # The record's only negative token is faint; the simulator foretold others far below 0.
    assert coloured(page)[-3:] == [("9", "cat"), ("3", "sat"), ("10", "mats")]


def test_an_undefined_score_has_a_page_with_its_reason(database: Database, researcher_client: TestClient) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_score(session, make_explanation(session, neuron), "adacs", None, reason="no reference")
    assert "Undefined: no reference." in researcher_client.get("/neurons/toy/0/0/scores/1").text


@pytest.mark.parametrize(
    "address", ["/neurons/toy/0/1/scores/1", "/neurons/toy/0/0/scores/2", "/neurons/toy/0/0/scores/3"]
)
def test_scores_of_other_neurons_and_unfinished_ones_have_no_page(
    database: Database, researcher_client: TestClient, address: str
) -> None:
    with database.writing() as session:
        score = simulated(session)
        make_neuron(session, neuron_of(session, score).subject, index=1)
        queued = Score(explanation_id=score.explanation_id, metric="fuzzing", scorer="openai:gpt-x", details={})
        queued.status = QUEUED
        session.add(queued)
    assert researcher_client.get(address).status_code == 404


def test_whoever_looked_at_a_score_cannot_rate_that_neuron_blindly(
    database: Database, researcher_client: TestClient
) -> None:
    with database.writing() as session:
        neuron_id = neuron_of(session, simulated(session)).id
    researcher_client.get("/neurons/toy/0/0/scores/1")
    with database.reading() as session:
        assert [view.neuron_id for view in session.query(ExplanationView)] == [neuron_id]


def test_a_rater_and_a_stranger_see_no_score(database: Database, client: TestClient) -> None:
    with database.writing() as session:
        simulated(session)
    assert client.get("/neurons/toy/0/0/scores/1").status_code in (303, 401, 403)
