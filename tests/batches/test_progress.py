"""How far a batch is, on both databases."""

from datetime import timedelta

import pytest

from app.batches import life
from app.batches.models import SCORES, Batch
from app.batches.progress import BatchProgress, batch_progress
from app.database import Database, utc_now
from app.errors import UnknownName
from app.explanations.models import FAILED, QUEUED
from tests.batches.test_planning import finish, make_neurons, plan, rows
from tests.factories import make_explanation, make_neuron, make_score, make_subject


def test_progress_counts_this_batch_alone(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 6)
        finish(session, rows(session, plan(session, neurons[:1]))[0])
        batch = plan(session, neurons)
        life.start_batch(session, batch.id)
        done, empty, refused, also_refused, _ = rows(session, batch)
        finish(session, done, cost_usd=0.25)
        finish(session, empty, status=FAILED, text=None, failure="empty", cost_usd=0.25)
        finish(session, refused, status=FAILED, text=None, failure="refusal", cost_usd=None)
        finish(session, also_refused, status=FAILED, text=None, failure="refusal", cost_usd=None)
        batch.spent_usd, batch.spent_tokens, batch.n_calls, batch.budget_tokens = 0.75, 450, 6, 1000
        session.flush()
        progress = batch_progress(session, batch.id)
        assert progress == BatchProgress(
            status="running",
            kind="explanations",
            n_explanations=5,
            n_reused=1,
            n_queued=1,
            n_done=1,
            n_undefined=0,
            n_failed=3,
            n_taken_over=0,
            failures={"refusal": 2, "empty": 1},
            commonest_failure=None,
            reasons={},
            n_prompt_tokens=400,
            n_completion_tokens=40,
            cost_usd=0.5,
            seconds=2.0,
            rows_per_second=None,
            n_calls=6,
            spent_usd=0.75,
            spent_tokens=450,
            budget_usd=None,
            budget_tokens=1000,
            failure=None,
            remark=None,
        )
        assert list(progress.failures) == ["refusal", "empty"]
        assert (progress.n_to_make, progress.n_finished, progress.seconds_left) == (5, 4, None)


def test_the_cost_is_unknown_while_one_explanations_is(database: Database) -> None:
    with database.writing() as session:
        batch = plan(session, make_neurons(session, 2))
        first, second = rows(session, batch)
        finish(session, first, cost_usd=1.0)
        finish(session, second, cost_usd=None)
        assert batch_progress(session, batch.id).cost_usd is None


def test_speed_and_time_left_come_from_the_last_minute(database: Database) -> None:
    now = utc_now()
    with database.writing() as session:
        batch = plan(session, make_neurons(session, 12))
        life.start_batch(session, batch.id)
        ages = (300, 61, 40, 30, 20, 10)
        for explanation, age in zip(rows(session, batch), ages, strict=False):
            finish(session, explanation, finished_at=now - timedelta(seconds=age))
        progress = batch_progress(session, batch.id, now)
        # Of the four within the minute, three finished in the 40 seconds since the first of them.
        assert progress.rows_per_second == pytest.approx(3 / 40)
        assert progress.seconds_left == pytest.approx(6 / (3 / 40))
        life.pause_batch(session, batch.id)
        paused = batch_progress(session, batch.id, now)
        assert (paused.rows_per_second, paused.seconds_left) == (None, None)


def test_progress_of_scores(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        explanations = [make_explanation(session, make_neuron(session, subject, index=index)) for index in range(4)]
        batch = Batch(
            kind=SCORES, subject_id=subject.id, methods=["original"], explainer="none", settings={}, status="running",
            n_explanations=4, n_shards=1,
        )  # fmt: skip
        session.add(batch)
        session.flush()
        values = [0.5, None, None, None]
        scores = [make_score(session, each, "lexical", value) for each, value in zip(explanations, values, strict=True)]
        scores[2].status, scores[2].reason, scores[2].failure = FAILED, None, "connection"
        scores[3].status, scores[3].reason = QUEUED, None
        for score in scores:
            score.batch_id, score.shard, score.cost_usd = batch.id, 0, 0.0
        session.flush()
        progress = batch_progress(session, batch.id)
        assert (progress.kind, progress.status) == ("scores", "running")
        assert (progress.n_done, progress.n_undefined, progress.n_failed, progress.n_queued) == (2, 1, 1, 1)
        assert progress.failures == {"connection": 1}
        assert progress.reasons == {scores[1].reason: 1}


def test_an_unknown_batch_is_named(database: Database) -> None:
    with database.reading() as session, pytest.raises(UnknownName, match="no batch 7"):
        batch_progress(session, 7)
