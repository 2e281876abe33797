"""Whether there is room: on the disk of a SQLite database before a recording, and when a database says it is full."""

import shutil
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from app.database import Database
from app.errors import InvalidInput, Unavailable

SIGNS_OF_A_FULL_DISK = ("database or disk is full", "no space left on device", "could not extend file", "disk full")
"""As SQLite and PostgreSQL say it."""
LARGEST_VALUE = 1_000_000_000
"""Bytes that a database takes as one value: SQLite exactly so many, PostgreSQL 1 GB in powers of two."""
UNITS = ("bytes", "kB", "MB", "GB", "TB")

FreeBytes = Callable[[Path], int]
"""Folder -> bytes that can still be written there."""


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def folder_of(database: Database) -> Path | None:
    """Where a SQLite database lies; None for a database server, whose disk cannot be seen from here."""
    url = database.engine.url
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database).resolve().parent


def check_room(database: Database, n_bytes: int, free: FreeBytes) -> None:
    """Errors: Unavailable when a SQLite database's disk has less than n_bytes left."""
    folder = folder_of(database)
    if folder is not None and free(folder) < n_bytes:
        raise Unavailable(
            f"the disk of {folder} has {in_words(free(folder))} left, and this recording needs {in_words(n_bytes)}; "
            "expected more room, fewer --top records or --no-statistics"
        )


def check_part(n_bytes: int) -> None:
    """n_bytes: of the largest part of one layer. Errors: InvalidInput when a database cannot hold it."""
    if n_bytes > LARGEST_VALUE:
        raise InvalidInput(
            f"what is kept of one layer before the end is {in_words(n_bytes)} at a time, more than the "
            f"{in_words(LARGEST_VALUE)} that a database takes as one value; expected fewer --top"
        )


def is_full(error: sa.exc.DBAPIError) -> bool:
    """Whether a database's error means that its disk is full."""
    return any(sign in str(error.orig).lower() for sign in SIGNS_OF_A_FULL_DISK)


def full_reason(error: sa.exc.DBAPIError) -> str:
    """`the disk is full: ` and what the database says, in one line."""
    return f"the disk is full: {str(error.orig).strip().splitlines()[0]}"


def in_words(n_bytes: int) -> str:
    """`1.5 GB`: two digits below ten, whole numbers above, in powers of 1000."""
    size, unit = float(n_bytes), 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    shown = f"{size:.1f}" if unit and size < 9.95 else f"{size:.0f}"
    return f"{shown} {UNITS[unit]}"
