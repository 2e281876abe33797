"""What came of a score is stored with its simulated excerpts, on both databases."""

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import SCORES, Batch
from app.database import Database
from app.explanations.models import QUEUED, Score, SimulatedExcerpt
from tests.factories import make_excerpt, make_explanation, make_neuron, make_score, make_subject
from worker.batches.making import Made, SimulatedOn
from worker.batches.storing import store_made


def queued_score(session: Session) -> Score:
    subject = make_subject(session)
    batch = Batch(
        kind=SCORES, subject_id=subject.id, methods=["original"], explainer="none", settings={}, n_explanations=1,
        n_shards=1,
    )  # fmt: skip
    session.add(batch)
    session.flush()
    score = make_score(session, make_explanation(session, make_neuron(session, subject)), "simulation", None)
    score.status, score.reason, score.batch_id, score.shard = QUEUED, None, batch.id, 0
    session.flush()
    return score


def stored(session: Session, score: Score, made: Made) -> bool:
    assert score.batch_id is not None
    is_stored = store_made(session, score.batch_id, SCORES, score.id, made)
    session.expire_all()
    return is_stored


def test_a_score_with_what_its_simulator_expected(database: Database) -> None:
    with database.writing() as session:
        score = queued_score(session)
        excerpts = [make_excerpt(session).id, make_excerpt(session).id]
        expected = np.array([0.5, 10.0, 2.25], dtype=np.float32)
        simulated = [SimulatedOn(excerpts[0], expected, 0.75), SimulatedOn(excerpts[1], expected * 2, None)]
        made = Made({"value": 0.5, "reason": None, "details": {"n_tokens": 6}}, simulated=simulated)
        assert stored(session, score, made)
        assert (score.status, score.value, score.details) == ("done", 0.5, {"n_tokens": 6})
        rows = session.scalars(sa.select(SimulatedExcerpt).order_by(SimulatedExcerpt.rank)).all()
        assert [(row.score_id, row.rank, row.excerpt_id) for row in rows] == [
            (score.id, 0, excerpts[0]),
            (score.id, 1, excerpts[1]),
        ]
        assert [row.correlation for row in rows] == [0.75, None]
        assert np.frombuffer(rows[1].expected, "<f4").tolist() == [1.0, 20.0, 4.5]


def test_an_undefined_score_is_a_result(database: Database) -> None:
    with database.writing() as session:
        score = queued_score(session)
        assert stored(session, score, Made({"value": None, "reason": "no variance", "details": {}}))
        assert (score.status, score.value, score.reason, score.failure) == ("done", None, "no variance", None)


def test_a_failed_score_has_neither_value_nor_reason(database: Database) -> None:
    with database.writing() as session:
        score = queued_score(session)
        assert stored(session, score, Made(failure="connection", failure_detail="reset"))
        assert (score.status, score.value, score.reason) == ("failed", None, None)
        assert (score.failure, score.failure_detail) == ("connection", "reset")


def test_a_second_result_changes_nothing(database: Database) -> None:
    with database.writing() as session:
        score = queued_score(session)
        simulated = [SimulatedOn(make_excerpt(session).id, np.ones(3, dtype=np.float32), None)]
        first = Made({"value": 0.5, "reason": None, "details": {}}, simulated=simulated)
        assert stored(session, score, first)
        assert not stored(session, score, Made({"value": 0.9, "reason": None, "details": {}}, simulated=simulated))
        assert score.value == 0.5
        assert session.scalar(sa.select(sa.func.count()).select_from(SimulatedExcerpt)) == 1
