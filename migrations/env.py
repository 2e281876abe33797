"""How alembic reaches the study data: the connection that app/migrating.py hands over, or the settings' database."""

from alembic import context
from sqlalchemy import Connection

from app.database import Database
from app.settings import Settings
from app.tables import metadata


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite cannot alter most columns in place; batch mode copies the table.
        render_as_batch=connection.dialect.name == "sqlite",
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run() -> None:
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    database = Database(Settings().data_database_url)
    with database.engine.connect().execution_options(writes=True) as connection:
        migrate(connection)
        connection.commit()
    database.dispose()


run()
