"""What the form of a new study offers."""

from app.database import Database
from app.explanations.models import FAILED
from app.studies.drafting.choices import condition_choices
from tests.factories import make_explanation, make_neuron, make_subject
from tests.studies.factories import EXPLAINER, METHODS, make_draft, make_explained_subject
from tests.studies.raters_browser import add_batch


def test_conditions_come_from_batches_in_the_methods_usual_order(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
    add_batch(database, "toy-demo")
    with database.reading() as session:
        assert [choice.value for choice in condition_choices(session, "toy-demo")] == [
            f"{m}@{EXPLAINER}" for m in METHODS
        ]


def test_imported_explanations_which_have_no_batch_are_offered_for_their_own_subject(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, "toy-demo"))
        other = make_neuron(session, make_subject(session, "other"))
        make_explanation(session, neuron, "imported", "openai:gpt-4")
        make_explanation(session, neuron, "avhs", "openai:gpt-4", side="negative")
        make_explanation(session, neuron, "hs", "openai:gpt-4", status=FAILED)
        make_explanation(session, other, "original", "openai:gpt-4")
        assert [choice.value for choice in condition_choices(session, "toy-demo")] == ["imported@openai:gpt-4"]
        assert [choice.value for choice in condition_choices(session, "other")] == ["original@openai:gpt-4"]


def test_conditions_of_earlier_studies_are_offered_where_no_batch_made_them(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_draft(session, "demo", n_per_layer=2)
        assert {choice.title for choice in condition_choices(session, "toy-demo")} == {
            "Original",
            "Summary",
            "Highlight",
            "HS",
            "AVHS",
        }
