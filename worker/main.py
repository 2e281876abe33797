"""A worker process: runs the jobs, says that it lives, and takes over from workers that died."""

import fcntl
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from app import jobs
from app.batches.launching import hand_over_waiting
from app.database import Database, utc_now
from app.settings import Settings
from worker import jobs as worker_jobs
from worker.jobs import WorkShard
from worker.recording.shards import RecordingShards

log = logging.getLogger(__name__)


@contextmanager
def worker_name(settings: Settings) -> Iterator[str]:
    """The first name HOST-1, HOST-2 ... that no living process of this data folder holds.

    The lock dies with its process, also on kill -9, so a restarted worker gets its old name and with it its old jobs.
    """
    folder = settings.data / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        name = f"{socket.gethostname()}-{number}"
        with open(folder / name, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return


def work(
    settings: Settings,
    database: Database,
    work_shard: WorkShard,
    *,
    stop: threading.Event,
    watch_seconds: float = jobs.HEARTBEAT_SECONDS,
) -> None:
    """Runs jobs until `stop` is set."""
    with worker_name(settings) as name:
        _say_alive(database, name)
        worker_jobs.start_engine(settings, database, name, work_shard, RecordingShards(settings, database, stop))
        try:
            while not stop.wait(watch_seconds):
                _watch(settings, database, name)
        finally:
            worker_jobs.stop_engine(patience_seconds=0)
            with database.writing() as session:
                session.execute(sa.delete(jobs.WorkerHeartbeat).where(jobs.WorkerHeartbeat.name == name))


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and Ctrl-C set `stop`; what is under way is resumed by the next worker."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())


def _watch(settings: Settings, database: Database, name: str) -> None:
    _say_alive(database, name)
    n_adopted = worker_jobs.adopt_jobs_of_dead_workers(database, name)
    if n_adopted:
        log.warning("took over %d unfinished jobs of a worker that died", n_adopted)
    hand_over_waiting(settings, database)


def _say_alive(database: Database, name: str) -> None:
    with database.writing() as session:
        session.merge(jobs.WorkerHeartbeat(name=name, seen_at=utc_now()))
