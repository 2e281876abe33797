"""The commands of a study until it opens, on an installation of their own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from app.database import Database
from app.errors import Conflict, InvalidInput
from app.migrating import upgrade
from app.settings import Settings
from app.studies.commands import studies
from app.studies.models import OPEN, Study
from app.studies.protocol import Protocol
from tests.studies.factories import EXPLAINER, distinct_text, make_explained_subject

CREATE = ("create", "s", "--subject", "toy", "--explainer", EXPLAINER, "--method", "hs", "--method", "avhs")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The database that the commands find: on SQLite, for which system it is makes no difference to them."""
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    database = Database(Settings().data_database_url)
    upgrade(database)
    with database.writing() as session:
        make_explained_subject(session, "toy")
    yield database
    database.dispose()


def run(*arguments: str) -> str:
    done = CliRunner().invoke(studies, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def stored(database: Database, slug: str = "s") -> Study:
    with database.reading() as session:
        return session.scalars(sa.select(Study).where(Study.slug == slug)).one()


def test_a_draft_with_the_usual_protocol_says_what_it_comes_to(installed: Database) -> None:
    assert run(*CREATE, "--per-layer", "2") == (
        "Each of 5 raters judges 2 neurons, 1 of them shared by all. The other 3 are judged once. "
        "That makes 8 judgements of each condition.\n"
        "Created s; next: neuronjury study open s\n"
    )
    assert Protocol.model_validate(stored(installed).protocol) == Protocol()


def test_options_choose_the_protocol(installed: Database, tmp_path: Path) -> None:
    (tmp_path / "consent.txt").write_text("You may stop.\n")
    (tmp_path / "how.txt").write_text("Look closely.\n")
    run(
        *CREATE, "--spread", "3", "--sharing", "overlap", "--raters", "4", "--raters-per-neuron", "2",
        "--practice", "1",
        "--checks", "0", "--top", "5", "--hide-explained", "--hide-names", "--no-guesses", "--lease-hours", "5",
        "--consent", str(tmp_path / "consent.txt"), "--instructions", str(tmp_path / "how.txt"),
        "--completion-url", "https://example.org/done", "--neurons-per-rater", "2",
    )  # fmt: skip
    study = stored(installed)
    assert study.instructions == "Look closely."
    assert study.neuron_set["n_neurons"] == 3
    assert Protocol.model_validate(study.protocol) == Protocol(
        sharing="overlap",
        n_raters=4,
        raters_per_neuron=2,
        neurons_per_rater=2,
        n_puzzles=1,
        n_right_to_pass=1,
        check_percent=0,
        evidence={"top": 5, "random": 10},
        shows_explained=False,
        names_neurons=False,
        asks_for_guesses=False,
        lease_hours=5,
        consent="You may stop.",
        completion_url="https://example.org/done",
    )


def test_a_file_brings_the_whole_protocol_and_options_win(installed: Database, tmp_path: Path) -> None:
    file = tmp_path / "protocol.json"
    file.write_text(json.dumps({"sharing": "crossed", "n_raters": 9, "exclude_too_fast_percent": None}))
    run(*CREATE, "--per-layer", "1", "--protocol", str(file), "--raters", "2")
    protocol = Protocol.model_validate(stored(installed).protocol)
    assert protocol == Protocol(sharing="crossed", n_raters=2, exclude_too_fast_percent=None)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ('{"sharing": "all"}', "sharing 'all': Input should be"),
        ('{"raters": 3}', "raters 3: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_no_protocol_makes_no_study(
    installed: Database, tmp_path: Path, content: str, problem: str
) -> None:
    (tmp_path / "protocol.json").write_text(content)
    with pytest.raises(InvalidInput, match=problem):
        run(*CREATE, "--per-layer", "1", "--protocol", str(tmp_path / "protocol.json"))
    with installed.reading() as session:
        assert session.scalars(sa.select(Study)).all() == []


@pytest.mark.parametrize("choice", [(), ("--per-layer", "1", "--spread", "1"), ("--neuron-set", "x", "--spread", "1")])
def test_the_neurons_are_chosen_in_one_way(installed: Database, choice: tuple[str, ...]) -> None:
    ways = "--per-layer N, --spread N, --neurons FILE.csv and --neuron-set NAME"
    with pytest.raises(InvalidInput, match=f"say one of {ways}"):
        run(*CREATE, *choice)


def test_texts_are_listed_and_let_pass_before_the_opening(installed: Database) -> None:
    with installed.writing() as session:
        make_explained_subject(session, "same", texts=lambda layer, index, method: f"{method[::-1]} words")
    run("create", "t", *CREATE[2:3], "same", *CREATE[4:], "--per-layer", "1")
    listed = run("lint", "t").splitlines()
    assert len(listed) == 4
    assert listed[0].endswith("hs@local:toy: the text says the same of 1 other neuron")
    with pytest.raises(InvalidInput, match="these texts cannot be shown to raters"):
        run("open", "t")
    assert run("lint", "t", "--waive-all") == "Let pass: 4\nNo text keeps t from opening\n"
    run("open", "t")


def test_a_study_is_opened_paused_and_resumed(installed: Database) -> None:
    run(*CREATE, "--per-layer", "1")
    assert run("lint", "s") == "No text keeps s from opening\n"
    opened = run("open", "s")
    study = stored(installed)
    assert study.status == OPEN
    assert opened == f"Opened s, design {study.design_hash}; next: neuronjury study invite s --raters N\n"
    assert run("pause", "s") == "Paused s; next: neuronjury study resume s\n"
    with pytest.raises(Conflict, match="study s is paused already"):
        run("pause", "s")
    assert run("resume", "s") == "Resumed s\n"


def test_a_design_goes_into_a_file_and_out_of_it(installed: Database, tmp_path: Path) -> None:
    run(*CREATE, "--per-layer", "2")
    run("open", "s")
    file = tmp_path / "design.json"
    assert run("export-design", "s", "--out", str(file)) == f"Wrote {file}\n"
    assert run("export-design", "s") == file.read_text(encoding="utf-8")
    design_hash = stored(installed).design_hash
    assert run("import-design", str(file), "--slug", "again") == (
        f"Design {design_hash}\nImported again; next: neuronjury study open again\n"
    )
    run("open", "again")
    assert stored(installed, "again").design_hash == design_hash
    file.write_text(file.read_text(encoding="utf-8").replace(distinct_text(0, 0, "hs"), "another text"))
    assert run("import-design", str(file), "--slug", "changed").startswith(f"This is not the design {design_hash}: ")
    with pytest.raises(InvalidInput, match=r"absent\.json: No such file"):
        run("import-design", "absent.json")
