"""Migrations lead to exactly the tables of the models, and back, on both databases."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.database import Database
from app.errors import Conflict
from app.migrating import check_is_current, downgrade, upgrade
from app.studies.models import Assignment, Rater, Study
from app.studies.protocol import Protocol
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


def test_a_migration_that_fails_changes_nothing_and_leaves_foreign_keys_on(bare_database: Database) -> None:
    upgrade(bare_database, "0001")
    with bare_database.engine.connect().execution_options(writes=True) as connection:
        # What a later migration wants to make itself.
        connection.exec_driver_sql("CREATE TABLE recording_part (id INTEGER)")
        connection.commit()
    before = tables(bare_database)

    with pytest.raises(sa.exc.DBAPIError):
        upgrade(bare_database)

    assert tables(bare_database) == before
    if bare_database.engine.dialect.name == "sqlite":
        with bare_database.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_migration_that_would_lose_what_rows_refer_to_changes_nothing(tmp_path: Path) -> None:
    # Only SQLite migrates without foreign keys.
    database = Database(f"sqlite:///{tmp_path / 'bare.sqlite'}")
    upgrade(database, "0001")
    with sqlite3.connect(tmp_path / "bare.sqlite") as connection:
        connection.execute(EARLIER_ROWS[3])
    connection.close()

    with pytest.raises(Conflict, match="rows of neuron would refer to rows of subject_model that are gone"):
        upgrade(database)

    with database.engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0001"
    database.dispose()


EARLIER_ROWS = (
    "INSERT INTO subject_model (id, name, revision, architecture, n_layers, n_neurons_per_layer, dtype, tokenizer_hash,"
    " created_at) VALUES (1, 'toy', '1', 'llama', 1, 1, 'float32', '0', '2026-01-01 00:00:00')",
    "INSERT INTO study (id, slug, title, subject_id, instructions, neuron_set, status, order_key, created_at)"
    " VALUES (1, 'demo', 'Demo', 1, 'Judge.', '{\"seed\": 0}', 'open', {key}, '2026-01-01 00:00:00')",
    "INSERT INTO rater (id, study_id, number, invitation_hash, invited_at, expires_at)"
    " VALUES (1, 1, 1, 'x', '2026-01-02 00:00:00', '2027-01-01 00:00:00')",
    'INSERT INTO neuron (id, subject_id, site, layer, "index", maximum, mean, variance, share_active, q90)'
    " VALUES (1, 1, 'mlp', 0, 0, 1.0, 0.0, 1.0, 0.5, 0.9)",
    "INSERT INTO assignment (id, rater_id, neuron_id, position, token, submitted_at, revisions)"
    " VALUES (1, 1, 1, 0, 'token', '2026-01-03 00:00:00', 2)",
)


def test_a_study_of_the_first_version_goes_on_as_it_was(bare_database: Database) -> None:
    upgrade(bare_database, "0001")
    is_sqlite = bare_database.engine.dialect.name == "sqlite"
    with bare_database.engine.connect().execution_options(writes=True) as connection:
        for statement in EARLIER_ROWS:
            connection.exec_driver_sql(statement.replace("{key}", "x'00'" if is_sqlite else "'\\x00'"))
        connection.commit()
    upgrade(bare_database)
    with bare_database.reading() as session:
        study = session.scalars(sa.select(Study)).one()
        rater = session.scalars(sa.select(Rater)).one()
        assignment = session.scalars(sa.select(Assignment)).one()
    protocol = Protocol.model_validate(study.protocol)
    assert (protocol.sharing, protocol.n_puzzles, protocol.check_percent) == ("crossed", 0, 0)
    assert rater.passed_practice_at == rater.instructed_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert (assignment.version, assignment.evidence["random"]) == (3, list(range(10)))
