"""The paper's result files: what is stored of neurons and of puzzles, again and again, and what is refused."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.exchange.neurons import ImportedNeuron, ImportedRecord, NeuronWriter
from app.exchange.paper_results import import_paper_results
from app.exchange.report import ImportReport
from app.explanations.models import Explanation
from app.neurons.models import Neuron, NeuronSet, SubjectModel
from app.neurons.sets import set_members
from tests.exchange.paper_files import HEADER, OURS, PUZZLE_HEADER, said, texts, write_csv
from tests.exchange.stopping_database import stopped_at
from tests.factories import make_neuron, make_subject

GPT4 = "openai:gpt-4"


def take(database: Database, path: Path, subject: str = "gpt2-xl", **options: str) -> ImportReport:
    report = ImportReport("paper-results")
    explainer = options.pop("explainer", GPT4)
    import_paper_results(
        database, path, subject=subject, explainer=explainer, report=report, neuron_set=options.get("neuron_set")
    )
    return report


def reasons(report: ImportReport) -> list[tuple[str, str]]:
    return [(rejected.place.rsplit("/", 1)[1], rejected.reason) for rejected in report.rejects]


def test_a_row_becomes_five_explanations_of_a_neuron_without_activations(database: Database, tmp_path: Path) -> None:
    quirky = [' cats, dogs and "pets"', "words\nabout cats.", "  a cat", "cats", '"cat"']
    report = take(database, write_csv(tmp_path / "random.csv", HEADER, (5, 4093, *quirky)))
    assert report.summary() == "Imported paper-results: 5 explanations; 1 neuron made without activations"
    assert said(database, "gpt2-xl") == [
        (5, 4093, method, GPT4, 0, text) for method, text in zip(OURS, quirky, strict=True)
    ]
    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel)).one()
        shown = session.scalars(sa.select(Explanation.text).order_by(Explanation.id)).all()
        packs = set(session.scalars(sa.select(Explanation.prompt_pack)))
    assert (subject.n_layers, subject.n_neurons_per_layer, packs) == (6, 4094, {"paper"})
    assert shown == ['Cats, dogs and "pets".', "Words about cats.", "A cat.", "Cats.", "Cat."]


def test_the_other_header_is_understood_too(database: Database, tmp_path: Path) -> None:
    header = ("", "layer", "neuron", "AVHS", *HEADER[2:-1])
    report = take(database, write_csv(tmp_path / "top.csv", header, (0, 1, 2, "last", *texts("x")[:-1])))
    assert [method for _, _, method, _, _, _ in said(database, "gpt2-xl")] == list(OURS)
    assert said(database, "gpt2-xl")[-1] == (1, 2, "avhs", GPT4, 0, "last")
    assert report.rejects == []


def test_importing_again_changes_nothing_and_other_texts_are_the_next_sample(
    database: Database, tmp_path: Path
) -> None:
    first = write_csv(tmp_path / "in" / "1.csv", HEADER, (0, 7, *texts("cats")), (0, 7, *texts("cats")))
    write_csv(tmp_path / "in" / "2.csv", HEADER, (0, 7, *texts("dogs")))
    assert (take(database, first).n_explanations, take(database, first).n_explanations) == (5, 0)
    for _ in range(2):
        report = take(database, tmp_path / "in")
        stored = said(database, "gpt2-xl")
        assert [row[4:] for row in stored if row[2] == "hs"] == [
            (0, "cats by HighlightSummary"),
            (1, "dogs by HighlightSummary"),
        ]
    assert (report.n_explanations, report.n_already_there) == (0, 15)
    take(database, first, explainer="openai:gpt-3.5-turbo")
    assert [row[3:5] for row in said(database, "gpt2-xl")][-1] == ("openai:gpt-3.5-turbo", 0)


def test_what_cannot_be_used_is_named_and_the_rest_is_taken(database: Database, tmp_path: Path) -> None:
    rows = [
        (0, "x", *texts("a")),
        (0, 1, "", *texts("b")[1:4], " \t"),
        (0, 2, "..."),
        (0, 3, " ... ", *texts("c")[1:]),
        (10_000, 0, *texts("d")),
    ]
    report = take(database, write_csv(tmp_path / "bad.csv", HEADER, *rows))
    far = "the layer is 10000; expected a whole number from 0 to 9999"
    assert reasons(report) == [
        ("bad.csv, line 2", "the neuron is 'x'; expected a whole number from 0"),
        ("bad.csv, line 3", "no explanation by original of neuron 0:1; expected a text"),
        ("bad.csv, line 3", "no explanation by avhs of neuron 0:1; expected a text"),
        ("bad.csv, line 4", "3 cells; expected 7 as in the header"),
        *[("bad.csv, line 6", far)] * 5,
    ]
    assert [row[1:3] for row in said(database, "gpt2-xl")] == [
        *[(1, method) for method in OURS[1:4]],
        *[(3, method) for method in OURS],
    ]
    with database.reading() as session:
        failed = session.scalars(sa.select(Explanation).where(Explanation.status == "failed")).one()
    assert (failed.text, failed.text_received, failed.failure) == (None, " ... ", "empty")


def test_the_neurons_of_the_files_are_kept_as_a_set(database: Database, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "random.csv", HEADER, (1, 0, *texts("a")), (0, 3, *texts("b")), ("?", 0, *texts("c")))
    write_csv(tmp_path / "others.csv", HEADER, (1, 1, *texts("a")))
    for explainer in (GPT4, "openai:gpt-3.5-turbo", GPT4):
        take(database, path, neuron_set="Random", explainer=explainer)
    with database.reading() as session:
        members = set_members(session, "gpt2-xl", "Random")
        places = [(neuron.layer, neuron.index) for neuron in session.scalars(sa.select(Neuron).order_by(Neuron.id))]
        chosen = session.scalars(sa.select(NeuronSet.chosen)).one()
        expected = sa.select(Neuron.id).order_by(Neuron.layer, Neuron.index)
        assert members == session.scalars(expected).all()
    assert sorted(places) == [(0, 3), (1, 0)]
    assert chosen["in_words"] == "Those of the imported results in random.csv."
    with pytest.raises(Conflict, match="there is a neuron set 'Random' of gpt2-xl with other neurons"):
        take(database, tmp_path / "others.csv", neuron_set="Random")
    with pytest.raises(InvalidInput, match="neuron set '/'"):
        take(database, path, neuron_set="/")


def test_an_import_that_was_stopped_goes_on(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.exchange.explanations.N_EXPLANATIONS_PER_BATCH", 7)
    path = write_csv(tmp_path / "random.csv", HEADER, *[(0, index, *texts("x")) for index in range(5)])
    with stopped_at(database, 3) as stopping, pytest.raises(KeyboardInterrupt):
        take(stopping, path, neuron_set="Random")
    assert len(said(database, "gpt2-xl")) == 14
    report = take(database, path, neuron_set="Random")
    assert (report.n_explanations, report.n_already_there) == (11, 14)
    assert [row[4] for row in said(database, "gpt2-xl")] == [0] * 25


def test_a_recorded_subject_takes_texts_of_the_neurons_it_has(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, "gpt2-xl", n_layers=2), 1, 2)
    rows = [(1, 2, *texts("a")), (1, 3, *texts("b")), (2, 0, *texts("c"))]
    report = take(database, write_csv(tmp_path / "random.csv", HEADER, *rows))
    assert report.n_explanations == 5
    assert reasons(report) == [
        *[("random.csv, line 3", "gpt2-xl has no neuron 1:3 here")] * 5,
        *[("random.csv, line 4", "gpt2-xl has no neuron 2:0 here; its layers are 0 to 1")] * 5,
    ]


def test_a_subject_that_is_being_recorded_takes_nothing(database: Database, tmp_path: Path) -> None:
    with database.writing() as session:
        make_subject(session, "gpt2-xl", recording_status="writing")
    with pytest.raises(Conflict, match="the recording of gpt2-xl is not finished"):
        take(database, write_csv(tmp_path / "a.csv", HEADER, (0, 0, *texts("a"))))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("layer", "neuron", "score", "explanation"), "; import references takes these"),
        (
            HEADER[:-1],
            "has the columns layer,neuron,original,summary,highlight,highlightsummary; expected Layer,Neuron",
        ),
        ((*HEADER, "Other"), "avhs,other; expected Layer,Neuron,Original,Summary,Highlight,HighlightSummary,AVHS or "),
        (PUZZLE_HEADER, "random.csv is about neurons and "),
    ],
)
def test_an_unknown_header_is_one_error_and_nothing_is_stored(
    database: Database, tmp_path: Path, header: tuple[str, ...], message: str
) -> None:
    write_csv(tmp_path / "random.csv", HEADER, (0, 0, *texts("a")))
    write_csv(tmp_path / "z.csv", header, ("0:seed0", *texts("b")))
    with pytest.raises(InvalidInput) as raised:
        take(database, tmp_path)
    assert message in str(raised.value)
    assert said(database, "gpt2-xl") == []


# Puzzles --------------------------------------------------------------------------------------------------------------


def test_puzzles_go_to_a_subject_of_their_own_with_their_truths(database: Database, tmp_path: Path) -> None:
    rows = [(f"3:seed{seed}", " words for cats.", *texts("the same")) for seed in (0, 1, 2)]
    path = write_csv(tmp_path / "puzzles.csv", PUZZLE_HEADER, *rows)
    for _ in range(2):
        report = take(database, path, "puzzles")
        assert report.rejects == []
    stored = said(database, "puzzles")
    assert stored[0] == (0, 3, "reference", "none", 0, " words for cats.")
    # The same words twice are two samples here, for the file numbers them.
    assert [row for row in stored if row[2] == "hs"] == [
        (0, 3, "hs", GPT4, seed, "the same by HighlightSummary") for seed in (0, 1, 2)
    ]
    assert len(stored) == 16
    with database.reading() as session:
        assert session.scalars(sa.select(SubjectModel.architecture)).one() == "puzzles"


def test_a_row_of_another_puzzle_or_another_sample_is_rejected(database: Database, tmp_path: Path) -> None:
    rows = [("0:seed0", "cats", *texts("a")), ("0:seed1", "Cats. ", *texts("b")), ("0:seed2", "dogs", *texts("c"))]
    take(database, write_csv(tmp_path / "puzzles.csv", PUZZLE_HEADER, *rows[:2]), "puzzles")
    more = [rows[2], ("0", "cats", *texts("d")), ("1:seed0", " ", *texts("e")), ("0:seed1", "cats", *texts("f"))]
    report = take(database, write_csv(tmp_path / "more.csv", PUZZLE_HEADER, *more), "puzzles")
    assert reasons(report) == [
        (
            "more.csv, line 2",
            "the GT Explanation is 'Dogs.'; expected 'Cats.', which is true of puzzle 0; do the file's ids count from "
            "1? The first puzzle is 0 here",
        ),
        ("more.csv, line 3", "the puzzle id is '0'; expected its number and its sample, such as 3:seed0"),
        ("more.csv, line 4", "the GT Explanation is empty; expected what is true of the puzzle"),
        *[
            ("more.csv, line 5", f"sample 1 of {method} by {GPT4} is here with another text; neuron 0:0")
            for method in OURS
        ],
    ]
    assert len(said(database, "puzzles")) == 11


def test_puzzles_and_neurons_do_not_mix(database: Database, tmp_path: Path) -> None:
    neurons = write_csv(tmp_path / "neurons.csv", HEADER, (0, 0, *texts("a")))
    puzzles = write_csv(tmp_path / "puzzles.csv", PUZZLE_HEADER, ("0:seed0", "cats", *texts("a")))
    take(database, neurons)
    take(database, puzzles, "puzzles")
    with pytest.raises(Conflict, match="the neurons of gpt2-xl are no puzzles"):
        take(database, puzzles)
    with pytest.raises(Conflict, match="the neurons of puzzles are puzzles"):
        take(database, neurons, "puzzles")
    with pytest.raises(Conflict, match="the neurons of puzzles are puzzles"):
        NeuronWriter(database, "puzzles", ImportReport("test")).add(
            ImportedNeuron(0, 0, {"top": [ImportedRecord(["a"], [1.0])]}, {}), "FILE"
        )
