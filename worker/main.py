"""A worker process: runs the jobs, says that it lives, and takes over from workers that died."""

import fcntl
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from app import jobs
from app.batches.launching import hand_over_waiting, queue_interrupted_again
from app.database import Database, utc_now
from app.settings import Settings
from worker import jobs as worker_jobs
from worker.database_errors import is_passing
from worker.jobs import WorkShard
from worker.recording.shards import RecordingShards

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""For calls under way, when somebody ends a worker."""
LOOK_SECONDS = 0.1


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
    is_at_rest: Callable[[], bool] = lambda: True,
    patience_seconds: Callable[[], float] = lambda: PATIENCE_SECONDS,
    watch_seconds: float = jobs.HEARTBEAT_SECONDS,
) -> None:
    """Runs jobs until `stop` is set, and then until is_at_rest, but no longer than its patience.

    is_at_rest: asked once the worker is to stop, so that nothing further is begun; whether what was begun has ended.
    """
    with worker_name(settings) as name:
        _say_alive(database, name)
        queue_interrupted_again(settings, database)
        worker_jobs.start_engine(settings, database, name, work_shard, RecordingShards(settings, database, stop))
        try:
            while not stop.wait(watch_seconds):
                _watch_if_possible(settings, database, name)
            _wait_until(is_at_rest, patience_seconds(), lambda: _say_alive(database, name), watch_seconds)
        finally:
            worker_jobs.stop_engine(patience_seconds=0)
            with database.writing() as session:
                session.execute(sa.delete(jobs.WorkerHeartbeat).where(jobs.WorkerHeartbeat.name == name))


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and Ctrl-C set `stop`, and a second one ends the process at once; what is under way then is resumed by
    the next worker."""

    def stop_then_end(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_then_end)


def _wait_until(is_reached: Callable[[], bool], seconds: float, say_alive: Callable[[], None], every: float) -> None:
    give_up_at, say_so_at = time.monotonic() + seconds, time.monotonic() + every
    while not is_reached() and (now := time.monotonic()) < give_up_at:
        if now >= say_so_at:
            say_alive()
            say_so_at = now + every
        time.sleep(min(LOOK_SECONDS, give_up_at - now))


def _watch_if_possible(settings: Settings, database: Database, name: str) -> None:
    """A database that is away for a moment ends no worker: its calls under way are paid for."""
    try:
        _watch(settings, database, name)
    except Exception as error:
        if not is_passing(error):
            raise
        log.warning("the database is away or busy; looking again in a moment")


def _watch(settings: Settings, database: Database, name: str) -> None:
    _say_alive(database, name)
    n_adopted = worker_jobs.adopt_jobs_of_dead_workers(database, name)
    if n_adopted:
        log.warning("took over %d unfinished jobs of a worker that died", n_adopted)
    hand_over_waiting(settings, database)


def _say_alive(database: Database, name: str) -> None:
    with database.writing() as session:
        session.merge(jobs.WorkerHeartbeat(name=name, seen_at=utc_now()))
