"""The export of explanations in Neuronpedia's form: its files, row by row, and that the import reads them again."""

import gzip
import json
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.exchange import neuronpedia_export
from app.exchange.neuronpedia_export import export_neuronpedia
from app.exchange.neuronpedia_rows import explanation_of, model_name_of, type_of
from app.explanations.methods import METHOD_TITLES
from app.explanations.models import FAILED, QUEUED, Explanation
from tests.exchange.foreign_files import SUBJECT
from tests.exchange.neuronpedia_exports import explanation_row, imported, stored_explanations, write_batch
from tests.factories import make_explanation, make_neuron, make_subject


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]


def batch(to: Path, layer: int, number: int = 0) -> Path:
    return to / "v1" / SUBJECT / f"{layer}-mlp" / "explanations" / f"batch-{number}.jsonl.gz"


def store_explained_neurons(database: Database, *places: tuple[int, int]) -> None:
    """The subject, and at each place a neuron whose explanation says the place."""
    with database.writing() as session:
        subject = make_subject(session, SUBJECT, n_neurons_per_layer=20)
        for layer, index in places:
            make_explanation(session, make_neuron(session, subject, layer, index), text=f"At {layer}:{index}.")


def exported(database: Database, to: Path, **options: Any) -> int:
    return export_neuronpedia(database, subject_name=SUBJECT, to=to, **options)


def test_a_row_says_whose_explanation_it_is_and_by_whom(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, SUBJECT), layer=1, index=2)
        make_explanation(session, neuron, "original", "openai:gpt-4", text="Rivers, and “lakes”.")
        make_explanation(session, neuron, "hs", "local:smollm2", text="Names.")
    assert exported(database, tmp_path) == 2
    place = {"modelId": SUBJECT, "layer": "1-mlp", "index": "2", "authorId": None}
    assert rows_in(batch(tmp_path, 1)) == [
        place | {"description": "Names.", "typeName": "neuronjury_hs", "explanationModelName": "local:smollm2"},
        place
        | {
            "description": "Rivers, and “lakes”.",
            "typeName": "oai_token-act-pair",
            "explanationModelName": "gpt-4",
        },
    ]


def test_rows_are_in_text_order_of_the_index_in_batches(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuronpedia_export, "N_ROWS_PER_BATCH", 2)
    store_explained_neurons(database, (0, 2), (0, 10), (0, 1), (0, 3), (0, 19), (1, 0))
    assert exported(database, tmp_path) == 6
    indices = [[row["index"] for row in rows_in(batch(tmp_path, 0, number))] for number in range(3)]
    assert indices == [["1", "10"], ["19", "2"], ["3"]]
    assert sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.gz")) == [
        *(f"v1/{SUBJECT}/0-mlp/explanations/batch-{number}.jsonl.gz" for number in range(3)),
        f"v1/{SUBJECT}/1-mlp/explanations/batch-0.jsonl.gz",
    ]


def test_a_batch_has_at_most_1024_rows(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, SUBJECT))
        for sample_number in range(1025):
            make_explanation(session, neuron, text=f"{sample_number}.", sample_number=sample_number)
    exported(database, tmp_path)
    assert [len(rows_in(batch(tmp_path, 0, number))) for number in range(2)] == [1024, 1]


def test_only_done_explanations_of_the_positive_side_of_this_subject_are_exported(
    database: Database, tmp_path: Path
) -> None:
    with database.writing() as session:
        subject = make_subject(session, SUBJECT)
        neuron = make_neuron(session, subject)
        make_explanation(session, neuron, text="Kept.")
        make_explanation(session, neuron, "hs", status=FAILED)
        make_explanation(session, neuron, "avhs", status=QUEUED)
        make_explanation(session, neuron, "summary", text="Other end.").side = "negative"
        make_explanation(session, make_neuron(session, make_subject(session, "other")), text="Other model.")
    assert exported(database, tmp_path) == 1
    assert [row["description"] for row in rows_in(batch(tmp_path, 0))] == ["Kept."]


def test_chosen_neurons_are_exported_alone(database: Database, tmp_path: Path) -> None:
    store_explained_neurons(database, (0, 1), (0, 2), (1, 1), (1, 2))
    assert exported(database, tmp_path, neurons=[(0, 2), (0, 7)]) == 1
    assert [file.name for file in tmp_path.rglob("*.gz")] == ["batch-0.jsonl.gz"]
    assert [row["description"] for row in rows_in(batch(tmp_path, 0))] == ["At 0:2."]


def test_the_import_reads_an_export_again(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        subject = make_subject(session, SUBJECT, n_layers=7)
        for index in range(12):
            make_neuron(session, subject, layer=6, index=index)
    rows = [
        explanation_row(1),
        explanation_row(1, "a second sample"),
        explanation_row(2, typeName="np_max-act", explanationModelName="claude-3-5"),
        explanation_row(11, typeName="neuronjury_hs", explanationModelName="local:smollm2"),
        explanation_row(11, typeName=None, explanationModelName=None),
    ]
    write_batch(tmp_path / "in", "explanations", rows)
    imported(database, tmp_path / "in")
    before = stored_explanations(database)
    assert len(before) == exported(database, tmp_path / "out") == len(rows)
    with database.writing() as session:
        session.execute(sa.delete(Explanation))
    report = imported(database, tmp_path / "out")
    assert (report.n_explanations, report.rejects) == (len(rows), [])
    assert stored_explanations(database) == before


TEXTS = st.text(min_size=1, max_size=20)
PREFIXES = st.sampled_from(["openai:", "openai:gpt-", "local:", "imported:", "imported:gpt-", "imported:openai:"])


@hypothesis.given(
    method=st.sampled_from([*METHOD_TITLES, "imported"]), explainer=st.builds("{}{}".format, PREFIXES, TEXTS)
)
def test_whatever_method_and_explainer_are_exported_they_come_back(method: str, explainer: str) -> None:
    row = explanation_row(1, typeName=type_of(method, "default@0"), explanationModelName=model_name_of(explainer))
    read = explanation_of(json.loads(json.dumps(row)))
    assert (read.method, read.explainer) == (method, explainer)


def test_an_earlier_export_stays_unless_it_may_be_overwritten(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_explained_neurons(database, (0, 1), (1, 1), (1, 2))
    exported(database, tmp_path, neurons=[(1, 1), (1, 2)])
    with pytest.raises(Conflict, match=r"batch-0\.jsonl\.gz is there already"):
        exported(database, tmp_path)
    assert not batch(tmp_path, 0).exists()
    assert len(rows_in(batch(tmp_path, 1))) == 2
    monkeypatch.setattr(neuronpedia_export, "N_ROWS_PER_BATCH", 1)
    exported(database, tmp_path, overwrite=True)
    assert batch(tmp_path, 1, 1).exists()
    exported(database, tmp_path, neurons=[(1, 2)], overwrite=True)
    # The second batch of before would otherwise be read as a part of the new export.
    assert not batch(tmp_path, 1, 1).exists()
    assert [row["description"] for row in rows_in(batch(tmp_path, 1))] == ["At 1:2."]


def test_an_export_that_fails_half_way_leaves_the_earlier_batches(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_explained_neurons(database, (1, 1), (1, 2))
    monkeypatch.setattr(neuronpedia_export, "N_ROWS_PER_BATCH", 1)
    exported(database, tmp_path)

    def full(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(file))

    monkeypatch.setattr(neuronpedia_export, "write_whole", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space"):
        exported(database, tmp_path, neurons=[(1, 2)], overwrite=True)
    assert batch(tmp_path, 1, 0).exists()
    assert batch(tmp_path, 1, 1).exists()


def test_the_same_explanations_give_the_same_bytes(database: Database, tmp_path: Path) -> None:
    store_explained_neurons(database, (0, 1), (0, 2))
    exported(database, tmp_path / "a")
    exported(database, tmp_path / "b")
    content = batch(tmp_path / "a", 0).read_bytes()
    assert content == batch(tmp_path / "b", 0).read_bytes()
    # The header of gzip has a time in bytes 4 to 7.
    assert content[4:8] == bytes(4)


def test_nothing_to_export_is_one_error(database: Database, tmp_path: Path) -> None:
    store_explained_neurons(database, (0, 1))
    with pytest.raises(InvalidInput, match="no explanation to export"):
        exported(database, tmp_path, neurons=[(0, 5)])
    assert not (tmp_path / "v1").exists()
    with pytest.raises(UnknownName, match="'nobody'"):
        export_neuronpedia(database, subject_name="nobody", to=tmp_path)


def test_a_folder_that_cannot_be_written_is_one_error(database: Database, tmp_path: Path) -> None:
    store_explained_neurons(database, (0, 1))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"file.* cannot be written"):
        exported(database, tmp_path / "file")


def test_a_slash_in_a_subjects_name_makes_no_folder(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_explanation(session, make_neuron(session, make_subject(session, "../owner/model")))
    export_neuronpedia(database, subject_name="../owner/model", to=tmp_path)
    (file,) = (tmp_path / "v1" / ".._owner_model").rglob("*.gz")
    assert rows_in(file)[0]["modelId"] == "../owner/model"
