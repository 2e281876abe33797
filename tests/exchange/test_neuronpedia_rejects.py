"""Neuronpedia exports with something wrong: each wrong row is reported with its place, and the rest is taken."""

import gzip
import json
import os
from pathlib import Path

import pytest

from app.database import Database
from app.errors import InvalidInput, UnknownName
from app.exchange import neuronpedia_files
from tests.exchange.foreign_files import records_of, statistics_of
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


def test_a_row_without_certain_values_leaves_its_neuron_out(database: Database, tmp_path: Path) -> None:
    rows = [
        activation_row(1, [1]),
        activation_row(1, [2, None]),
        activation_row(2, [float("nan")]),
        activation_row(3, [3]),
        activation_row(4, [1, 2], tokens=["one"]),
    ]
    write_batch(tmp_path, "activations", rows)
    report = imported(database, tmp_path)
    assert rejects(report) == [
        ("batch-0.jsonl.gz, line 2", "values[1] is null; expected a number; neuron 6:1 is left out"),
        ("batch-0.jsonl.gz, line 3", "values[0] is nan; expected a number; neuron 6:2 is left out"),
        (
            "batch-0.jsonl.gz, line 5",
            "1 tokens and 2 values; expected as many, and at least 1; neuron 6:4 is left out",
        ),
    ]
    assert stored_values(database) == {(6, 3): [[3.0]]}


def test_activations_beyond_float16_are_clipped(database: Database, tmp_path: Path) -> None:
    row = json.dumps(activation_row(1, [1, 2, 3])).replace("[1, 2, 3]", f"[1e999, -1e6, 1{'0' * 400}]")
    write_bytes(tmp_path, "activations", gzip.compress(row.encode()))
    imported(database, tmp_path)
    assert stored_values(database)[6, 1] == [[65504.0, -65504.0, 65504.0]]


def test_impossible_characters_become_visible_ones(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1, 2], tokens=["a\0", "\ud83d"])])
    write_batch(tmp_path, "explanations", [explanation_row(1, "the sign \0 or \udc00")])
    assert imported(database, tmp_path).rejects == []
    assert records_of(database)[6, 1, "top"][0][0] == ["a\u2400", "\ufffd"]
    assert stored_explanations(database)[0][-1] == "The sign \u2400 or \ufffd."


def test_lines_that_are_no_rows_are_reported_and_the_rest_is_taken(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuronpedia_files, "LONGEST_LINE", 400)
    monkeypatch.setattr(neuronpedia_files, "READ_SIZE", 100)
    lines = [
        json.dumps(activation_row(1, [1])),
        '{"modelId": ',
        "[1, 2]",
        "",
        "[" * 300,
        json.dumps(activation_row(2, [2], padding="x" * 1000)),
        json.dumps(activation_row(3, [3], modelId="pythia")),
        json.dumps(activation_row(4, [4]) | {"index": "four"}),
        json.dumps(activation_row(5, [5], layer="6-res-jb")),
        json.dumps(activation_row(6, [6])),
    ]
    content = "\r\n".join(lines).encode() + b'\n{"tokens": "\xff"}'
    write_bytes(tmp_path, "activations", content, suffix=".jsonl")
    found = rejects(imported(database, tmp_path))
    left_out = [(f"batch-0.jsonl, line {line}", f"neuron 6:{index} is left out") for line, index in ((2, 1), (9, 6))]
    assert [(place, reason.partition(",")[0]) for place, reason in found if "left out" in reason] == left_out
    found = [(place, reason) for place, reason in found if "left out" not in reason]
    assert [place for place, _ in found] == [f"batch-0.jsonl, line {line}" for line in (2, 3, 5, 6, 7, 8, 9, 11)]
    reasons = [reason for _, reason in found]
    assert all(reason.startswith("not JSON") for reason in (reasons[0], reasons[2], reasons[7]))
    assert reasons[1] == "a JSON list; expected an object"
    assert reasons[3].startswith("longer than")
    assert reasons[4] == "modelId is 'pythia'; expected 'gpt2-small' as in the first row"
    assert reasons[5] == "index is 'four'; expected a whole number from 0"
    assert reasons[6].startswith("layer is '6-res-jb', no source of MLP neurons")
    assert stored_values(database) == {}


@pytest.mark.parametrize(
    "wrong", ['{"modelId": ', "x" * 500, json.dumps(activation_row(9, [9], modelId="pythia")), '{"index": "2"}']
)
def test_a_row_that_says_not_whose_it_is_leaves_out_the_neurons_around_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(neuronpedia_files, "LONGEST_LINE", 400)
    lines = [json.dumps(activation_row(index, [value])) for index in (1, 2, 3, 4) for value in (1, 2)]
    lines.insert(4, wrong)
    write_bytes(tmp_path, "activations", "\n".join(lines).encode(), suffix=".jsonl")
    # Another source has rows of its own: its first neuron is not behind the last of this one.
    write_batch(tmp_path, "activations", [activation_row(1, [5], layer="7-mlp")], source=Path("v1/gpt2-small/7-mlp"))
    write_batch(tmp_path, "features", [feature_row(2), feature_row(3)])
    report = imported(database, tmp_path)
    expected = [f"neuron 6:{index} is left out, for this may be a row of it" for index in (2, 3)]
    assert rejects(report)[1:] == [("batch-0.jsonl, line 5", reason) for reason in expected]
    assert stored_values(database) == {(6, 1): [[2.0], [1.0]], (6, 4): [[2.0], [1.0]], (7, 1): [[5.0]]}
    assert report.remarks == []


def test_a_broken_row_among_those_of_one_neuron_leaves_out_that_one(database: Database, tmp_path: Path) -> None:
    lines = [json.dumps(activation_row(index, [value])) for index in (1, 2, 3) for value in (1, 2)]
    lines.insert(3, "[]")
    write_bytes(tmp_path, "activations", "\n".join(lines).encode(), suffix=".jsonl")
    assert [reason for _, reason in rejects(imported(database, tmp_path))] == [
        "a JSON list; expected an object",
        "neuron 6:2 is left out, for this may be a row of it",
    ]
    assert list(stored_values(database)) == [(6, 1), (6, 3)]


def test_a_cut_last_line_leaves_out_its_neuron_and_the_first_of_the_next_batch(
    database: Database, tmp_path: Path
) -> None:
    rows = as_lines([activation_row(index, [value]) for index in (1, 2) for value in (1, 2)])
    write_bytes(tmp_path, "activations", rows[:-20], suffix=".jsonl")
    write_batch(tmp_path, "activations", [activation_row(3, [3]), activation_row(3, [4]), activation_row(4, [4])], 1)
    assert [reason for _, reason in rejects(imported(database, tmp_path))][1:] == [
        "neuron 6:2 is left out, for this may be a row of it",
        "neuron 6:3 is left out, for this may be a row of it",
    ]
    assert list(stored_values(database)) == [(6, 1), (6, 4)]


def test_a_neuron_whose_rows_cannot_be_used_is_not_said_to_have_none(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1]), activation_row(2, [None])])
    write_batch(tmp_path, "features", [feature_row(2), feature_row(3)])
    assert imported(database, tmp_path).remarks == ["1 neuron not taken: a feature row but no activation row"]


def test_a_folder_whose_name_is_not_utf_8_is_read(database: Database, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(b"v1/gpt2-\xff/6-mlp"))
    write_batch(tmp_path, "activations", [activation_row(1, [1]), activation_row(2, [None])], source=folder)
    report = imported(database, tmp_path)
    assert stored_values(database) == {(6, 1): [[1.0]]}
    assert report.rejects[0].place == "v1/gpt2-\ufffd/6-mlp/activations/batch-0.jsonl.gz, line 2"


def test_a_packed_file_that_breaks_off_gives_what_came_before(database: Database, tmp_path: Path) -> None:
    # Levels of compression would hide where the break is: stored blocks keep lines where they are.
    whole = gzip.compress(as_lines([activation_row(index, [1, 2]) for index in (1, 1, 2, 2, 3)]), compresslevel=0)
    third_row = whole.index(b'"index": "2"')
    write_bytes(tmp_path, "activations", whole[: whole.index(b"\n", third_row) + 20])
    write_batch(tmp_path, "activations", [activation_row(4, [4]), activation_row(5, [5])], 1)
    write_bytes(tmp_path, "explanations", b"no gzip at all")
    write_batch(tmp_path, "explanations", [explanation_row(1)], 1)
    report = imported(database, tmp_path)
    (place, reason), of_neuron, of_next, of_other_file = rejects(report)
    assert place == "batch-0.jsonl.gz, line 4"
    assert reason.startswith("cannot be read from here on")
    assert of_neuron == (place, "neuron 6:2 is left out, for this may be a row of it")
    assert of_next == (place, "neuron 6:4 is left out, for this may be a row of it")
    assert of_other_file[0] == "batch-0.jsonl.gz, line 1"
    assert stored_values(database) == {(6, 1): [[1.0, 2.0]], (6, 5): [[5.0]]}
    assert len(stored_explanations(database)) == 1


def test_a_repaired_export_adds_what_was_left_out(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1]), activation_row(2, [None])])
    imported(database, tmp_path)
    write_batch(tmp_path, "activations", [activation_row(1, [1]), activation_row(2, [2])])
    report = imported(database, tmp_path)
    assert (report.n_neurons, report.n_already_there, report.rejects) == (1, 1, [])
    assert stored_values(database) == {(6, 1): [[1.0]], (6, 2): [[2.0]]}


def test_a_second_feature_row_is_reported(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1]), activation_row(2, [2])])
    rows = [feature_row(1, frac_nonzero=0.5), feature_row(1, frac_nonzero=0.25), feature_row(2, frac_nonzero=7)]
    write_batch(tmp_path, "features", [*rows, feature_row(3), feature_row(4)])
    report = imported(database, tmp_path)
    assert rejects(report) == [
        ("batch-0.jsonl.gz, line 2", "the features of neuron 6:1 are there twice; the first count"),
        ("batch-0.jsonl.gz, line 3", "frac_nonzero is 7; expected a share from 0 to 1"),
    ]
    assert report.remarks == ["2 neurons not taken: a feature row but no activation row"]
    assert statistics_of(database) == {
        (6, 1): {"maximum": 1.0, "share_active": 0.5},
        (6, 2): {"maximum": 2.0},
    }


def test_explanations_that_say_nothing_or_of_nobody_are_reported(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1])])
    rows = [
        explanation_row(1, None),
        explanation_row(1, "..."),
        explanation_row(9),
        explanation_row(1, typeName="x" * 200),
        explanation_row(1),
    ]
    write_batch(tmp_path, "explanations", rows)
    found = dict(rejects(imported(database, tmp_path)))
    assert found["batch-0.jsonl.gz, line 1"] == "description is null; expected a text with words"
    assert found["batch-0.jsonl.gz, line 2"] == "description is '...'; expected a text with words"
    assert found["batch-0.jsonl.gz, line 3"] == "gpt2-tiny has no neuron 6:9 here"
    assert "prompt_pack" in found["batch-0.jsonl.gz, line 4"]
    assert len(stored_explanations(database)) == len(found) - 3 == 1


@pytest.mark.parametrize("table", ["activations", "explanations", "features"])
def test_features_of_a_sparse_autoencoder_are_refused_before_anything_is_stored(
    database: Database, tmp_path: Path, table: str
) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1])])
    write_batch(tmp_path, table, [feature_row(1, layer="6-res-jb")], source=Path("v1/gpt2-small/6-res-jb"))
    with pytest.raises(InvalidInput, match=r"6-res-jb/.*line 1: layer is '6-res-jb', no source of MLP neurons"):
        imported(database, tmp_path)
    assert stored_values(database) == {}


def test_an_export_of_two_models_is_refused(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1])])
    write_batch(tmp_path, "activations", [activation_row(1, [1], modelId="pythia")], source=Path("v1/pythia/6-mlp"))
    with pytest.raises(InvalidInput, match=r"several models: 'gpt2-small' \(.*\), 'pythia' \(.*\); expected one"):
        imported(database, tmp_path)
    assert stored_values(database) == {}


@pytest.mark.parametrize("name", ["missing", ".", "file.jsonl"])
def test_a_path_without_batches_is_one_error(database: Database, tmp_path: Path, name: str) -> None:
    (tmp_path / "file.jsonl").write_text("{}")
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "batch-0.jsonl").write_text(json.dumps(feature_row(1)))
    with pytest.raises(InvalidInput, match="expected"):
        imported(database, tmp_path / name)


def test_one_batch_in_two_forms_is_refused(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [1])])
    write_bytes(tmp_path, "activations", as_lines([activation_row(1, [1])]), suffix=".jsonl")
    with pytest.raises(InvalidInput, match="are the same batch; expected one of them"):
        imported(database, tmp_path)


def test_explanations_for_an_unknown_subject_are_one_error(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "explanations", [explanation_row(1)])
    with pytest.raises(UnknownName, match="no recorded subject model 'gpt2-tiny'"):
        imported(database, tmp_path)


def test_when_no_neuron_can_be_used_the_reasons_are_not_lost(database: Database, tmp_path: Path) -> None:
    write_batch(tmp_path, "activations", [activation_row(1, [None])])
    write_batch(tmp_path, "explanations", [explanation_row(1)])
    report = imported(database, tmp_path)
    assert not report.has_taken
    assert [place for place, _ in rejects(report)] == ["batch-0.jsonl.gz, line 1", "explanations"]
