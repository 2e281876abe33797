"""Jobs of a recording through the real engine, with a database that is away for some tries, or for all of them."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import jobs
from app.database import Database, utc_now
from app.settings import Settings
from tests.worker.recording.worker_process import new_installation
from worker import jobs as worker_jobs


class Shards:
    """Recording shards whose database is away for the first n_failures calls."""

    def __init__(self, n_failures: int):
        self.n_failures = n_failures
        self.calls: list[tuple[Any, ...]] = []
        self.ended = threading.Event()

    def record_chunk(self, recording_id: int, begun_at: str, chunk_index: int) -> bool:
        self._note("record", recording_id, begun_at, chunk_index)
        return True

    def is_recorded(self, recording_id: int, begun_at: str) -> bool:
        return True

    def finish(self, recording_id: int, begun_at: str) -> None:
        self._note("finish", recording_id, begun_at)
        self.ended.set()

    def fail(self, recording_id: int, begun_at: str, reason: str) -> None:
        self.calls.append(("fail", recording_id, begun_at, reason))
        self.ended.set()

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if len(self.calls) <= self.n_failures:
            raise sa.exc.OperationalError("SELECT 1", None, Exception("server closed the connection"))


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    settings, database = new_installation(request, tmp_path)
    yield settings, database
    database.dispose()


async def explain_nothing(batch_id: int, shard: int, submission: int) -> None:
    pass


@pytest.mark.parametrize(
    ("n_failures", "last_call"), [(3, ("finish",)), (1000, ("fail", worker_jobs.GIVEN_UP))], ids=["some", "all"]
)
def test_a_recording_goes_on_when_the_database_comes_back_and_fails_when_it_does_not(
    n_failures: int,
    last_call: tuple[str, ...],
    installation: tuple[Settings, Database],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(worker_jobs.TRYING_AGAIN, "interval_seconds", 0.01)
    # An engine that another test started in this process wrote to that test's output, which is closed by now.
    monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [])
    settings, database = installation
    shards: Any = Shards(n_failures)
    begun = utc_now()
    jobs.submit_recording(settings.jobs_database_url, 1, begun, [(0, 2)], utc_now())
    worker_jobs.start_engine(settings, database, "worker-1", explain_nothing, shards)
    try:
        assert shards.ended.wait(timeout=60)
    finally:
        worker_jobs.stop_engine(patience_seconds=5)

    n_tries = n_failures + 1 if n_failures < 5 else 5
    identity = (1, begun.isoformat())
    assert shards.calls[:n_tries] == [("record", *identity, 0)] * n_tries
    kind, *reason = last_call
    assert shards.calls[-1] == (kind, *identity, *reason)
