"""The neurons of a study: drawn per layer, or listed in a CSV."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.choosing import SavedSet
from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.models import Explanation
from app.neurons.lists import ListedNeurons
from app.neurons.models import Neuron, SubjectModel
from app.neurons.sets import save_set
from app.studies.drafting.neuron_sets import (
    NeuronSet,
    PerLayer,
    Stratified,
    chosen_neurons,
    described_choice,
    qualifying_neurons,
)
from tests.factories import make_explanation, make_neuron, make_subject
from tests.studies.factories import CONDITIONS, EXPLAINER, make_explained_subject


def make_wide_subject(session: Session, n_per_layer: int = 6) -> SubjectModel:
    """Two layers; every neuron is explained by `hs` and `avhs`, but for the last of layer 1, which has only `hs`."""
    subject = make_subject(session, "wide", n_layers=2, n_neurons_per_layer=n_per_layer)
    # Stored in falling order of index: a draw that leant on the order of rows would show it.
    for layer in range(2):
        for index in reversed(range(n_per_layer)):
            neuron = make_neuron(session, subject, layer, index)
            for method in ("hs", "avhs") if (layer, index) != (1, n_per_layer - 1) else ("hs",):
                make_explanation(session, neuron, method, EXPLAINER, text=f"{method} {layer}:{index}")
    return subject


TWO = (("hs", EXPLAINER), ("avhs", EXPLAINER))


def places(session: Session, subject: SubjectModel, neurons: NeuronSet, seed: int = 7) -> Sequence[tuple[int, int]]:
    return [(n.layer, n.index) for n in chosen_neurons(session, subject, TWO, neurons, seed)]


def test_as_many_neurons_are_drawn_from_each_layer_and_the_seed_decides_which(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session)
        drawn = places(session, subject, PerLayer(3))
        assert [layer for layer, _ in drawn] == [0, 0, 0, 1, 1, 1]
        assert drawn == sorted(set(drawn))
        assert drawn == places(session, subject, PerLayer(3))
        assert len({tuple(places(session, subject, PerLayer(3), seed)) for seed in range(10)}) > 5


def test_the_draw_of_a_layer_does_not_depend_on_which_other_layers_are_drawn_from(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session)
        both = places(session, subject, PerLayer(2))
        assert places(session, subject, PerLayer(2, layers=(1,))) == both[2:]


def test_a_number_of_neurons_is_spread_evenly_over_the_layers(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, "deep", n_layers=6, n_neurons_per_layer=3)
        for layer in range(6):
            for index in range(1 if layer == 0 else 3):
                neuron = make_neuron(session, subject, layer, index)
                for method in ("hs", "avhs"):
                    make_explanation(session, neuron, method, EXPLAINER)
        layers = {n: [layer for layer, _ in places(session, subject, Stratified(n))] for n in (3, 6, 11, 16)}
        assert layers[3] in ([0, 2, 4], [1, 3, 5])
        assert layers[6] == [0, 1, 2, 3, 4, 5]
        # The first layer has one neuron only: the others make up for it.
        assert layers[11] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert layers[16] == [0, *(layer for layer in range(1, 6) for _ in range(3))]
        assert [layer for layer, _ in places(session, subject, Stratified(4, layers=(1, 4)))] == [1, 1, 4, 4]
        drawn = places(session, subject, Stratified(6))
        assert drawn == places(session, subject, Stratified(6))
        assert len({tuple(places(session, subject, Stratified(6), seed)) for seed in range(10)}) > 5
        with pytest.raises(InvalidInput, match=r"16 neurons have an explanation by every .*; expected 17"):
            places(session, subject, Stratified(17))
        with pytest.raises(InvalidInput, match="0 neurons; expected 1 or more"):
            places(session, subject, Stratified(0))


def test_only_neurons_that_every_condition_has_described_are_drawn(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        assert places(session, subject, PerLayer(2, layers=(1, 1))) == [(1, 0), (1, 1)]
        assert qualifying_neurons(session, "wide", TWO) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
        assert qualifying_neurons(session, "wide", TWO, layers=[1]) == [(1, 0), (1, 1)]
        session.execute(sa.update(Explanation).where(Explanation.method == "hs").values(status="queued", text=None))
        assert qualifying_neurons(session, "wide", TWO) == []


def test_too_few_neurons_are_refused_with_the_number_in_each_short_layer(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        with pytest.raises(InvalidInput) as refused:
            places(session, subject, PerLayer(3))
    assert str(refused.value) == (
        "too few neurons have an explanation by every condition: layer 1: 2; expected 3 in each"
    )


@pytest.mark.parametrize(
    ("neurons", "reason"),
    [
        (PerLayer(0), "0 neurons per layer; expected 1 or more"),
        (PerLayer(1, layers=()), "no layer was given; expected one or more"),
        (PerLayer(1, layers=(0, 2)), "wide has no layer 2; expected 0 to 1"),
        (PerLayer(1, layers=(-1,)), "wide has no layer -1; expected 0 to 1"),
    ],
)
def test_numbers_that_make_no_neuron_set_are_refused(database: Database, neurons: PerLayer, reason: str) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=1)
        with pytest.raises(InvalidInput) as refused:
            places(session, subject, neurons)
    assert str(refused.value) == reason


def test_another_subjects_neurons_and_explanations_stay_out(database: Database) -> None:
    with database.writing() as session:
        make_explained_subject(session, "rich")
        bare = make_subject(session, "bare", n_layers=2, n_neurons_per_layer=2)
        make_neuron(session, bare, 0, 0)
        assert qualifying_neurons(session, "bare", CONDITIONS) == []
        chosen = chosen_neurons(session, rich(session), CONDITIONS, PerLayer(2), 1)
        assert {neuron.subject_id for neuron in chosen} == {rich(session).id}


def rich(session: Session) -> SubjectModel:
    return session.scalars(sa.select(SubjectModel).where(SubjectModel.name == "rich")).one()


@pytest.mark.parametrize(
    "text",
    ["layer,neuron\n1,0\n0,1\n", "\ufeffNeuron, Layer ,note\r\n0,1,a\r\n\r\n1,0,b\r\n"],
)
def test_a_csv_lists_the_neurons(database: Database, text: str) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        assert places(session, subject, ListedNeurons("neurons.csv", text)) == [(0, 1), (1, 0)]


def test_every_line_that_cannot_be_used_is_named_with_its_reason(database: Database) -> None:
    lines = ["layer,neuron", "0,1", "x,1", "0,1.5", "0,", "0", "0,7", "0,1", "-1,0", "1,2", "0,99999999999999999999"]
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        with pytest.raises(InvalidInput) as refused:
            places(session, subject, ListedNeurons("n.csv", "\n".join(lines)))
    assert str(refused.value).split("; ") == [
        "n.csv, line 3: layer 'x' is not a whole number from 0",
        "n.csv, line 4: neuron '1.5' is not a whole number from 0",
        "n.csv, line 5: neuron '' is not a whole number from 0",
        "n.csv, line 6: neuron '' is not a whole number from 0",
        "n.csv, line 7: wide has no neuron 0:7",
        "n.csv, line 8: neuron 0:1 is there twice",
        "n.csv, line 9: layer '-1' is not a whole number from 0",
        "n.csv, line 10: neuron 1:2 has no explanation by avhs@local:toy",
        "n.csv, line 11: neuron '99999999999999999999' is not a whole number from 0",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "n.csv, line 1: no column layer and no column neuron; expected layer,neuron"),
        ("layer;neuron\n0;1\n", "n.csv, line 1: no column layer and no column neuron; expected layer,neuron"),
        ("layer,index\n0,1\n", "n.csv, line 1: no column neuron; expected layer,neuron"),
        ("layer,neuron\n", "n.csv lists no neuron; expected one or more lines below layer,neuron"),
        ('layer,neuron\n0,"1\n', "n.csv, line 2: not CSV (unexpected end of data)"),
    ],
)
def test_a_file_that_lists_no_neurons_is_refused(database: Database, text: str, reason: str) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=1)
        with pytest.raises(InvalidInput) as refused:
            places(session, subject, ListedNeurons("n.csv", text))
    assert str(refused.value) == reason


def save(session: Session, subject: SubjectModel, *places: tuple[int, int]) -> None:
    here = {(neuron.layer, neuron.index): neuron.id for neuron in session.scalars(sa.select(Neuron))}
    save_set(session, subject, "mine", [here[place] for place in places], {"in_words": "by hand"})


def test_a_saved_set_is_taken_whole(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        save(session, subject, (1, 1), (0, 2), (1, 0))
        assert places(session, subject, SavedSet(" mine")) == [(0, 2), (1, 0), (1, 1)]
        with pytest.raises(UnknownName, match="there is no neuron set 'other' of 'wide'; saved are: mine"):
            places(session, subject, SavedSet("other"))


def test_a_saved_set_with_a_neuron_that_lacks_a_description_is_refused_and_an_empty_one(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        save(session, subject, (0, 0), (1, 2))
        lacking = "neuron set 'mine': neuron 1:2 has no explanation by avhs@local:toy"
        with pytest.raises(InvalidInput, match=f"^{lacking}$"):
            places(session, subject, SavedSet("mine"))
        save_set(session, subject, "empty", [], {})
        with pytest.raises(InvalidInput, match="neuron set 'empty': no neuron is in it"):
            places(session, subject, SavedSet("empty"))


def test_the_choice_is_described_for_people() -> None:
    assert described_choice(SavedSet("mine"), 3, 9) == {
        "kind": "saved set",
        "name": "mine",
        "n_neurons": 3,
        "seed": 9,
    }
    assert described_choice(PerLayer(2, layers=(0, 3)), 4, 9) == {
        "kind": "per layer",
        "n_per_layer": 2,
        "layers": [0, 3],
        "n_neurons": 4,
        "seed": 9,
    }
    assert described_choice(Stratified(4, layers=(0, 3)), 4, 9) == {
        "kind": "spread over the layers",
        "layers": [0, 3],
        "n_neurons": 4,
        "seed": 9,
    }
    assert described_choice(ListedNeurons("n.csv", ""), 5, 9) == {
        "kind": "csv",
        "file": "n.csv",
        "n_neurons": 5,
        "seed": 9,
    }


def test_neurons_of_the_set_are_sorted_by_place(database: Database) -> None:
    with database.writing() as session:
        subject = make_wide_subject(session, n_per_layer=3)
        text = "layer,neuron\n1,1\n0,2\n1,0\n0,0\n"
        assert places(session, subject, ListedNeurons("n.csv", text)) == [(0, 0), (0, 2), (1, 0), (1, 1)]
