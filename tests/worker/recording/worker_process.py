"""`neuronjury worker` as a process of its own, on an installation whose databases are files or a PostgreSQL server."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.database import Database
from app.jobs import migrate_jobs
from app.migrating import upgrade
from app.settings import Settings

PATIENCE_SECONDS = 60


class Worker:
    """A running worker. Everything it needs is in its environment."""

    def __init__(self, settings: Settings):
        self.process = subprocess.Popen([sys.executable, "-m", "app", "worker"], env=environment_of(settings))

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=PATIENCE_SECONDS)


def environment_of(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "NEURONJURY_DATA": str(settings.data),
        "NEURONJURY_DATABASE_URL": settings.data_database_url,
        "NEURONJURY_JOBS_URL": settings.jobs_database_url,
        "NEURONJURY_THREADS": "1",
        "OPENAI_API_KEY": "key-of-the-test",
    }


def new_installation(request: pytest.FixtureRequest, folder: Path) -> tuple[Settings, Database]:
    """Both databases of an installation, on what the fixture's parameter names: `sqlite` or `postgresql`."""
    settings = Settings(data=folder / "data", threads=1)
    if request.param == "postgresql":
        new_postgres = request.getfixturevalue("new_postgres")
        settings = Settings(data=folder / "data", threads=1, database_url=new_postgres(), jobs_url=new_postgres())
    settings.make_secret()
    database = Database(settings.data_database_url)
    upgrade(database)
    migrate_jobs(settings.jobs_database_url)
    return settings, database


@contextmanager
def starting_workers(settings: Settings) -> Iterator[Callable[[], Worker]]:
    """Starts workers; those that still run at the end are killed."""
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(settings))
        return workers[-1]

    try:
        yield start
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.end(signal.SIGKILL)


def wait_until(is_reached: Callable[[], bool], workers: list[Worker]) -> None:
    """Waits by listening for the end of a worker, which none of these may come to."""
    for _ in range(PATIENCE_SECONDS * 20):
        if is_reached():
            return
        try:
            workers[0].process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the worker ended with {workers[0].process.returncode}")
    raise AssertionError(f"not reached within {PATIENCE_SECONDS} s")
