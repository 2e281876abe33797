"""Studies judge what was said of the positive side: an explanation of the negative one never comes in, by any way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.models import Explanation
from app.neurons.models import Excerpt, Neuron, SubjectModel
from app.studies.dealing.showing import explanations_of, pool_of_false_texts, texts_by_neuron
from app.studies.drafting.choices import condition_choices
from app.studies.drafting.design_file import export_design, import_design
from app.studies.drafting.neuron_sets import PerLayer, check_conditions_exist, chosen_neurons, qualifying_neurons
from app.studies.lifecycle import open_study
from app.studies.models import FrozenText, Study
from app.tables import metadata
from tests.factories import make_explanation, make_neuron, make_subject
from tests.studies.factories import EXPLAINER, METHODS, NOW, make_draft, make_explained_subject
from tests.studies.raters_browser import add_batch

NEGATIVE = "what the neuron shuns"
HS = (("hs", EXPLAINER),)


def add_negative(session: Session) -> None:
    """To every neuron an explanation of its negative side by each method that has one of the positive side: newer, and
    so the one that a study would take."""
    for explanation in session.scalars(sa.select(Explanation).order_by(Explanation.id)).all():
        neuron = session.get_one(Neuron, explanation.neuron_id)
        make_explanation(session, neuron, explanation.method, EXPLAINER, text=NEGATIVE, side="negative")


def make_both_sides(session: Session) -> Study:
    make_explained_subject(session, "toy-demo")
    add_negative(session)
    return make_draft(session, "demo", n_per_layer=2)


def make_negative_only(session: Session) -> SubjectModel:
    """A subject with one neuron per layer, of whose negative side alone something was said."""
    subject = make_subject(session, "toy-demo")
    for layer in range(2):
        make_explanation(session, make_neuron(session, subject, layer), "hs", EXPLAINER, side="negative")
    return subject


def test_a_draft_shows_texts_of_the_positive_side(database: Database) -> None:
    with database.writing() as session:
        study = make_both_sides(session)
        shown = explanations_of(session, study)
        assert len(shown) == 4 * len(METHODS)
        assert {explanation.side for explanation in shown.values()} == {"positive"}
        neuron_ids = sorted({neuron_id for neuron_id, _ in shown})
        texts = [text for texts in texts_by_neuron(session, study, neuron_ids).values() for text in texts]
        assert not any(NEGATIVE in text.lower() for text in texts)
        assert not any(NEGATIVE in text.lower() for text in pool_of_false_texts(session, study, "neurons"))


def test_an_open_study_has_frozen_texts_of_the_positive_side(database: Database) -> None:
    with database.writing() as session:
        make_both_sides(session)
        open_study(session, "demo", NOW)
        frozen = session.scalars(sa.select(Explanation.side).join(FrozenText.explanation)).all()
        assert (len(frozen), set(frozen)) == (4 * len(METHODS), {"positive"})


def test_a_neuron_described_on_its_negative_side_alone_is_no_neuron_of_a_study(database: Database) -> None:
    with database.writing() as session:
        subject = make_negative_only(session)
        assert qualifying_neurons(session, "toy-demo", HS) == []
        with pytest.raises(InvalidInput, match="too few neurons"):
            chosen_neurons(session, subject, HS, PerLayer(1), 0)


def test_a_condition_of_the_negative_side_does_not_exist_for_studies(database: Database) -> None:
    with database.writing() as session:
        subject = make_negative_only(session)
        with pytest.raises(UnknownName, match=r"there are explanations by: none yet$"):
            check_conditions_exist(session, subject, HS)
        neuron = session.scalars(sa.select(Neuron)).first()
        assert neuron is not None
        make_explanation(session, neuron, "avhs", EXPLAINER)
        with pytest.raises(UnknownName, match=rf"there are explanations by: avhs@{EXPLAINER}$"):
            check_conditions_exist(session, subject, HS)


def test_the_form_of_a_new_study_offers_no_condition_of_the_negative_side(database: Database) -> None:
    with database.writing() as session:
        make_negative_only(session)
    add_batch(database, "toy-demo")
    with database.reading() as session:
        assert condition_choices(session, "toy-demo") == ()


@pytest.fixture
def other_lab(tmp_path: Path) -> Iterator[Database]:
    """Another, empty installation."""
    database = Database(f"sqlite:///{tmp_path / 'other-lab.sqlite'}")
    metadata.create_all(database.engine)
    yield database
    database.dispose()


def test_a_design_holds_texts_of_the_positive_side(database: Database) -> None:
    with database.writing() as session:
        make_both_sides(session)
        assert NEGATIVE not in export_design(session, "demo").lower()


def test_an_imported_text_is_never_that_of_a_negative_side(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=2)
        text = export_design(session, "demo")
        # The same words of the other side, and none of this one: import has to make the positive ones anew.
        session.execute(sa.update(Explanation).values(side="negative"))
    with database.writing() as session:
        import_design(session, text, "again", now=NOW)
        sides = session.scalars(sa.select(Explanation.side).join(FrozenText.explanation)).all()
        assert (len(sides), set(sides)) == (4 * len(METHODS), {"positive"})


def test_a_design_on_imported_neurons_keeps_what_is_unknown_unknown(database: Database, other_lab: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        unknown = dict.fromkeys(("mean", "variance", "skewness", "kurtosis", "share_active", "q90"))
        session.execute(sa.update(Neuron).values(unknown))
        session.execute(sa.update(Excerpt).values(token_ids=b""))
        make_draft(session, "demo", n_per_layer=2)
        text = export_design(session, "demo")
    with other_lab.writing() as session:
        import_design(session, text, now=NOW)
        neurons = session.scalars(sa.select(Neuron)).all()
        assert {(neuron.mean, neuron.variance, neuron.share_active, neuron.q90) for neuron in neurons} == {(None,) * 4}
        assert set(session.scalars(sa.select(Excerpt.token_ids))) == {b""}
        assert export_design(session, "demo") == text
