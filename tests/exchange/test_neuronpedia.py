"""The import of Neuronpedia exports on both databases: what is stored of them, and that it can be repeated."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.neurons.models import SubjectModel
from tests.exchange.foreign_files import SUBJECT, records_of, statistics_of
from tests.exchange.neuronpedia_exports import (
    activation_row,
    as_lines,
    explanation_row,
    feature_row,
    imported,
    rejects,
    stored_explanations,
    stored_values,
    write_batch,
    write_bytes,
)
from tests.exchange.stopping_database import stopped_at
from tests.factories import make_neuron, make_subject


def test_a_whole_export_gives_neurons_statistics_and_explanations(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(3, [0, 1.5]), activation_row(3, [2.5, 0.25])])
    write_batch(tmp_path, "features", [feature_row(3, frac_nonzero=0.125, dataclass_name="Feature")])
    write_batch(tmp_path, "explanations", [explanation_row(3, ' "names of rivers" ')])
    report = imported(database, tmp_path)
    assert report.summary() == "Imported neuronpedia: 1 neuron, 2 records, 1 explanation"
    assert records_of(database) == {(6, 3, "top"): [(["<2.5>", " t1"], [2.5, 0.25]), (["<0>", " t1"], [0.0, 1.5])]}
    assert statistics_of(database) == {(6, 3): {"maximum": 2.5, "share_active": 0.125}}
    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel)).one()
    assert (subject.name, subject.n_layers, subject.n_neurons_per_layer) == (SUBJECT, 7, 4)
    pack = "imported:oai_token-act-pair"
    assert stored_explanations(database) == [(6, 3, "original", "openai:gpt-4", pack, 0, "Names of rivers.")]


def test_rows_of_a_neuron_may_lie_in_any_batch_of_any_form(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(10, [1]), activation_row(2, [4])], 0)
    write_bytes(tmp_path, "activations", as_lines([activation_row(10, [3])]), 1, suffix=".jsonl")
    write_batch(tmp_path, "activations", [activation_row(2, [5]), activation_row(10, [2])], 10)
    other = activation_row(10, [6], layer="7") | {"index": 10}
    write_batch(tmp_path, "activations", [other], source=Path("v1/gpt2-small/7"))
    assert imported(database, tmp_path).rejects == []
    assert stored_values(database) == {(6, 2): [[5.0], [4.0]], (6, 10): [[3.0], [2.0], [1.0]], (7, 10): [[6.0]]}


def test_the_share_of_tokens_that_are_not_0_is_no_share_above_0_where_some_are_below(
    database: Database, tmp_path: Path
) -> None:
    rows = [activation_row(1, [2.5, -0.25]), activation_row(1, [0, 1]), activation_row(2, [0, 1])]
    write_batch(tmp_path, "activations", rows)
    write_batch(tmp_path, "features", [feature_row(1, frac_nonzero=1), feature_row(2, frac_nonzero=0.5)])
    imported(database, tmp_path)
    assert statistics_of(database) == {(6, 1): {"maximum": 2.5}, (6, 2): {"maximum": 1.0, "share_active": 0.5}}


@pytest.mark.parametrize("below", ["", "v1", "v1/gpt2-small", "v1/gpt2-small/6-mlp", "v1/gpt2-small/6-mlp/activations"])
def test_the_folder_may_be_any_above_the_batches(database: Database, tmp_path: Path, below: str) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1])])
    assert imported(database, tmp_path / below).n_neurons == 1


def test_only_the_twenty_best_excerpts_are_kept_each_once(database: Database, tmp_path: Path) -> None:
    rows = [activation_row(1, [value, 0.5]) for value in range(1, 26)]
    write_batch(tmp_path, "activations", [*rows, rows[-1], rows[-1]])
    report = imported(database, tmp_path)
    assert stored_values(database)[6, 1] == [[float(value), 0.5] for value in range(25, 5, -1)]
    assert report.remarks == ["7 activation rows not kept: lower bins, beyond the best 20, the same twice"]


def test_of_the_bins_only_the_highest_counts(database: Database, tmp_path: Path) -> None:
    bins = {"binMin": 2, "binMax": 4, "binContains": 0.25}
    rows = [
        activation_row(1, [1], binMin=0, binMax=2, binContains=0.75),
        activation_row(1, [3], **bins),
        activation_row(1, [5], binMin=None, binMax=None, binContains=None),
        activation_row(1, [6], binMin=-1, binMax=-1, binContains=-1),
        # The highest bin of one neuron is not that of another.
        activation_row(2, [0.5], binMin=0, binMax=1, binContains=1),
    ]
    write_batch(tmp_path, "activations", rows)
    report = imported(database, tmp_path)
    assert stored_values(database) == {(6, 1): [[6.0], [5.0], [3.0]], (6, 2): [[0.5]]}
    assert report.remarks == ["1 activation row not kept: lower bins, beyond the best 20, the same twice"]


def test_excerpts_of_equal_maximum_keep_the_order_of_the_files(database: Database, tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write_batch(tmp_path, "activations", [activation_row(1, [number / 16, 7])], number)
    imported(database, tmp_path)
    assert stored_values(database)[6, 1] == [[1 / 16, 7.0], [2 / 16, 7.0], [10 / 16, 7.0]]


def test_importing_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(index, [index, 1]) for index in range(1, 6)])
    write_batch(tmp_path, "explanations", [explanation_row(1), explanation_row(1, "other words"), explanation_row(1)])
    first = imported(database, tmp_path)
    before = (records_of(database), stored_explanations(database))
    again = imported(database, tmp_path)
    assert (first.n_neurons, first.n_explanations, first.n_already_there) == (5, 2, 1)
    assert (again.n_neurons, again.n_explanations, again.n_already_there) == (0, 0, 8)
    assert (records_of(database), stored_explanations(database)) == before
    assert [row[5] for row in before[1]] == [0, 1]


def test_an_import_that_was_stopped_goes_on_when_it_is_run_again(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.neurons.N_NEURONS_PER_BATCH", 2)
    monkeypatch.setattr("app.exchange.explanations.N_EXPLANATIONS_PER_BATCH", 2)
    write_batch(tmp_path, "activations", [activation_row(index, [index]) for index in range(1, 8)])
    write_batch(tmp_path, "explanations", [explanation_row(index, f"number {index}") for index in range(1, 8)])
    with stopped_at(database, 3) as stopping, pytest.raises(KeyboardInterrupt):
        imported(stopping, tmp_path)
    assert len(stored_values(database)) == 4
    # Four batches of neurons, then the second one of explanations.
    with stopped_at(database, 6) as stopping, pytest.raises(KeyboardInterrupt):
        imported(stopping, tmp_path)
    assert (len(stored_values(database)), len(stored_explanations(database))) == (7, 2)
    report = imported(database, tmp_path)
    assert (report.n_neurons, report.n_explanations, report.n_already_there) == (0, 5, 7 + 2)
    assert stored_values(database) == {(6, index): [[float(index)]] for index in range(1, 8)}
    assert [(row[1], row[-1]) for row in stored_explanations(database)] == [
        (index, f"Number {index}.") for index in range(1, 8)
    ]


def test_a_recorded_subject_takes_the_explanations_alone(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, SUBJECT, n_layers=7), layer=6, index=1)
    write_batch(tmp_path, "activations", [activation_row(1, [1]), activation_row(2, [2])])
    write_batch(tmp_path, "explanations", [explanation_row(1)])
    report = imported(database, tmp_path)
    assert (report.n_neurons, report.n_explanations) == (0, 1)
    ((place, reason),) = rejects(report)
    assert place == "activations"
    assert "gpt2-tiny was recorded here" in reason
    assert stored_values(database) == {}
