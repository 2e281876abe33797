"""Brings the study data's tables to a version: up to the newest in `neuronjury init`, up and down in the tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.database import Database
from app.errors import Conflict
from app.jobs import migrate_jobs
from app.paths import shipped
from app.settings import Settings


def alembic_config() -> Config:
    return Config(shipped("migrations") / "alembic.ini")


def upgrade(database: Database, revision: str = "head") -> None:
    """Makes or updates the tables, whole or not at all."""
    _run(database, command.upgrade, revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Takes the tables back to an older version; what only newer ones can hold is lost."""
    _run(database, command.downgrade, revision)


def check_is_current(database: Database) -> None:
    """Errors: Conflict when the tables are missing or of another version than this code."""
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    stored = _stored_revision(database)
    if stored != newest:
        raise Conflict(
            f"the database has version {stored or 'none'} and this code needs {newest}; run `neuronjury init`"
        )


def _stored_revision(database: Database) -> str | None:
    url = database.engine.url
    # To connect would make an empty file, and fail without the folder.
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return None
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def prepare_databases(settings: Settings) -> None:
    """Makes or updates everything an installation needs: the secret, the study data, the engine's tables."""
    settings.make_secret()
    database = Database(settings.data_database_url)
    upgrade(database)
    database.dispose()
    migrate_jobs(settings.jobs_database_url)


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The study data, known to be of this code's version. Errors: Conflict when `neuronjury init` has to run first."""
    database = Database(settings.data_database_url)
    try:
        check_is_current(database)
        yield database
    finally:
        database.dispose()


def _run(database: Database, action: Callable[[Config, str], None], revision: str) -> None:
    config = alembic_config()
    with database.engine.connect().execution_options(writes=True) as connection, _tables_may_be_copied(connection):
        config.attributes["connection"] = connection
        before = MigrationContext.configure(connection).get_current_revision()
        action(config, revision)
        if MigrationContext.configure(connection).get_current_revision() != before:
            _check_references(connection)
        connection.commit()


def _check_references(connection: sa.Connection) -> None:
    """Errors: Conflict when a migration of SQLite, which runs without foreign keys, left rows that refer to none."""
    if connection.dialect.name != "sqlite":
        return
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if lost is not None:
        raise Conflict(
            f"the database was left as it was: rows of {lost[0]} would refer to rows of {lost[2]} that are gone"
        )


@contextmanager
def _tables_may_be_copied(connection: sa.Connection) -> Iterator[None]:
    """On SQLite some changes copy a table and drop the old one, which foreign keys to it would forbid or follow."""
    driver = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" or driver is None:
        yield
        return
    # Neither can be changed within a transaction, and this connection goes back to the pool.
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        # Within the transaction of a migration that failed this would do nothing.
        connection.rollback()
        driver.execute("PRAGMA foreign_keys = ON")
