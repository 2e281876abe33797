"""Explanations of the negative side: planned, made and shown apart from those of the positive one."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.batches.models import Batch
from app.batches.planning import plan_batch
from app.database import Database
from app.errors import InvalidInput
from app.explanations.explainers import ExplainerSettings, explainer_settings
from app.explanations.models import DONE, Explanation
from app.jobs import migrate_jobs
from app.neurons.models import SubjectModel
from app.settings import Settings
from tests.factories import make_bottom_records, make_neuron, make_records, make_subject
from tests.forms import submit

NEGATIVE = ExplainerSettings(side="negative")


def make_both_sides(session: Session, name: str = "toy") -> int:
    """A subject with one neuron per layer, recorded on both sides; the id of neuron 0:0."""
    subject = make_subject(session, name, polarity="both")
    neurons = [make_neuron(session, subject, layer) for layer in range(2)]
    for neuron in neurons:
        neuron.q90_negative = 0.5
        make_records(session, neuron)
        make_bottom_records(session, neuron)
    return neurons[0].id


def plan(session: Session, neuron_ids: list[int], settings: ExplainerSettings = NEGATIVE) -> Batch:
    return plan_batch(
        session, subject_name="toy", neurons=neuron_ids, methods=["tokens"], explainer="none", settings=settings
    )


def test_settings_of_batches_from_before_there_were_sides_are_positive() -> None:
    old = ExplainerSettings().model_dump(mode="json")
    del old["side"]
    assert explainer_settings(old).side == "positive"
    with pytest.raises(InvalidInput, match="side='left'"):
        explainer_settings({"side": "left"})


def test_each_side_has_explanations_of_its_own(database: Database) -> None:
    with database.writing() as session:
        neuron_id = make_both_sides(session)
        positive = plan(session, [neuron_id], ExplainerSettings())
        session.execute(sa.update(Explanation).values(status=DONE, text="Cats."))
        negative = plan(session, [neuron_id])
        assert (negative.n_explanations, negative.n_reused) == (1, 0)
        rows = session.execute(sa.select(Explanation.batch_id, Explanation.side).order_by(Explanation.id)).all()
        assert [tuple(row) for row in rows] == [(positive.id, "positive"), (negative.id, "negative")]
        session.execute(sa.update(Explanation).values(status=DONE, text="Cats."))
        again = plan(session, [neuron_id])
        assert (again.n_explanations, again.n_reused) == (0, 1)


def test_a_side_of_which_nothing_is_recorded_is_not_explained(database: Database) -> None:
    with database.writing() as session:
        neuron_id = make_both_sides(session)
        subject = session.scalars(sa.select(SubjectModel)).one()
        bare = make_neuron(session, subject, 1, 2)
        make_records(session, bare)
        with pytest.raises(InvalidInput, match="nothing is recorded of the negative side of neuron 1:2 of 'toy'"):
            plan(session, [neuron_id, bare.id])
        assert plan(session, [bare.id], ExplainerSettings()).n_explanations == 1


@pytest.fixture
def admin(admin_client: TestClient, database: Database, settings: Settings) -> TestClient:
    migrate_jobs(settings.jobs_database_url)
    with database.writing() as session:
        make_both_sides(session)
    return admin_client


def test_a_batch_of_the_negative_side_is_ordered_by_the_form_and_says_so(admin: TestClient, database: Database) -> None:
    form = admin.get("/batches/new")
    response = submit(admin, form, methods=["tokens"], explainer="none", side="negative")
    assert response.headers["location"] == "/batches/1"
    with database.reading() as session:
        assert set(session.scalars(sa.select(Explanation.side))) == {"negative"}
    assert "2 explanations of the negative side of neurons of toy" in admin.get("/batches/1").text
    assert "negative side" in admin.get("/batches").text


def test_a_batch_of_the_positive_side_says_nothing_of_sides(admin: TestClient) -> None:
    submit(admin, admin.get("/batches/new"), methods=["tokens"], explainer="none")
    assert "2 explanations of neurons of toy" in admin.get("/batches/1").text
    assert "negative side" not in admin.get("/batches").text


def test_the_form_asks_for_the_side_where_a_model_has_two(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_subject(session, "plain")
    assert 'name="side"' not in admin_client.get("/batches/new").text
    with database.writing() as session:
        make_subject(session, "gated", polarity="both")
    html = admin_client.get("/batches/new").text
    assert 'name="side"' in html
    assert '<option value="gated" class="has-negative-side">gated</option>' in html
    assert '<option value="plain">plain</option>' in html


def test_a_negative_side_that_a_model_lacks_is_refused_on_the_form(admin: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_records(session, make_neuron(session, make_subject(session, "plain"), 0))
    listed = {"neuron_choice": "listed", "csv_text": "layer,neuron\n0,0\n"}
    form = admin.get("/batches/new")
    response = submit(admin, form, subject="plain", methods=["tokens"], explainer="none", side="negative", **listed)
    assert response.status_code == 400
    assert "nothing is recorded of the negative side of neuron 0:0" in response.text
