"""The command line: every mistake is one clear line and an exit code, and leaves the databases as they were."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.migrating import prepare_databases
from app.settings import Settings
from app.tables import metadata
from tests.command_line import Ended, Run, command_line
from tests.factories import make_explanation, make_neuron, make_records, make_subject
from tests.worker.explaining.tiny_model import tiny_model, tiny_tokenizer

METHODS = ("original", "summary")


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `neuronjury init` leaves it, made once."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare_databases(Settings(data=folder))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """`neuronjury ...` on a data folder of its own, without a key and without a hub."""
    monkeypatch.setenv("NEURONJURY_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)

    return command_line(monkeypatch, capsys)


@pytest.fixture
def database(prepared_folder: Path, tmp_path: Path) -> Iterator[Database]:
    """The databases as `neuronjury init` makes them, with a subject model of two explained neurons."""
    shutil.copytree(prepared_folder, tmp_path / "data")
    database = Database(Settings(data=tmp_path / "data").data_database_url)
    with database.writing() as session:
        subject = make_subject(session, "toy")
        for layer in range(2):
            neuron = make_neuron(session, subject, layer)
            make_records(session, neuron)
            for method in METHODS:
                make_explanation(session, neuron, method, "local:toy", text=f"Cats of kind {layer}, says {method}.")
    yield database
    database.dispose()


def everything_in(session: Session) -> dict[str, list[tuple[object, ...]]]:
    return {table.name: [tuple(row) for row in session.execute(sa.select(table))] for table in metadata.sorted_tables}


CREATE = ("study", "create", "s", "--subject", "toy", "--explainer", "local:toy")
BOTH = ("--method", "original", "--method", "summary")
TOKENS = ("--method", "tokens", "--explainer", "none")
EXPLAIN = ("explain", "--subject", "toy", "--per-layer", "1")

NOWHERE = ("--explainer", "openai:x", "--base-url", "http://127.0.0.1:9/v1")
NOT_YET = "its results can be seen and exported once it is closed\n"

MISTAKES = {
    "unknown command": (("frobnicate",), 2, "frobnicate"),
    "missing option": (("explain", "--subject", "toy"), 2, "--method"),
    "unknown model": (("record", "--model", "no/such-model"), 1, "no/such-model"),
    "no such text": (("record", "--text", "absent.txt"), 1, "absent.txt"),
    "empty corpus": (("record", "--text", "empty.txt"), 1, "empty.txt"),
    "corpus shorter than an excerpt": (("record", "--model", "tiny", "--text", "short.txt"), 1, "64"),
    "broken jsonl": (("record", "--model", "tiny", "--text", "broken.jsonl"), 1, "broken.jsonl"),
    "model without a known MLP": (("record", "--model", "strange", "--text", "long.txt"), 1, "mamba"),
    "unknown subject": (("explain", "--subject", "gpt9", "--per-layer", "1", *TOKENS), 1, "gpt9"),
    "unknown method": ((*EXPLAIN, "--method", "rhyme", "--explainer", "local:toy"), 1, "original, summary, highlight"),
    "unknown explainer": ((*EXPLAIN, "--method", "hs", "--explainer", "oracle"), 1, "oracle"),
    "no key": ((*EXPLAIN, "--method", "hs", "--explainer", "openai:gpt-4"), 1, "OPENAI_API_KEY"),
    "unreachable explainer": ((*EXPLAIN, "--method", "hs", *NOWHERE), 1, "127.0.0.1:9"),
    "temperature": ((*EXPLAIN, "--method", "hs", "--explainer", "openai:x", "--temperature", "7"), 1, "temperature"),
    "malformed CSV": ((*CREATE, *BOTH, "--neurons", "bad.csv"), 1, "bad.csv, line 3: layer 'x'"),
    "absent CSV": ((*CREATE, *BOTH, "--neurons", "absent.csv"), 1, "absent.csv"),
    "condition that nobody made": ((*CREATE, *BOTH, "--method", "hs", "--per-layer", "1"), 1, "hs@local:toy"),
    "one condition": ((*CREATE, "--method", "original", "--per-layer", "1"), 1, "two"),
    "neither neurons nor a number": ((*CREATE, *BOTH), 1, "--per-layer"),
    "unknown study": (("study", "open", "absent"), 1, "absent"),
    "short password": (("admin", "create", "ada", "--role", "king", "--generate"), 1, "king"),
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "short.txt").write_text("Too short.")
    (tmp_path / "long.txt").write_text("A text that is long enough for an excerpt or two. " * 60)
    (tmp_path / "broken.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    (tmp_path / "bad.csv").write_text("layer,neuron\n0,0\nx,0\n")
    tiny_model().save_pretrained(tmp_path / "tiny")
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "config.json").write_text(json.dumps({"model_type": "mamba"}))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_changes_nothing(run: Run, database: Database, mistake: str) -> None:
    arguments, exit_code, named = MISTAKES[mistake]
    with database.reading() as session:
        before = everything_in(session)
    ended = run(*arguments)
    lines = [line for line in ended.err.splitlines() if line.startswith("neuronjury: ")]
    assert (ended.exit_code, len(lines)) == (exit_code, 1), ended
    assert named in lines[0]
    assert "Traceback" not in ended.err
    with database.reading() as session:
        assert everything_in(session) == before


def test_init_makes_everything_and_can_be_repeated(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("init") == Ended(0, f"Ready: {tmp_path / 'data'}\n", "")
    assert {path.name for path in (tmp_path / "data").iterdir()} >= {"neuronjury.sqlite", "jobs.sqlite", "secret"}
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o077 == 0


def test_a_wrong_setting_is_named_as_its_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONJURY_THREADS", "many")
    ended = run("init")
    assert ended.exit_code == 1
    assert ended.err.startswith("neuronjury: NEURONJURY_THREADS: ")
    assert ended.err.count("\n") == 1


def test_a_weak_secret_stops_the_site(run: Run, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONJURY_SECRET", "short")
    ended = run("serve")
    assert ended == Ended(1, "", "neuronjury: NEURONJURY_SECRET has 5 characters; expected at least 32 random ones\n")


def test_without_init_every_command_says_what_to_run(run: Run) -> None:
    ended = run("study", "status", "demo")
    assert ended.exit_code == 1
    assert ended.err.endswith("run `neuronjury init`\n")


@pytest.mark.usefixtures("database")
def test_a_study_from_the_draft_to_its_files(run: Run, tmp_path: Path) -> None:
    assert run(*CREATE, *BOTH, "--per-layer", "1").exit_code == 0
    assert run("study", "results", "s").err == f"neuronjury: study s is draft; {NOT_YET}"
    assert run("study", "open", "s").exit_code == 0
    invited = json.loads(run("study", "invite", "s", "--raters", "2", "--json").out)
    assert [each["rater"] for each in invited["raters"]] == ["rater-1", "rater-2"]
    assert all(each["link"].startswith("http://127.0.0.1:8000/r/") for each in invited["raters"])
    assert run("study", "status", "s").out.splitlines() == [
        "s: open, 2 neurons, 2 conditions",
        "0 of 6 judgements are in",
        "raters: 2 invited, 0 in practice, 0 judging, 0 stalled, 0 finished",
        "rater-1  invited  0 of 0  last seen never",
        "rater-2  invited  0 of 0  last seen never",
    ]
    assert run("study", "results", "s").err == f"neuronjury: study s is open; {NOT_YET}"
    assert run("study", "revoke", "s", "2").exit_code == 0
    assert run("study", "status", "s").out.splitlines()[-1] == "rater-2  revoked  0 of 0  last seen never"
    assert run("study", "revoke", "s", "9").exit_code == 1
    assert run("study", "close", "s").exit_code == 0
    assert run("study", "invite", "s", "--raters", "1").exit_code == 1
    assert run("study", "results", "s", "--out", str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out" / "table5.csv").read_text().splitlines()[
        0
    ] == "explainer,method,n,mean_rating,sem,share_best"
    assert (tmp_path / "out" / "ratings.csv").read_text().startswith("study,rater,subject,layer,neuron,method,")


@pytest.mark.usefixtures("database")
def test_an_account_can_be_made_with_a_random_password_once(run: Run) -> None:
    made = run("admin", "create", "ada", "--generate")
    assert made.out.startswith("Created admin ada with password ")
    again = run("admin", "create", "ada", "--generate")
    assert again == Ended(1, "", "neuronjury: there is already an account named 'ada'\n")


@pytest.mark.usefixtures("database")
def test_the_baseline_explains_from_the_command_line(run: Run, database: Database) -> None:
    arguments = (*EXPLAIN, *TOKENS)
    assert run(*arguments).out.splitlines()[-1] == "Batch 1 done: 2 done, 0 failed"
    assert run(*arguments).out == "All of these explanations are there already\n"
    with database.reading() as session:
        texts = set(session.scalars(sa.text("SELECT text FROM explanation WHERE method = 'tokens'")))
    assert all("cat" in text for text in texts)
