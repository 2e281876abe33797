"""Choosing neurons, on both databases."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.explanations.choosing import neurons_from_csv, neurons_with_a_clear_peak
from app.neurons.models import SubjectModel
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


def test_an_unknown_subject_or_layer_is_named(database: Database) -> None:
    with database.writing() as session:
        make_subject(session)
        with pytest.raises(UnknownName, match="no recorded subject model 'gpt9'"):
            neurons_with_a_clear_peak(session, "gpt9", [0], 1, seed=0)
        with pytest.raises(InvalidInput, match="layer 9 of 'toy' has 0 neurons"):
            neurons_with_a_clear_peak(session, "toy", [9], 1, seed=0)
        with pytest.raises(InvalidInput, match="per_layer=0"):
            neurons_with_a_clear_peak(session, "toy", [0], 0, seed=0)


def from_csv(session: Session, folder: Path, text: str) -> list[int]:
    path = folder / "neurons.csv"
    path.write_text(text, encoding="utf-8")
    return neurons_from_csv(session, "toy", path)


def test_reads_neurons_by_layer_and_index(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        first, second = make_neuron(session, subject, 0, 2), make_neuron(session, subject, 1, 0)
        make_neuron(session, make_subject(session, "other"), 1, 0)
        text = '\ufeffscore,Layer,Neuron\n0.5,1,0\n"0,6", 0 ,2\n0.5,1,0\n\n'
        assert from_csv(session, tmp_path, text) == [second.id, first.id]


def test_every_bad_row_is_named_with_file_line_and_reason(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session), 0, 0)
        with pytest.raises(InvalidInput) as error:
            from_csv(session, tmp_path, "layer,neuron\n0,0\nx,1\n0,-1\n5,5\n0\n")
    path = tmp_path / "neurons.csv"
    assert str(error.value) == (
        f"{path} line 3: layer 'x'; expected a whole number from 0; "
        f"{path} line 4: neuron '-1'; expected a whole number from 0; "
        f"{path} line 5: there is no neuron 5:5 in 'toy'; "
        f"{path} line 6: neuron ''; expected a whole number from 0"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "line 1: expected a header with the columns layer and neuron"),
        ("layer;neuron\n0;0\n", "line 1: expected a header"),
        ("layer,neuron\n", "names no neuron"),
    ],
)
def test_a_file_without_neurons_is_refused(database: Database, tmp_path: Path, text: str, complaint: str) -> None:
    with database.writing() as session:
        make_subject(session)
        with pytest.raises(InvalidInput, match=complaint):
            from_csv(session, tmp_path, text)


def test_a_missing_file_is_named(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_subject(session)
        with pytest.raises(InvalidInput, match=r"absent.csv: No such file"):
            neurons_from_csv(session, "toy", tmp_path / "absent.csv")
