"""Explanations as CSV and JSON lines of our own: what a row may say, and that an export comes back as it was."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, InvalidInput, UnknownName
from app.exchange.explanation_export import export_explanations
from app.exchange.explanation_files import import_explanations
from app.exchange.report import ImportReport
from app.explanations.models import FAILED, QUEUED, Explanation, Score
from app.neurons.models import Neuron, SubjectModel
from tests.exchange.paper_files import said, scores, write_csv
from tests.factories import make_explanation, make_neuron, make_score, make_subject

NEEDED = ("layer", "neuron", "method", "explainer", "explanation")
CATS: dict[str, Any] = {"layer": 0, "neuron": 1, "method": "hs", "explainer": "openai:gpt-4", "explanation": "cats"}


def take(database: Database, path: Path, subject: str = "toy") -> ImportReport:
    report = ImportReport("explanations")
    import_explanations(database, path, subject=subject, report=report)
    return report


def lines(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def everything(database: Database, subject: str) -> list[tuple[Any, ...]]:
    """What an export has to bring back, by neuron and in the order in which it was stored."""
    columns = (Neuron.layer, Neuron.index, Explanation.method, Explanation.explainer, Explanation.prompt_pack)
    more = (Explanation.side, Explanation.sample_number, Explanation.status, Explanation.text, Explanation.failure)
    query = sa.select(*columns, *more, Explanation.text_received).join(Neuron, Neuron.id == Explanation.neuron_id)
    with database.reading() as session:
        of_subject = query.join(SubjectModel).where(SubjectModel.name == subject)
        return [tuple(row) for row in session.execute(of_subject.order_by(Neuron.layer, Neuron.index, Explanation.id))]


def test_five_columns_are_enough_and_others_are_ignored(database: Database, tmp_path: Path) -> None:
    header = ("Explanation", "comment", *NEEDED[:-1])
    report = take(database, write_csv(tmp_path / "a.csv", header, (' "cats", dogs', "?", 3, " 4 ", "hs", "me:anna")))
    assert report.summary() == "Imported explanations: 1 explanation; 1 neuron made without activations"
    assert everything(database, "toy") == [
        (3, 4, "hs", "me:anna", "imported", "positive", 0, "done", '"cats", dogs.', None, ' "cats", dogs')
    ]


def test_a_json_line_says_the_same_as_a_row(database: Database, tmp_path: Path) -> None:
    header = (*NEEDED, "sample", "prompt_pack", "side", "failure", "received", "scores")
    score = {"metric": "adacs", "scorer": "minilm-l6-v2", "value": 0.5, "reason": None, "details": {"n": 2}}
    more = {
        "sample": 3,
        "prompt_pack": "mine@1",
        "side": "negative",
        "received": " cats\r\nand dogs",
        "scores": [score],
    }
    row = {"failure": None} | CATS | more
    cells = [json.dumps(row[name]) if name == "scores" else row[name] for name in header]
    take(database, write_csv(tmp_path / "a.csv", header, cells), "by-csv")
    take(database, lines(tmp_path, row), "by-lines")
    assert everything(database, "by-csv") == everything(database, "by-lines")
    assert everything(database, "by-csv") == [
        (0, 1, "hs", "openai:gpt-4", "mine@1", "negative", 3, "done", "Cats.", None, " cats\r\nand dogs")
    ]
    assert scores(database) == [("adacs", "minilm-l6-v2", 0.5, None)] * 2
    with database.reading() as session:
        assert session.scalars(sa.select(Score.details)).all() == [{"n": 2}] * 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"layer": None}, "no layer; expected layer, neuron, method, explainer, explanation"),
        ({"explainer": None}, "no explainer; expected"),
        ({"neuron": "1"}, "the neuron index is '1'; expected a whole number from 0"),
        ({"layer": True}, "the layer is True; expected a whole number"),
        ({"method": "Chain of thought"}, "the method is 'Chain of thought'; expected a-z"),
        ({"explanation": 5}, "the explanation is 5; expected a text"),
        ({"explanation": " "}, "the explanation is empty; expected a text, or why there is none as failure"),
        ({"failure": "refusal"}, "both an explanation and the failure 'refusal'; expected one of them"),
        ({"side": "left"}, "the side is 'left'; expected positive or negative"),
        ({"sample": -1}, "the sample is -1; expected a whole number from 0 to 9999"),
        ({"prompt_pack": "p" * 101}, "has 101 characters; expected 1-100"),
        ({"scores": {"metric": "adacs"}}, "the scores are {'metric': 'adacs'}; expected a list"),
        ({"scores": ["adacs"]}, "score 0 is 'adacs'; expected metric, scorer, value, reason and details"),
        ({"scores": [{"metric": "a", "scorer": "b", "value": "1"}]}, "the value of score 0 is '1'; expected a finite"),
        ({"scores": [{"value": 1}]}, "the metric '' has 0 characters; expected 1-50"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_others_are_taken(
    database: Database, tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    path = lines(tmp_path, CATS | changed, CATS)
    report = take(database, path)
    assert [rejected.place for rejected in report.rejects] == [f"{path}, line 1"]
    assert reason in report.rejects[0].reason
    assert said(database, "toy") == [(0, 1, "hs", "openai:gpt-4", 0, "cats")]


def test_lines_that_are_no_rows_are_named(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(CATS).encode() + b"\r\n\n{\n[1]\n\xe9\n")
    report = take(database, path)
    assert [(rejected.place.rsplit(" ", 1)[1], rejected.reason[:10]) for rejected in report.rejects] == [
        ("3", "not JSON: "),
        ("4", "the line i"),
        ("5", "not UTF-8 "),
    ]
    assert report.n_explanations == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.txt", "rows.txt; expected a name that ends in .csv or .jsonl"),
        ("rows.csv", "has the columns layer,neuron; expected method,explainer,explanation too"),
        ("missing.jsonl", "there is no file "),
        ("missing.csv", "there is no file or folder "),
    ],
)
def test_a_file_of_another_kind_is_one_error(database: Database, tmp_path: Path, name: str, message: str) -> None:
    write_csv(tmp_path / "rows.csv", NEEDED[:2])
    with pytest.raises(InvalidInput) as raised:
        take(database, tmp_path / name)
    assert message in str(raised.value)


def test_a_sample_with_a_number_is_stored_once_and_not_replaced(database: Database, tmp_path: Path) -> None:
    rows = [CATS | {"sample": 2}, CATS | {"sample": 0}, CATS, CATS | {"explanation": "dogs"}]
    take(database, lines(tmp_path, *rows))
    again = take(database, lines(tmp_path, *rows, CATS | {"sample": 2, "explanation": "birds"}))
    assert [(sample, text) for *_, sample, text in said(database, "toy")] == [(2, "cats"), (0, "cats"), (3, "dogs")]
    assert (again.n_already_there, [rejected.reason for rejected in again.rejects]) == (
        4,
        ["sample 2 of hs by openai:gpt-4 is here with another text; neuron 0:1"],
    )


# Export ---------------------------------------------------------------------------------------------------------------


def furnish(database: Database) -> None:
    """Explanations of two neurons of `toy` with all that a row may say, and of another subject."""
    with database.writing() as session:
        subject, other = make_subject(session, recording_status=None), make_subject(session, "other")
        late, early = make_neuron(session, subject, 1, 10), make_neuron(session, subject, 1, 2)
        scored = make_explanation(session, late, "hs", text='Words, "quoted".')
        scored.text_received = ' words,\r"quoted"\n\nand then it was cut o'
        make_score(session, scored, "simulation", 0.25)
        make_score(session, scored, "adacs", None, scorer="minilm-l6-v2", reason="no reference")
        make_explanation(session, early, "summary", text="Köln ␀.", sample_number=4, side="negative")
        tokens = make_explanation(session, early, "tokens", "none", text="Cats.")
        tokens.text_received = None
        refused = make_explanation(session, early, "avhs", status=FAILED)
        refused.text_received = "I cannot."
        make_explanation(session, early, "highlight", status=QUEUED)
        make_explanation(session, make_neuron(session, other), "hs", text="Not of this subject.")


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl", "all.csv.gz", "all.jsonl.gz"])
def test_an_export_comes_back_as_it_was(database: Database, tmp_path: Path, name: str) -> None:
    furnish(database)
    assert export_explanations(database, subject_name="toy", to=tmp_path / "to" / name) == 4
    again = take(database, tmp_path / "to" / name)
    assert (again.n_explanations, again.n_scores, again.n_already_there, again.rejects) == (0, 0, 4, [])
    assert take(database, tmp_path / "to" / name, "copy").rejects == []
    # Where nothing was received, the text stands for it; what is still queued is no result.
    expected = [(*row[:-1], row[-1] or row[8]) for row in everything(database, "toy") if row[7] != QUEUED]
    assert everything(database, "copy") == expected
    copied = [row for row in scores(database) if row[0] in ("adacs", "simulation")]
    assert sorted(copied, key=str) == sorted(copied[:2] * 2, key=str)


def test_the_whole_csv(database: Database, tmp_path: Path) -> None:
    furnish(database)
    export_explanations(database, subject_name="toy", to=tmp_path / "all.csv", neurons=[(1, 10), (0, 0)])
    head = "layer,neuron,method,explainer,explanation,sample,prompt_pack,side,failure,received,scores\r\n"
    row = '1,10,hs,local:toy,"Words, ""quoted"".",0,default@0123456789ab,positive,,'
    received = '" words,\r""quoted""\n\nand then it was cut o",'
    adacs = '{""metric"": ""adacs"", ""scorer"": ""minilm-l6-v2"", ""value"": null, ""reason"": ""no reference"", '
    simulation = '{""metric"": ""simulation"", ""scorer"": ""imported"", ""value"": 0.25, ""reason"": null, '
    found = f'"[{adacs}""details"": {{}}}}, {simulation}""details"": {{}}}}]"\r\n'
    assert (tmp_path / "all.csv").read_bytes().decode() == head + row + received + found


def test_an_export_reads_its_rows_in_parts(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.exchange.explanation_export.N_PER_BATCH", 3)
    with database.writing() as session:
        subject = make_subject(session)
        for layer, index in ((1, 0), (0, 2), (0, 0)):
            neuron = make_neuron(session, subject, layer, index)
            for sample in range(4):
                make_explanation(session, neuron, text=f"{layer}:{index} {sample}.", sample_number=sample)
    assert export_explanations(database, subject_name="toy", to=tmp_path / "all.jsonl") == 12
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    places = [f"{layer}:{index} {sample}." for layer, index in ((0, 0), (0, 2), (1, 0)) for sample in range(4)]
    assert [row["explanation"] for row in rows] == places


def test_an_export_that_cannot_be_made_leaves_nothing(database: Database, tmp_path: Path) -> None:
    furnish(database)
    to = tmp_path / "all.csv"
    to.write_text("mine")
    with pytest.raises(Conflict, match=r"all\.csv is there already; expected another name, or --overwrite"):
        export_explanations(database, subject_name="toy", to=to)
    assert to.read_text() == "mine"
    with pytest.raises(InvalidInput, match="toy has no explanation to export among the neurons asked for"):
        export_explanations(database, subject_name="toy", to=tmp_path / "none.csv", neurons=[(0, 0)])
    with pytest.raises(UnknownName, match="there is no recorded subject model 'missing'"):
        export_explanations(database, subject_name="missing", to=tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match=r"the file is .*; expected a name that ends in \.csv or \.jsonl"):
        export_explanations(database, subject_name="toy", to=tmp_path / "none.xlsx")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("study.")] == ["all.csv"]
    assert export_explanations(database, subject_name="toy", to=to, overwrite=True) == 4
