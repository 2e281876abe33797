"""`neuronjury import` and `neuronjury export`: what they print where, how they end, and what they leave."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.explanations.models import Explanation
from app.migrating import upgrade
from app.neurons.models import NeuronSet
from tests.command_line import Ended, Run, command_line
from tests.exchange.foreign_files import (
    CAT,
    DOG,
    SUBJECT,
    neuron_record,
    records_of,
    statistics_of,
    write_json,
    write_neurons,
)
from tests.exchange.paper_files import HEADER, texts, write_csv
from tests.factories import make_explanation, make_neuron, make_subject


@pytest.fixture(scope="session")
def upgraded_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as `neuronjury init` leaves it, made once."""
    file = tmp_path_factory.mktemp("upgraded") / "study.sqlite"
    database = Database(f"sqlite:///{file}")
    upgrade(database)
    database.dispose()
    return file


@pytest.fixture
def stored(upgraded_file: Path, tmp_path: Path) -> Iterator[Database]:
    """The database that the commands work on."""
    database = Database(f"sqlite:///{shutil.copy(upgraded_file, tmp_path / 'commands.sqlite')}")
    yield database
    database.dispose()


@pytest.fixture
def run(stored: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NEURONJURY_DATABASE_URL", str(stored.engine.url))

    return command_line(monkeypatch, capsys)


def test_an_import_says_what_it_took_and_names_what_it_did_not(run: Run, stored: Database, tmp_path: Path) -> None:
    folder = write_neurons(tmp_path / "in", [neuron_record(0, 0), neuron_record(0, 1)])
    bad = write_json(folder / "0" / "2.json", neuron_record(0, 2, top=[(["a"], [None])]))
    ended = run("import", "neuron-records", folder, "--subject", SUBJECT, "--rejects", tmp_path / "rejects.csv")
    reason = "activation 0 of top record 0 is null; expected a number, for unknown is not 0"
    assert ended == Ended(0, "Imported neuron-records: 2 neurons, 4 records; 1 rejected\n", f"{bad}: {reason}\n")
    assert (tmp_path / "rejects.csv").read_text() == f'place,reason\n{bad},"{reason}"\n'
    assert set(statistics_of(stored)) == {(0, 0), (0, 1)}
    again = run("import", "neuron-records", folder, "--subject", SUBJECT)
    assert (again.exit_code, again.out) == (
        0,
        "Imported neuron-records: nothing new; 2 already there; 1 rejected\n",
    )


def test_an_import_that_could_take_nothing_ends_with_one_error(run: Run, stored: Database, tmp_path: Path) -> None:
    bad = write_json(tmp_path / "in" / "0.json", [])
    ended = run("import", "neuron-records", tmp_path / "in", "--subject", SUBJECT)
    assert (ended.exit_code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        f"{bad}: a neuron record is a list; expected an object",
        f"neuronjury: nothing in {tmp_path / 'in'} could be taken as neuron-records; 1 rejected",
    ]


def test_explanations_are_imported_under_the_names_given(run: Run, stored: Database, tmp_path: Path) -> None:
    run("import", "neuron-records", write_neurons(tmp_path / "in", [neuron_record()]), "--subject", SUBJECT)
    place = {"layer_index": 0, "neuron_index": 0}
    scored = [{"explanation": "cats", "scored_simulation": None}]
    (tmp_path / "0.jsonl").write_text(json.dumps({"neuron_id": place, "scored_explanations": scored}))
    by = ("--method", "summary", "--explainer", "openai:gpt-3.5")
    ended = run("import", "simulation-results", tmp_path / "0.jsonl", "--subject", SUBJECT, *by)
    assert ended == Ended(0, "Imported simulation-results: 1 explanation\n", "")
    ended = run("import", "simulation-results", tmp_path / "0.jsonl", "--subject", SUBJECT)
    assert ended == Ended(0, "Imported simulation-results: 1 explanation\n", "")


def test_explanations_go_out_and_come_in_as_a_neuronpedia_export(run: Run, stored: Database, tmp_path: Path) -> None:
    with stored.writing() as session:
        make_explanation(session, make_neuron(session, make_subject(session), 1, 2), text="cats.")
        make_neuron(session, make_subject(session, "other"), 1, 2)
    ended = run("export", "neuronpedia", "--subject", "toy", "--to", tmp_path / "out")
    assert ended == Ended(0, f"Exported 1 explanation to {tmp_path / 'out'}\n", "")
    ended = run("import", "neuronpedia", tmp_path / "out", "--subject", "other")
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.startswith("Imported neuronpedia: 1 explanation")


def test_a_delphi_run_is_imported_by_the_explainer_named(run: Run, stored: Database, tmp_path: Path) -> None:
    with stored.writing() as session:
        make_neuron(session, make_subject(session), 1, 2)
    write_json(tmp_path / "run" / "explanations" / "layers.1.mlp_latent2.txt", "cats")
    ended = run("import", "delphi", tmp_path / "run", "--subject", "toy", "--explainer", "openai:gpt-4o")
    assert (ended.exit_code, ended.err) == (0, "")
    assert ended.out.startswith("Imported delphi: 1 explanation")
    with stored.reading() as session:
        assert session.scalars(sa.select(Explanation.explainer)).all() == ["openai:gpt-4o"]


def test_texts_of_the_paper_and_the_shipped_puzzles_come_in_and_go_out(
    run: Run, stored: Database, tmp_path: Path
) -> None:
    results = write_csv(tmp_path / "random.csv", HEADER, (3, 5, *texts("cats")), (3, "?", *texts("dogs")))
    by = ("--explainer", "openai:gpt-4", "--neuron-set", "Random")
    ended = run("import", "paper-results", results, "--subject", "gpt2-xl", *by)
    assert ended == Ended(
        0,
        "Imported paper-results: 5 explanations; 1 rejected; 1 neuron made without activations\n",
        f"{results}, line 3: the neuron is '?'; expected a whole number from 0\n",
    )
    references = write_csv(
        tmp_path / "references.csv", ("layer", "neuron", "score", "explanation"), (3, 5, 0.5, "cats")
    )
    ended = run("import", "references", references, "--subject", "gpt2-xl")
    assert ended == Ended(0, "Imported references: 1 explanation, 1 score\n", "")
    ended = run("export", "explanations", "--subject", "gpt2-xl", "--to", tmp_path / "all.csv")
    assert ended == Ended(0, f"Exported 6 explanations to {tmp_path / 'all.csv'}\n", "")
    ended = run("import", "explanations", tmp_path / "all.csv", "--subject", "copy")
    assert ended.out == "Imported explanations: 6 explanations, 1 score; 1 neuron made without activations\n"
    ended = run("import", "puzzles", "default", "--subject", "puzzles")
    assert (ended.exit_code, ended.err) == (0, "")
    with stored.reading() as session:
        assert session.scalars(sa.select(NeuronSet.name)).all() == ["Random"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("neuron-records", "--method", "summary"), "--method is 'summary'; expected with simulation-results only"),
        (
            ("neuronpedia", "--explainer", "a:b"),
            "--explainer is 'a:b'; expected with simulation-results, delphi, paper-results and references only",
        ),
        (("puzzles", "--neuron-set", "all"), "--neuron-set is 'all'; expected with paper-results only"),
        (("paper-results",), "the files of paper-results do not say who explained; expected --explainer"),
        (("delphi",), "the files of delphi do not say who explained; expected --explainer"),
        (("simulation-results",), "there is no recorded subject model 'gpt2-tiny'"),
    ],
)
def test_options_that_do_not_fit_are_one_error(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "0.jsonl").write_text("{}")
    kind, *options = arguments
    ended = run("import", kind, tmp_path, "--subject", SUBJECT, *options)
    assert (ended.exit_code, ended.out) == (1, "")
    assert ended.err.startswith(f"neuronjury: {message}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("command", ["import", "export"])
def test_an_unknown_kind_is_a_mistake_in_how_the_command_was_written(run: Run, tmp_path: Path, command: str) -> None:
    path = [tmp_path] if command == "import" else ["--to", tmp_path]
    ended = run(command, "csv", *path, "--subject", SUBJECT)
    assert ended.exit_code == 2
    assert "neuron-records" in ended.err


def test_a_recorded_subject_takes_no_neurons(run: Run, stored: Database, tmp_path: Path) -> None:
    with stored.writing() as session:
        make_neuron(session, make_subject(session, SUBJECT))
    folder = write_neurons(tmp_path / "in", [neuron_record(1, 1)])
    ended = run("import", "neuron-records", folder, "--subject", SUBJECT)
    assert ended.exit_code == 1
    assert "gpt2-tiny was recorded here" in ended.err
    assert set(statistics_of(stored)) == {(0, 0)}


def test_an_export_writes_all_neurons_a_layer_or_a_list(run: Run, tmp_path: Path) -> None:
    folder = write_neurons(tmp_path / "in", [neuron_record(layer, index) for layer in (0, 1) for index in (0, 1)])
    run("import", "neuron-records", folder, "--subject", SUBJECT)
    (tmp_path / "chosen.csv").write_text("layer,neuron\n1,0\n")
    choices = {"all": (), "layer": ("--layer", "1"), "list": ("--neurons", tmp_path / "chosen.csv")}
    written = {}
    for name, choice in choices.items():
        to = tmp_path / name
        ended = run("export", "neuron-records", "--subject", SUBJECT, "--to", to, *choice)
        files = sorted(str(file.relative_to(to)) for file in to.rglob("*.json"))
        assert ended == Ended(0, f"Exported {len(files)} neuron{'s' * (len(files) != 1)} to {to}\n", "")
        written[name] = files
    assert written == {
        "all": ["0/0.json", "0/1.json", "1/0.json", "1/1.json"],
        "layer": ["1/0.json", "1/1.json"],
        "list": ["1/0.json"],
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layer", "7"), "gpt2-tiny has no neuron in layer 7"),
        (("--layer", "0", "--neurons", "chosen.csv"), "--layer and --neurons are both given; expected one of them"),
        (("--neurons", "missing.csv"), "missing.csv: No such file"),
        (("--neurons", "chosen.csv"), "chosen.csv, line 2: "),
    ],
)
def test_an_export_of_neurons_that_are_not_here_writes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chosen.csv").write_text("layer,neuron\n0,9\n")
    mine, others = [neuron_record(), neuron_record(8, 0)], [neuron_record(7, 0)]
    run("import", "neuron-records", write_neurons(tmp_path / "mine", mine), "--subject", SUBJECT)
    run("import", "neuron-records", write_neurons(tmp_path / "others", others), "--subject", "other")
    ended = run("export", "neuron-records", "--subject", SUBJECT, "--to", tmp_path / "out", *options)
    assert (ended.exit_code, ended.out) == (1, "")
    assert ended.err.startswith(f"neuronjury: {message}")
    assert not (tmp_path / "out").exists()


def test_an_export_is_not_written_over_unless_asked_to(run: Run, stored: Database, tmp_path: Path) -> None:
    folder = write_neurons(tmp_path / "in", [neuron_record()])
    run("import", "neuron-records", folder, "--subject", SUBJECT)
    exporting = ("export", "neuron-records", "--subject", SUBJECT, "--to", folder)
    refused = run(*exporting)
    assert (refused.exit_code, refused.out) == (1, "")
    assert "0/0.json is there already; expected a new folder, or --overwrite" in refused.err
    assert run(*exporting, "--overwrite").exit_code == 0
    assert records_of(stored) == {(0, 0, "top"): [CAT], (0, 0, "random"): [DOG]}
