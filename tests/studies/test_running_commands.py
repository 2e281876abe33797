"""The commands of a study that runs, on an installation of their own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.database import Database, utc_now
from app.migrating import upgrade
from app.settings import Settings
from app.studies.commands import studies
from app.studies.invitations import redeem_invitation
from app.studies.queries import study_status
from tests.studies.careful_raters import CHECKED, fooled, judge
from tests.studies.factories import OpenStudy, make_open_study


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The database that the commands find: on SQLite, for which system it is makes no difference to them."""
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path))
    monkeypatch.setenv("NEURONJURY_PUBLIC_URL", "https://jury.example/")
    database = Database(Settings().data_database_url)
    upgrade(database)
    yield database
    database.dispose()


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(studies, list(arguments))
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.output


def two_raters(database: Database) -> OpenStudy:
    study = make_open_study(database, n_neurons=2, n_raters=2, protocol=CHECKED.model_copy(update={"n_raters": 2}))
    judge(database, study, 1)
    judge(database, study, 2, rate=fooled, n=1)
    return study


def test_raters_are_invited(installed: Database) -> None:
    make_open_study(installed, n_neurons=2, n_raters=1)
    printed = json.loads(run("invite", "demo", "--raters", "1", "--json"))
    assert printed["study"] == "demo"
    assert printed["raters"][0]["rater"] == "rater-2"
    link = printed["raters"][0]["link"]
    assert link.startswith("https://jury.example/r/")
    with installed.reading() as session:
        assert redeem_invitation(session, link.rpartition("/")[2], utc_now()).number == 2
    assert run("joining-link", "demo", "--most", "30").startswith("https://jury.example/join/")


def test_the_status_is_counts(installed: Database) -> None:
    two_raters(installed)
    lines = run("status", "demo").splitlines()
    assert lines[:3] == [
        "demo: open, 2 neurons, 5 conditions",
        "3 of 4 judgements are in",
        "raters: 0 invited, 0 in practice, 1 judging, 1 stalled, 0 finished",
    ]
    assert [line.split("  ")[:3] for line in lines[3:]] == [
        ["rater-1", "judging", "2 of 2"],
        ["rater-2", "stalled", "1 of 2"],
    ]


@pytest.mark.parametrize("number", [(), ("2",)])
def test_neurons_are_reclaimed(installed: Database, number: tuple[str, ...]) -> None:
    two_raters(installed)
    assert run("reclaim", "demo", *number) == "Reclaimed 1 neuron of demo\n"
    assert run("reclaim", "demo", *number) == "Reclaimed 0 neurons of demo\n"


def test_deleting_needs_a_yes(installed: Database) -> None:
    two_raters(installed)
    told = run("delete-rater", "demo", "2", code=1)
    assert "Would delete rater-2 of demo: 1 judgement, 5 ratings" in told
    assert "judgements of the study: 3 before, 2 after" in told
    with installed.reading() as session:
        assert study_status(session, "demo").n_judged == 3
    assert "Deleted rater-2 of demo: 1 judgement, 5 ratings" in run("delete-rater", "demo", "2", "--yes")
    with installed.reading() as session:
        assert study_status(session, "demo").n_judged == 2


def test_results_wait_for_the_closing_or_a_reason(installed: Database, tmp_path: Path) -> None:
    two_raters(installed)
    run("results", "demo", code=1)
    run("unmask", "demo", "--reason", " ", code=1)
    assert "Unmasked the results of demo" in run("unmask", "demo", "--reason", "an interim look")
    printed = run("results", "demo", "--out", str(tmp_path / "out"))
    assert "left out: rater-2, failed 1 of 1 checks" in printed
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["judgements.csv", "raters.csv", "ratings.csv", "table5.csv"]
    assert (tmp_path / "out" / "judgements.csv").read_text().count("\n") == 4


def test_a_study_is_closed(installed: Database) -> None:
    two_raters(installed)
    run("revoke", "demo", "2")
    assert "next: neuronjury study results demo" in run("close", "demo")
    run("close", "demo", code=1)
    run("extend", "demo", "--raters-per-neuron", "3", code=1)
