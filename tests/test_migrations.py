"""Migrations lead to exactly the tables of the models, and back, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.database import Database
from app.errors import Conflict
from app.migrating import check_is_current, downgrade, upgrade
from app.tables import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def bare_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'bare.sqlite'}")
        yield database
    else:
        database = Database(request.getfixturevalue("new_postgres")())
        yield database
    database.dispose()


def tables(database: Database) -> set[str]:
    return set(sa.inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_up_down_up_leads_to_the_tables_of_the_models(bare_database: Database) -> None:
    upgrade(bare_database)
    assert tables(bare_database) == set(metadata.tables)
    downgrade(bare_database)
    assert tables(bare_database) == set()
    upgrade(bare_database)
    with bare_database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_an_outdated_database_is_named_with_the_command_that_mends_it(bare_database: Database) -> None:
    with pytest.raises(Conflict, match="neuronjury init"):
        check_is_current(bare_database)
    upgrade(bare_database)
    check_is_current(bare_database)
