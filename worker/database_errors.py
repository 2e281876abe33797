"""Which errors of the database may be gone in a moment, so that work waits and goes on. Knows no work."""

import sqlalchemy as sa

from app.errors import DatabaseBusy
from worker.recording import disk


def is_passing(error: BaseException) -> bool:
    """Whether an error of the database may be gone in a moment: it is away or busy, rather than full."""
    if isinstance(error, sa.exc.OperationalError):
        return not disk.is_full(error)
    return isinstance(error, DatabaseBusy) or (isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated)
