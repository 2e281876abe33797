"""`neuronjury tables`, on the terminal and into a folder."""

import json
from pathlib import Path

import pytest

from app.database import Database
from app.findings.building import TABLE_NAMES
from app.migrating import prepare_databases
from app.settings import Settings
from tests.command_line import Run, command_line
from tests.factories import make_subject
from tests.findings.stored import EXPLAINER, make_neurons, make_puzzles, make_scored, make_set

TABLE_2 = (
    "neurons,scorer,explainer,prompt_pack,n_min,n_max,original,original_sem,original_n\n"
    f"All neurons,local:toy all-at-once,{EXPLAINER},default@0123456789ab,2,2,0.375,0.125,2\n"
    f"few,local:toy all-at-once,{EXPLAINER},default@0123456789ab,1,1,0.5,,1\n"
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """On an installation of its own with a scored subject and puzzles."""
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path / "data"))
    settings = Settings()
    prepare_databases(settings)
    database = Database(settings.data_database_url)
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 2)
        make_scored(session, neurons, {"original": [0.25, 0.5]})
        make_set(session, subject, "few", neurons[1:])
        make_puzzles(session)
    database.dispose()
    return command_line(monkeypatch, capsys)


def test_tables_are_printed_and_written(run: Run, tmp_path: Path) -> None:
    everything = run("tables")
    assert (everything.exit_code, everything.err) == (0, "")
    assert "Table 2: Mean simulation score (toy)\n" in everything.out
    assert "0.3750 ± 0.1250\n" in everything.out
    assert everything.out.count("Nothing is stored for it yet.") == 8
    assert run("tables", "--table", "2", "--format", "csv").out == TABLE_2
    assert run("tables", "--table", "2", "--neurons", "few", "--format", "csv").out == "".join(
        TABLE_2.splitlines(keepends=True)[::2]
    )
    both = json.loads(run("tables", "--table", "2, figure3-layers", "--format", "json", "--subject", "toy").out)
    assert [table["name"] for table in both] == ["2", "figure3-layers"]
    assert run("tables", "--table", "2", "--format", "latex").out.startswith("\\begin{table}\n")
    page = run("tables", "--table", "figure3-layers,figure3-scores", "--format", "html").out
    assert page.count("<svg") == 2
    assert page.count("<table") == 2

    written = run("tables", "--format", "csv", "--out", tmp_path / "deep" / "folder")
    names = [f"{name if name.startswith('figure') else f'table{name}'}.csv" for name in TABLE_NAMES]
    assert written.out.splitlines() == [str(tmp_path / "deep" / "folder" / name) for name in names]
    assert (tmp_path / "deep" / "folder" / "table2.csv").read_text(encoding="utf-8") == TABLE_2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "2,9"], "there is no table '9' here; expected 1, 2, 2-differences"),
        (["--format", "csv"], "CSV holds one table: name it with --table, or a folder for several with --out"),
        (["--subject", "nowhere"], "there is no recorded subject model 'nowhere'"),
        (["--neurons", "none"], "there is no neuron set 'none' of this subject model; there are: few"),
        (["--out", "/dev/null/folder"], "/dev/null/folder cannot be written: Not a directory"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    ended = run("tables", *arguments)
    assert (ended.exit_code, ended.out) == (1, "")
    assert ended.err.startswith(f"neuronjury: {said}")
    assert ended.err.count("\n") == 1
