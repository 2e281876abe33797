"""Choosing neurons at random or by their scores, on both databases."""

import random

import pytest
from sqlalchemy.orm import Session

from app.batches.choosing import (
    NeuronChoice,
    RandomInterpretable,
    RandomNeurons,
    SavedSet,
    TopNeurons,
    TopPerLayer,
    choice_as_json,
    chosen_neurons,
    in_words,
    settled_choice,
)
from app.database import Database
from app.errors import InvalidInput
from app.explanations.methods import FALSE, REFERENCE
from app.neurons.lists import ListedNeurons
from app.neurons.models import Neuron
from app.neurons.reading import subject_named
from app.neurons.records import Side
from app.neurons.sets import save_set
from tests.factories import make_explanation, make_neuron, make_score, make_subject

N = 8
"""Neurons per layer."""


def make_neurons(session: Session, name: str = "toy") -> dict[tuple[int, int], int]:
    """Ids by place of a subject model's neurons, in two layers."""
    subject = make_subject(session, name, n_layers=2, n_neurons_per_layer=N)
    return {(layer, index): make_neuron(session, subject, layer, index).id for layer in range(2) for index in range(N)}


def score(
    session: Session,
    neuron_id: int,
    value: float | None,
    method: str = REFERENCE,
    metric: str = "simulation",
    side: Side = "positive",
    scorer: str = "imported",
) -> None:
    """One more explanation of a neuron, with its score."""
    neuron = session.get_one(Neuron, neuron_id)
    explanation = make_explanation(session, neuron, method, f"local:{value}", side=side)
    make_score(session, explanation, metric, value, scorer=scorer)


def make_scored(session: Session) -> dict[tuple[int, int], int]:
    """Neuron L:I has a reference that scores I/10 in layer 0, and 0.05 more in layer 1; 0:0 is undefined."""
    ids = make_neurons(session)
    for (layer, index), neuron_id in ids.items():
        score(session, neuron_id, None if (layer, index) == (0, 0) else index / 10 + layer * 0.05)
    return ids


def places(ids: dict[tuple[int, int], int], chosen: list[int]) -> list[tuple[int, int]]:
    by_id = {neuron_id: place for place, neuron_id in ids.items()}
    return [by_id[neuron_id] for neuron_id in chosen]


def test_random_neurons_are_drawn_from_each_layer_by_the_seed(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session)
        make_neurons(session, "other")
        drawn = places(ids, chosen_neurons(session, "toy", RandomNeurons(3, None, seed=5)))
        expected = [
            (layer, index) for layer in range(2) for index in sorted(random.Random(f"5:{layer}").sample(range(N), 3))
        ]
        assert drawn == expected
        assert places(ids, chosen_neurons(session, "toy", RandomNeurons(3, [1], seed=5))) == expected[3:]
        seeds = {tuple(chosen_neurons(session, "toy", RandomNeurons(1, [0], seed))) for seed in range(40)}
        assert len(seeds) == N


def test_interpretable_neurons_are_those_strictly_above_the_threshold(database: Database) -> None:
    with database.writing() as session:
        ids = make_scored(session)
        choice = RandomInterpretable(2, None, seed=0, threshold=0.55)
        drawn = {
            place
            for seed in range(20)
            for place in places(ids, chosen_neurons(session, "toy", RandomInterpretable(2, None, seed, 0.55)))
        }
        assert drawn == {(0, 6), (0, 7), (1, 6), (1, 7)}
        assert places(ids, chosen_neurons(session, "toy", choice)) == [(0, 6), (0, 7), (1, 6), (1, 7)]
        with pytest.raises(InvalidInput, match=r"layer 0 has 2 neurons of toy with a simulation score above 0\.55, 3 "):
            chosen_neurons(session, "toy", RandomInterpretable(3, None, 0, 0.55))
        with pytest.raises(InvalidInput, match=r"layer 0 has 0 neurons of toy with a simulation score above 0\.74"):
            chosen_neurons(session, "toy", RandomInterpretable(1, None, 0, 0.74))


def test_the_top_by_score_of_each_layer_and_of_the_model(database: Database) -> None:
    with database.writing() as session:
        ids = make_scored(session)
        best_of_layers = chosen_neurons(session, "toy", TopPerLayer(2))
        assert places(ids, best_of_layers) == [(0, 7), (0, 6), (1, 7), (1, 6)]
        assert places(ids, chosen_neurons(session, "toy", TopPerLayer(1, [1]))) == [(1, 7)]
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(3))) == [(1, 7), (0, 7), (1, 6)]
        # 0:0 has an undefined score, which is none.
        assert len(chosen_neurons(session, "toy", TopNeurons(2 * N - 1))) == 2 * N - 1
        with pytest.raises(InvalidInput, match="toy has 15 neurons with a simulation score, 16 were asked for"):
            chosen_neurons(session, "toy", TopNeurons(2 * N))
        with pytest.raises(InvalidInput, match="layer 0 has 7 neurons of toy with a simulation score, 8 were asked"):
            chosen_neurons(session, "toy", TopPerLayer(8))


def test_references_count_where_there_are_any_and_the_largest_of_any_method_elsewhere(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session)
        score(session, ids[0, 1], 0.2, "hs")
        score(session, ids[0, 1], 0.9, "summary")
        score(session, ids[0, 2], 0.5, "hs")
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(2))) == [(0, 1), (0, 2)]
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1, method="hs"))) == [(0, 2)]
        score(session, ids[0, 3], 0.1)
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1))) == [(0, 3)]
        with pytest.raises(InvalidInput, match="no explanation of the method avhs of toy has any simulation score"):
            chosen_neurons(session, "toy", TopNeurons(1, method="avhs"))


def test_scores_of_one_scorer_alone_count(database: Database) -> None:
    """The largest over several scorers is on no scale, and what is false of a puzzle explains nothing."""
    with database.writing() as session:
        ids = make_neurons(session)
        for index, value in enumerate((0.1, 0.2, 0.3)):
            score(session, ids[0, index], value, "hs", scorer="local:a")
        score(session, ids[0, 4], 0.99, FALSE, scorer="local:a")
        only = settled_choice(session, "toy", TopNeurons(1), "positive")
        assert only == TopNeurons(1, method=None, scorer="local:a")
        assert in_words(only) == "top 1 of the model by simulation score by local:a"
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1))) == [(0, 2)]
        score(session, ids[0, 0], 0.9, "summary", scorer="local:b")
        several = "toy has simulation scores by local:a, local:b; expected one of these scorers"
        for choice in (TopNeurons(1), TopPerLayer(1), RandomInterpretable(1, None, 0)):
            with pytest.raises(InvalidInput, match=several):
                chosen_neurons(session, "toy", choice)
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1, scorer="local:a"))) == [(0, 2)]
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1, scorer="local:b"))) == [(0, 0)]
        with pytest.raises(InvalidInput, match="no explanation of toy has any simulation score by local:c"):
            chosen_neurons(session, "toy", TopNeurons(1, scorer="local:c"))
        with pytest.raises(InvalidInput, match="no explanation of the method false of toy has any simulation score"):
            chosen_neurons(session, "toy", TopNeurons(1, method=FALSE))
        score(session, ids[0, 3], 0.05, "avhs")
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1))) == [(0, 3)], "imported before others"


def test_a_reference_that_is_compared_with_itself_does_not_count(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session)
        score(session, ids[0, 0], 1.0, REFERENCE, metric="adacs")
        with pytest.raises(InvalidInput, match="no explanation of toy has any adacs score"):
            chosen_neurons(session, "toy", TopNeurons(1, metric="adacs"))
        with pytest.raises(InvalidInput, match="has any adacs score that counts: references are what the others"):
            chosen_neurons(session, "toy", TopNeurons(1, metric="adacs", method=REFERENCE))
        for index, value in ((1, 0.7), (2, 0.8)):
            score(session, ids[0, index], value, "hs", metric="adacs")
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1, metric="adacs"))) == [(0, 2)]


def test_other_metrics_sides_and_subjects_do_not_count(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session)
        others = make_neurons(session, "other")
        score(session, ids[0, 1], 0.9, "hs", metric="adacs")
        score(session, ids[0, 2], 0.8, side="negative")
        score(session, others[0, 3], 0.7)
        with pytest.raises(InvalidInput, match="no explanation of toy has any simulation score; score or import some"):
            chosen_neurons(session, "toy", TopNeurons(1))
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1, metric="adacs"))) == [(0, 1)]
        assert places(ids, chosen_neurons(session, "toy", TopNeurons(1), "negative")) == [(0, 2)]


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        (RandomNeurons(0, None, 0), "0 neurons per layer; expected at least 1"),
        (RandomNeurons(1, [7], 0), "layer 7 has 0 neurons of toy, 1 were asked for"),
        (RandomNeurons(9, [1], 0), "layer 1 has 8 neurons of toy, 9 were asked for; name other layers or fewer"),
        (TopNeurons(0), "0 neurons; expected at least 1"),
    ],
)
def test_too_few_neurons_are_named(database: Database, choice: NeuronChoice, complaint: str) -> None:
    with database.writing() as session:
        make_scored(session)
        with pytest.raises(InvalidInput, match=complaint):
            chosen_neurons(session, "toy", choice)


def test_a_saved_set_is_a_choice(database: Database) -> None:
    with database.writing() as session:
        ids = make_neurons(session)
        save_set(session, subject_named(session, "toy"), "mine", [ids[1, 2], ids[0, 5]], {})
        assert places(ids, chosen_neurons(session, "toy", SavedSet("mine"))) == [(0, 5), (1, 2)]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (RandomNeurons(5, None, 3), "random, 5 per layer, seed 3"),
        (RandomNeurons(1, (0, 1, 2, 7), 0), "random, 1 per layer of layers 0-2, 7, seed 0"),
        (
            RandomInterpretable(1, None, 0),
            "random interpretable (simulation score above 0.35), 1 per layer, seed 0",
        ),
        (TopPerLayer(20, (3,), method=REFERENCE), "top 20 per layer of layer 3 by simulation score of reference"),
        (TopNeurons(1000, "adacs"), "top 1000 of the model by adacs score"),
        (SavedSet("mine"), "the set mine"),
        (ListedNeurons("/home/ada/secret/mine.csv", "layer,neuron\n0,0\n"), "listed in mine.csv"),
    ],
)
def test_a_choice_in_words(choice: NeuronChoice, words: str) -> None:
    assert in_words(choice) == words
    assert choice_as_json(choice)["in_words"] == words


def test_what_a_set_keeps_of_its_choice() -> None:
    assert choice_as_json(RandomInterpretable(1, (0, 1), 4)) == {
        "kind": "interpretable",
        "in_words": "random interpretable (simulation score above 0.35), 1 per layer of layers 0-1, seed 4",
        "per_layer": 1,
        "layers": [0, 1],
        "seed": 4,
        "threshold": 0.35,
        "metric": "simulation",
        "method": None,
        "scorer": "",
    }
