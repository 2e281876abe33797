"""Saved sets of neurons, on both databases, and their page."""

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.neurons.models import NeuronSet, NeuronSetMember, SubjectModel
from app.neurons.sets import checked_set_name, save_set, saved_sets, set_members
from tests.factories import make_neuron, make_subject

CHOSEN = {"kind": "random", "in_words": "random, 1 per layer, seed 0"}


def make_neurons(session: Session, name: str = "toy") -> tuple[SubjectModel, list[int]]:
    """A subject model; ids of its neurons 0:0, 0:1, 1:0 and 1:1."""
    subject = make_subject(session, name)
    return subject, [make_neuron(session, subject, layer, index).id for layer in range(2) for index in range(2)]


def test_a_set_gives_its_neurons_back_layer_by_layer(database: Database) -> None:
    with database.writing() as session:
        subject, ids = make_neurons(session)
        save_set(session, subject, " clear ones ", [ids[3], ids[0], ids[3]], CHOSEN)
        assert set_members(session, "toy", "clear ones") == [ids[0], ids[3]]
        assert session.scalars(sa.select(NeuronSet.chosen)).one() == CHOSEN


def test_saving_the_same_neurons_again_changes_nothing(database: Database) -> None:
    with database.writing() as session:
        subject, ids = make_neurons(session)
        first = save_set(session, subject, "some", ids[:2], CHOSEN)
        again = save_set(session, subject, "some", ids[1::-1], {"in_words": "otherwise"})
        assert again.id == first.id
        assert [each.chosen for each in saved_sets(session, subject.id)] == ["random, 1 per layer, seed 0"]
        assert session.scalar(sa.select(sa.func.count()).select_from(NeuronSetMember)) == 2


@pytest.mark.parametrize("others", [[0], [0, 1, 2], [2, 3]])
def test_a_name_that_stands_for_other_neurons_is_a_conflict(database: Database, others: list[int]) -> None:
    with database.writing() as session:
        subject, ids = make_neurons(session)
        save_set(session, subject, "some", ids[:2], CHOSEN)
        with pytest.raises(Conflict, match="there is a neuron set 'some' of toy with other neurons"):
            save_set(session, subject, "some", [ids[other] for other in others], CHOSEN)
        assert set_members(session, "toy", "some") == ids[:2]


@pytest.mark.parametrize("name", ["", " ", "-x", "a/b", "x" * 101, "naïve", "a\nb"])
def test_a_name_that_pages_and_commands_cannot_say_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="expected up to 100 letters, digits"):
        checked_set_name(name)


def test_an_unknown_set_lists_those_of_the_subject_alone(database: Database) -> None:
    with database.writing() as session:
        subject, ids = make_neurons(session)
        other, other_ids = make_neurons(session, "other")
        save_set(session, other, "theirs", other_ids, CHOSEN)
        with pytest.raises(UnknownName, match="no neuron set 'ours' of 'toy'; saved are: none yet"):
            set_members(session, "toy", "ours")
        save_set(session, subject, "theirs", ids[:1], CHOSEN)
        assert set_members(session, "toy", "theirs") == ids[:1]
        assert set_members(session, "other", "theirs") == other_ids


def test_sets_are_listed_by_name_with_how_many_are_in_them(
    database: Database, admin_client: TestClient, researcher_client: TestClient
) -> None:
    with database.writing() as session:
        subject, ids = make_neurons(session)
        save_set(session, subject, "zebra", ids, CHOSEN)
        save_set(session, subject, "antelope", ids[:1], {"in_words": "listed in a.csv"})
        listed = [(each.name, each.chosen, each.n_neurons) for each in saved_sets(session, subject.id)]
        make_neurons(session, "other")
    assert listed == [("antelope", "listed in a.csv", 1), ("zebra", CHOSEN["in_words"], 4)]
    html = researcher_client.get("/neuron-sets?subject=toy").text
    assert html.index("antelope") < html.index("zebra") < html.index(CHOSEN["in_words"])
    assert "No set of other is saved yet." in admin_client.get("/neuron-sets").text
    assert researcher_client.get("/neuron-sets?subject=nobody").status_code == 404


def test_without_a_subject_model_the_page_says_so(researcher_client: TestClient) -> None:
    assert "No subject model is recorded yet." in researcher_client.get("/neuron-sets").text
