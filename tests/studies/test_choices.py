"""What the form of a new study offers."""

from app.database import Database
from app.studies.drafting.choices import condition_choices
from tests.studies.factories import EXPLAINER, METHODS, make_draft, make_explained_subject
from tests.studies.raters_browser import add_batch


def test_conditions_come_from_batches_in_the_methods_usual_order(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo")
        make_explained_subject(session, "other")
        assert condition_choices(session, "toy-demo") == ()
    add_batch(database, "toy-demo")
    with database.reading() as session:
        assert [choice.value for choice in condition_choices(session, "toy-demo")] == [
            f"{m}@{EXPLAINER}" for m in METHODS
        ]
        assert condition_choices(session, "other") == ()


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
