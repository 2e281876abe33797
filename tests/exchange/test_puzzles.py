"""Puzzles as neurons of a subject of their own: ours and those in the published format."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.exchange.paper_results import import_paper_results
from app.exchange.puzzles import import_puzzles
from app.exchange.report import ImportReport
from app.neurons.models import SubjectModel
from app.neurons.reading import load_records, neuron_at
from app.puzzles import loading
from app.puzzles.loading import load_puzzles
from tests.exchange.foreign_files import records_of, statistics_of
from tests.exchange.paper_files import PUZZLE_HEADER, said, texts, write_csv
from tests.exchange.stopping_database import stopped_at
from tests.factories import make_subject

SHIPPED = Path(loading.__file__).parent / "default"
CATS: dict[str, Any] = {
    "name": "cats",
    "explanation": "words for cats.",
    "sentences": [["A", " dog"], ["a", [" cat", 4]], [["cats", 8.5], "."]],
    "false_explanations": ["dogs", "dogs", " animals"],
}
DOGS: dict[str, Any] = CATS | {"explanation": "words for dogs", "sentences": [[["dog", 2]]], "false_explanations": []}


def take(database: Database, path: Path, subject: str = "puzzles") -> ImportReport:
    report = ImportReport("puzzles")
    import_puzzles(database, path, subject=subject, report=report)
    return report


def published(tmp_path: Path, **puzzles: Any) -> Path:
    (tmp_path / "puzzles.json").write_text(json.dumps(puzzles), encoding="utf-8")
    return tmp_path / "puzzles.json"


def reasons(report: ImportReport) -> list[tuple[str, str]]:
    return [(rejected.place.rsplit(" ", 1)[1], rejected.reason) for rejected in report.rejects]


def test_the_shipped_puzzles_become_neurons_that_read_back_as_they_are(database: Database) -> None:
    puzzles = load_puzzles()
    report = take(database, Path("default"))
    n_texts = sum(1 + len(puzzle.falses) for puzzle in puzzles)
    assert (report.n_neurons, report.n_explanations, report.rejects) == (len(puzzles), n_texts, [])
    assert len(puzzles) >= 20
    with database.reading() as session:
        for puzzle in puzzles:
            stored = load_records(session, neuron_at(session, "puzzles", 0, puzzle.records.index))
            for kept, own in ((stored.top, puzzle.records.top), (stored.random, puzzle.records.random)):
                assert [record.tokens for record in kept] == [record.tokens for record in own]
                assert [record.activations.tolist() for record in kept] == [
                    record.activations.tolist() for record in own
                ]
            assert stored.cutoff == 1.0
        assert session.scalars(sa.select(SubjectModel.architecture)).one() == "puzzles"
    expected = [
        (0, index, method, "none", sample, text)
        for index, puzzle in enumerate(puzzles)
        for method, sample, text in [
            ("reference", 0, puzzle.truth),
            *[("false", sample, text) for sample, text in enumerate(puzzle.falses)],
        ]
    ]
    assert said(database, "puzzles") == expected
    again = take(database, SHIPPED)
    assert again.summary() == f"Imported puzzles: nothing new; {len(puzzles) + n_texts} already there"


def test_puzzles_in_the_published_format_have_their_sentences_by_strength(database: Database, tmp_path: Path) -> None:
    path = published(tmp_path, cats=CATS, dogs=DOGS)
    for _ in range(2):
        assert take(database, path).rejects == []
    assert records_of(database, "puzzles") == {
        (0, 0, "top"): [(["cats", "."], [8.5, 0.0]), (["a", " cat"], [0.0, 4.0])],
        (0, 0, "random"): [(["A", " dog"], [0.0, 0.0])],
        (0, 1, "top"): [(["dog"], [2.0])],
    }
    assert statistics_of(database, "puzzles") == {
        (0, 0): {"maximum": 8.5, "q90": 1.0},
        (0, 1): {"maximum": 2.0, "q90": 1.0},
    }
    assert said(database, "puzzles") == [
        (0, 0, "reference", "none", 0, "words for cats."),
        (0, 0, "false", "none", 0, "dogs"),
        (0, 0, "false", "none", 1, "dogs"),
        (0, 0, "false", "none", 2, " animals"),
        (0, 1, "reference", "none", 0, "words for dogs"),
    ]


def test_the_page_of_a_puzzle_names_its_cutoff(admin_client: TestClient, database: Database, tmp_path: Path) -> None:
    take(database, published(tmp_path, cats=CATS))
    html = admin_client.get("/neurons/puzzles/0/0").text
    assert "<dt>Cutoff of this puzzle</dt><dd>1.00</dd>" in html
    assert "9 of 10 excerpts below" not in html


def test_a_puzzle_that_cannot_be_read_leaves_its_number_free(database: Database, tmp_path: Path) -> None:
    bad = DOGS | {"sentences": [["a", [None, 1]]]}
    report = take(database, published(tmp_path, bad=bad, cats=CATS))
    assert reasons(report) == [
        ("'bad'", "sentences[0][1] is [None, 1]; expected a token, or a token with its activation")
    ]
    assert {index for _, index, *_ in said(database, "puzzles")} == {1}
    report = take(database, published(tmp_path, bad=DOGS, cats=CATS))
    assert (report.n_neurons, report.rejects) == (1, [])


def test_another_puzzle_under_the_same_number_is_rejected(database: Database, tmp_path: Path) -> None:
    take(database, published(tmp_path, cats=CATS, dogs=DOGS))
    before = (said(database, "puzzles"), records_of(database, "puzzles"))
    other_excerpts = CATS | {"sentences": CATS["sentences"][:2]}
    report = take(database, published(tmp_path, cats=other_excerpts, birds=DOGS | {"explanation": "birds"}))
    assert reasons(report) == [
        ("'cats'", "puzzles has this puzzle as neuron 0:0 with other excerpts; expected another --subject"),
        (
            "'birds'",
            "puzzles has another puzzle as neuron 0:1, of which 'Words for dogs.' is true; expected the same, or "
            "another --subject",
        ),
    ]
    assert (said(database, "puzzles"), records_of(database, "puzzles")) == before


def test_the_papers_texts_may_come_before_their_puzzles(database: Database, tmp_path: Path) -> None:
    row = ("1:seed0", "Words for dogs", *texts("a dog"))
    results = write_csv(tmp_path / "results.csv", PUZZLE_HEADER, row)
    for _ in range(2):
        import_paper_results(
            database, results, subject="puzzles", explainer="openai:gpt-4", report=ImportReport("paper-results")
        )
        report = take(database, published(tmp_path, cats=CATS, dogs=DOGS | {"explanation": "Words for dogs"}))
        assert report.rejects == []
    assert records_of(database, "puzzles")[0, 1, "top"] == [(["dog"], [2.0])]
    assert [row[2] for row in said(database, "puzzles") if row[1] == 1].count("reference") == 1


def test_a_truth_that_reads_the_same_is_the_same(database: Database, tmp_path: Path) -> None:
    results = write_csv(tmp_path / "results.csv", PUZZLE_HEADER, ("0:seed0", "Words for cats", *texts("a cat")))
    import_paper_results(
        database, results, subject="puzzles", explainer="openai:gpt-4", report=ImportReport("paper-results")
    )
    for n_new in (3, 0):
        report = take(database, published(tmp_path, cats=CATS))
        assert (report.rejects, report.n_explanations) == ([], n_new)
    assert [row[2:] for row in said(database, "puzzles") if row[2] == "reference"] == [
        ("reference", "none", 0, "Words for cats")
    ]


def test_an_import_that_was_stopped_between_puzzles_and_texts_goes_on(database: Database, tmp_path: Path) -> None:
    path = published(tmp_path, cats=CATS)
    with stopped_at(database, 2) as stopping, pytest.raises(KeyboardInterrupt):
        take(stopping, path)
    assert said(database, "puzzles") == []
    report = take(database, path)
    assert (report.n_neurons, report.n_explanations, len(said(database, "puzzles"))) == (0, 4, 4)


def test_puzzles_do_not_go_among_neurons(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_subject(session, "gpt2", recording_status=None)
    with pytest.raises(Conflict, match="the neurons of gpt2 are no puzzles; expected another subject for puzzles"):
        take(database, published(tmp_path, cats=CATS), "gpt2")


def test_a_folder_of_ours_is_taken_whole_or_not_at_all(database: Database, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "mine"))
    (folder / "zebra.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"zebra\.json: truth: Field required"):
        take(database, folder)
    with pytest.raises(InvalidInput, match="there is no file or folder missing; expected one with puzzles, or default"):
        take(database, Path("missing"))
    assert said(database, "puzzles") == []
