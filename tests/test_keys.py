"""A planted key is looked for wherever it could have ended: databases, files, logs, pages, the command line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.accounts.models import ADMIN
from app.accounts.sessions import start_session
from app.database import Database
from app.main import create_app
from app.neurons.models import Neuron
from app.settings import Settings
from app.web.cookies import SESSION_COOKIE
from tests.command_line import command_line
from tests.factories import make_account, make_explanation, make_neuron, make_records, make_subject
from tests.fake_openai_server import FakeOpenAI, Reply, completion_reply, embedding_reply, error_reply
from tests.forms import submit
from tests.worker.recording.worker_process import environment_of, new_installation

pytestmark = pytest.mark.long

KEY = "sk-planted-0123456789abcdef"
ORDER = ("explain", "--subject", "toy", "--per-layer", "1", "--explainer", "openai:fake")
METHODS = [word for method in ("original", "summary", "highlight", "hs") for word in ("--method", method)]
LOGGING_EVERYTHING = "import logging; logging.basicConfig(level=logging.DEBUG); from app.cli import main; main()"


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Settings, Database]]:
    """Both databases on SQLite files and then on a real PostgreSQL, one neuron, and a key in the environment."""
    settings, database = new_installation(request, tmp_path)
    with database.writing() as session:
        make_records(session, make_neuron(session, make_subject(session, "toy")))
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield settings, database
    database.dispose()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, which logs whatever any library has to say."""
    command = [sys.executable, "-c", LOGGING_EVERYTHING, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OPENAI_LOG": "debug"})


def echoing(reply: Reply) -> Reply:
    """A reply that gives back what it was asked with, in a header."""
    return replace(reply, headers={**reply.headers, "X-Asked-With": f"Bearer {KEY}"})


def tables_with_key(url: str) -> list[str]:
    """Tables with a row that has the key in it, whatever the column's type. Fails when nothing was looked at."""
    engine = sa.create_engine(Database(url).engine.url)
    tables = sa.MetaData()
    tables.reflect(engine)
    if engine.dialect.name == "postgresql":
        tables.reflect(engine, schema="dbos")
    with engine.connect() as connection:
        rows = {name: connection.execute(table.select()).all() for name, table in tables.tables.items()}
    engine.dispose()
    assert sum(map(len, rows.values())) > 0
    return [name for name, found in rows.items() if any(KEY in text_of(value) for row in found for value in row)]


def text_of(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else repr(value)


def places_with_key(settings: Settings) -> list[str]:
    files = [path for path in settings.data.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    tables = [*tables_with_key(settings.data_database_url), *tables_with_key(settings.jobs_database_url)]
    return [*map(str, files), *tables]


def pages_with_key(settings: Settings, database: Database) -> list[str]:
    """The pages of the first batch, and of its neuron, as an admin sees them."""
    with on_site(settings, database) as browser:
        addresses = ("/batches", "/batches/1", "/batches/1/progress", "/neurons/toy/0/0")
        pages = {address: browser.get(address, follow_redirects=True) for address in addresses}
    assert pages["/batches/1"].status_code == 200
    return [address for address, page in pages.items() if KEY in page.text or KEY in str(page.headers)]


def on_site(settings: Settings, database: Database) -> TestClient:
    with database.writing() as session:
        value = start_session(session, settings, account_id=make_account(session, "ada", ADMIN).id)
    browser = TestClient(create_app(settings), base_url=settings.public_url, headers={"Origin": settings.public_url})
    browser.cookies.set(SESSION_COOKIE, value)
    return browser


REPEATED_IN_ANSWER = completion_reply(f"words about {KEY}.")
REPEATED_IN_REFUSAL = completion_reply(None, refusal=f"I will not explain {KEY}.")
REPEATED_AS_TOKEN = completion_reply("7", logprobs={KEY: -0.5, "7": -1.0})
WRONG_KEY = error_reply(401, "invalid_api_key", f"Incorrect API key provided: {KEY}")
NO_MODEL = error_reply(404, "model_not_found", f"no model for {KEY}")


def found_nowhere(settings: Settings, ended: subprocess.CompletedProcess[str]) -> bool:
    assert "DEBUG" in ended.stderr
    assert KEY not in ended.stdout + ended.stderr
    assert places_with_key(settings) == []
    return True


def test_a_batch_leaves_the_key_nowhere(installation: tuple[Settings, Database]) -> None:
    settings, database = installation
    replies = (REPEATED_IN_ANSWER, REPEATED_IN_REFUSAL, NO_MODEL, WRONG_KEY)
    fake = FakeOpenAI(*(echoing(reply) for reply in replies))
    with fake.serving():
        ended = run(*ORDER, *METHODS, "--base-url", fake.base_url)
    assert "refuses the key in OPENAI_API_KEY: " in ended.stdout
    assert "1 done, 2 failed" in ended.stdout
    assert set(fake.keys) == {f"Bearer {KEY}"}
    assert found_nowhere(settings, ended)
    assert pages_with_key(settings, database) == []


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("order", "replies", "outcome"),
    [
        (("simulation", "--simulator", "one-at-a-time"), [REPEATED_AS_TOKEN], "1 done"),
        (("adacs",), [embedding_reply(1.0, 2.0), NO_MODEL], "1 failed"),
    ],
    ids=["simulation", "embeddings"],
)
def test_scores_leave_the_key_nowhere(
    installation: tuple[Settings, Database], order: tuple[str, ...], replies: list[Reply], outcome: str
) -> None:
    settings, database = installation
    with database.writing() as session:
        neuron = session.scalars(sa.select(Neuron)).one()
        make_explanation(session, neuron, "summary", text="Cats.")
        make_explanation(session, neuron, "reference", "none", text="Felines.")
    fake = FakeOpenAI(*map(echoing, replies))
    with fake.serving():
        choice = ("--subject", "toy", "--scorer", "openai:fake", "--method", "summary", "--base-url", fake.base_url)
        ended = run("score", *choice, "--metric", *order)
    assert outcome in ended.stdout, ended.stdout + ended.stderr
    assert len(fake.chats) >= len(replies)
    assert found_nowhere(settings, ended)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
@pytest.mark.parametrize("address", [f"http://ada:{KEY}@127.0.0.1:9/v1", f"http://127.0.0.1:9/v1?key={KEY}"])
def test_a_key_in_the_address_of_a_server_is_refused_and_not_repeated(
    address: str,
    installation: tuple[Settings, Database],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings, database = installation
    run_here = command_line(monkeypatch, capsys)
    as_option = run_here(*ORDER, *METHODS, "--base-url", address)
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    from_environment = run_here(*ORDER, *METHODS)
    assert as_option.exit_code == from_environment.exit_code == 1
    assert "without user, password or query" in as_option.err
    assert "a user, a password, a query or the key in it" in from_environment.err
    assert KEY not in as_option.out + as_option.err + from_environment.out + from_environment.err
    with on_site(settings, database) as browser:
        fields = {"methods": ["original"], "explainer": "openai:fake", "base_url": address}
        answer = submit(browser, browser.get("/batches/new"), **fields)
    assert answer.status_code == 400
    assert KEY not in answer.text
    assert places_with_key(settings) == []


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_the_search_finds_a_key_that_is_there(installation: tuple[Settings, Database]) -> None:
    settings, database = installation
    with database.writing() as session:
        make_subject(session, KEY)
    assert "subject_model" in places_with_key(settings)
