"""Choosing neurons, on both databases."""

import pytest
from sqlalchemy.orm import Session

from app.batches.choosing import ClearPeaks, chosen_neurons, neurons_with_a_clear_peak
from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.neurons.models import Neuron, SubjectModel
from tests.factories import make_neuron, make_record, make_subject


def make_peaks(session: Session, subject: SubjectModel, layer: int, peaks: list[float]) -> list[int]:
    """Neurons whose weakest shown excerpt is so many times their 0.9 quantile."""
    ids = []
    for index, peak in enumerate(peaks):
        neuron = make_neuron(session, subject, layer, index, maximum=100.0, q90=2.0)
        make_record(session, neuron, "top", 0, activations=(0, 0, 0, 0, 100.0))
        make_record(session, neuron, "top", 16, activations=(0, 0, 0, 0, 2.0 * peak))
        make_record(session, neuron, "top", 17, activations=(0, 0, 0, 0, 0))
        make_record(session, neuron, "random", 0, activations=(0, 0, 0, 0, 0))
        ids.append(neuron.id)
    return ids


def test_draws_the_clearest_peaks_of_each_layer(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, n_layers=2)
        first = make_peaks(session, subject, 0, [1.5, 4.0, 2.0])
        second = make_peaks(session, subject, 1, [3.0, 1.0, 2.0])
        make_peaks(session, make_subject(session, "other"), 0, [50.0])
        assert neurons_with_a_clear_peak(session, "toy", range(2), 1, seed=0) == [first[1], second[0]]
        assert neurons_with_a_clear_peak(session, "toy", None, 1, seed=0) == [first[1], second[0]]
        assert neurons_with_a_clear_peak(session, "toy", [1], 2, seed=0) == [second[0], second[2]]


def test_neurons_that_are_usually_silent_have_no_peak_to_compare(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        silent = make_neuron(session, subject, 0, 0, q90=0.0)
        make_record(session, silent, activations=(0, 0, 0, 0, 5.0))
        with pytest.raises(InvalidInput, match="layer 0 of 'toy' has 0 neurons with a peak, 1 were asked for"):
            neurons_with_a_clear_peak(session, "toy", [0], 1, seed=0)


def test_the_seed_decides_among_the_clearest_twentieth(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        ids = make_peaks(session, subject, 0, [1 + index / 10 for index in range(60)])
        drawn = {neurons_with_a_clear_peak(session, "toy", [0], 1, seed)[0] for seed in range(40)}
        assert drawn == set(ids[-3:])
        assert neurons_with_a_clear_peak(session, "toy", [0], 1, 7) == neurons_with_a_clear_peak(
            session, "toy", [0], 1, 7
        )


def test_a_subject_of_which_texts_alone_are_here_has_no_peaks(database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session), maximum=0.0).mean = None
        with pytest.raises(InvalidInput, match=r"^no activations of 'toy' are here"):
            neurons_with_a_clear_peak(session, "toy", None, 1, seed=0)


def test_an_unknown_subject_or_layer_is_named(database: Database) -> None:
    with database.writing() as session:
        make_subject(session)
        with pytest.raises(UnknownName, match="no recorded subject model 'gpt9'"):
            neurons_with_a_clear_peak(session, "gpt9", [0], 1, seed=0)
        with pytest.raises(InvalidInput, match="layer 9 of 'toy' has 0 neurons"):
            neurons_with_a_clear_peak(session, "toy", [9], 1, seed=0)
        with pytest.raises(InvalidInput, match="per_layer=0"):
            neurons_with_a_clear_peak(session, "toy", [0], 0, seed=0)


def make_troughs(session: Session, subject: SubjectModel, layer: int, troughs: list[float]) -> list[int]:
    """Neurons whose weakest shown excerpt goes so many times as far below 0 as nine of ten excerpts stay."""
    ids = []
    for index, trough in enumerate(troughs):
        neuron = make_neuron(session, subject, layer, index, maximum=100.0, q90=2.0)
        neuron.q90_negative = 0.5
        make_record(session, neuron, "bottom", 0, activations=(0, 0, 0, 100.0, -60.0))
        make_record(session, neuron, "bottom", 16, activations=(0, 0, 0, 100.0, -0.5 * trough))
        make_record(session, neuron, "bottom", 17, activations=(0, 0, 0, 0, 0))
        # As clear on the positive side as it is not on the negative one.
        make_record(session, neuron, "top", 0, activations=(0, 0, 0, 0, 100.0 / trough))
        ids.append(neuron.id)
    return ids


def test_the_negative_side_has_peaks_of_its_own(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, polarity="both")
        first = make_troughs(session, subject, 0, [1.5, 4.0, 2.0])
        second = make_troughs(session, subject, 1, [3.0, 1.0, 2.0])
        assert neurons_with_a_clear_peak(session, "toy", None, 1, 0, "negative") == [first[1], second[0]]
        assert neurons_with_a_clear_peak(session, "toy", [1], 2, 0, "negative") == [second[0], second[2]]
        assert chosen_neurons(session, "toy", ClearPeaks(1, None, 0), "negative") == [first[1], second[0]]
        assert chosen_neurons(session, "toy", ClearPeaks(1, None, 0)) == [first[0], second[1]]


def test_neurons_of_which_nothing_negative_is_known_have_no_negative_peak(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        make_peaks(session, subject, 0, [4.0])
        with pytest.raises(InvalidInput, match="layer 0 of 'toy' has 0 neurons with a negative peak, 1 were asked for"):
            neurons_with_a_clear_peak(session, "toy", [0], 1, 0, "negative")


def test_imported_neurons_without_a_quantile_are_passed_over(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status=None)
        known, unknown = make_peaks(session, subject, 0, [2.0, 9.0])
        session.get_one(Neuron, unknown).q90 = None
        session.flush()
        assert neurons_with_a_clear_peak(session, "toy", [0], 1, seed=0) == [known]


def test_neurons_with_fewer_excerpts_than_others_are_passed_over(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status=None)
        (whole,) = make_peaks(session, subject, 0, [1.5])
        few = make_neuron(session, subject, 0, 7, q90=0.5)
        few.q90_negative = 0.5
        make_record(session, few, "top", 0, activations=(0, 0, 0, 0, 100.0))
        make_record(session, few, "bottom", 0, activations=(0, 0, 0, 0, -100.0))
        (deep,) = make_troughs(session, subject, 1, [2.0])
        session.get_one(Neuron, deep).layer, session.get_one(Neuron, deep).index = 0, 8
        session.flush()
        assert neurons_with_a_clear_peak(session, "toy", [0], 1, seed=0) == [whole]
        assert neurons_with_a_clear_peak(session, "toy", [0], 1, 0, "negative") == [deep]


def test_all_layers_are_those_that_an_import_brought(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status=None, n_layers=9)
        ids = make_peaks(session, subject, 3, [2.0]) + make_peaks(session, subject, 8, [2.0])
        assert neurons_with_a_clear_peak(session, "toy", None, 1, seed=0) == ids


def test_the_missing_quantile_is_named(database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session))
        with pytest.raises(InvalidInput, match=r"a peak needs excerpts and q90, the 0\.9 quantile"):
            neurons_with_a_clear_peak(session, "toy", [0], 1, seed=0)
        with pytest.raises(InvalidInput, match=r"a peak needs excerpts and q90_negative, the 0\.9 quantile"):
            neurons_with_a_clear_peak(session, "toy", [0], 1, 0, "negative")
