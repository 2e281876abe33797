"""The jobs of batches in a real engine of this process: their queues, their ids, what they do about errors."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import EnqueueOptions

from app import jobs
from app.batches import life
from app.batches.launching import hand_over, hand_over_waiting, queue_interrupted_again, resume, retry_failed
from app.batches.models import Batch
from app.database import Database
from app.errors import DatabaseBusy
from app.explanations.models import DONE, FAILED, Explanation
from app.jobs import migrate_jobs
from app.settings import Settings
from tests.batches.test_planning import make_neurons, plan
from tests.worker.batches.makers import batch_status
from worker import jobs as worker_jobs
from worker.jobs import WorkShard

PATIENCE_SECONDS = 60
Call = tuple[int, int, int]
"""(batch id, shard, submission)"""


@pytest.fixture
def installation(empty_sqlite_file: Path, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    """On SQLite alone: what is tested is what this program asks of the engine."""
    settings = Settings(data=tmp_path / "data", database_url=f"sqlite:///{tmp_path / 'study.sqlite'}")
    (tmp_path / "study.sqlite").write_bytes(empty_sqlite_file.read_bytes())
    (tmp_path / "data").mkdir()
    migrate_jobs(settings.jobs_database_url)
    database = Database(settings.data_database_url)
    yield settings, database
    database.dispose()


class Shards:
    """Stands for work_shard: keeps its calls, does what the test says, then stores the shard's rows as done."""

    def __init__(self, database: Database, act: Callable[[Call], Any] = lambda _: None):
        self._database = database
        self._act = act
        self.calls: list[Call] = []
        self.n_running = 0
        self.most_running = 0

    async def __call__(self, batch_id: int, shard: int, submission: int) -> None:
        self.calls.append((batch_id, shard, submission))
        self.n_running += 1
        self.most_running = max(self.most_running, self.n_running)
        try:
            acted = self._act((batch_id, shard, submission))
            if asyncio.iscoroutine(acted):
                await acted
        finally:
            self.n_running -= 1
        await asyncio.to_thread(self._finish, batch_id, shard)

    def _finish(self, batch_id: int, shard: int) -> None:
        of_shard = (Explanation.batch_id == batch_id, Explanation.shard == shard)
        with self._database.writing() as session:
            session.execute(sa.update(Explanation).where(*of_shard).values(status=DONE, text="Cats."))
            life.finish_batch_if_complete(session, batch_id)


@pytest.fixture
def run_engine(
    installation: tuple[Settings, Database], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[WorkShard], None]]:
    """Starts the engine with some way to work on shards; stops it at the end of the test."""
    monkeypatch.setitem(worker_jobs.TRYING_AGAIN, "interval_seconds", 0.01)
    # An engine that another test started in this process wrote to that test's output, which is closed by now.
    monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [])
    recordings: Any = None

    def start(work_shard: WorkShard, name: str = "worker-1") -> None:
        worker_jobs.start_engine(*installation, name, work_shard, recordings)

    yield start
    worker_jobs.stop_engine(patience_seconds=0)


def planned(database: Database, n: int, explainer: str = "openai:gpt-x") -> Batch:
    with database.writing() as session:
        return plan(session, make_neurons(session, n), explainer=explainer)


def wait_until(is_reached: Callable[[], bool]) -> None:
    waiting = Event()
    for _ in range(PATIENCE_SECONDS * 50):
        if is_reached():
            return
        waiting.wait(0.02)
    raise AssertionError(f"not reached within {PATIENCE_SECONDS} s")


def is_over(database: Database, batch_id: int) -> bool:
    return batch_status(database, batch_id)[0] not in life.UNDER_WAY


def job_queues(settings: Settings) -> dict[str, str | None]:
    with jobs.job_client(settings.jobs_database_url) as client:
        return {job.workflow_id: job.queue_name for job in client.list_workflows()}


def test_shards_that_ask_a_server_run_four_at_once(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None]
) -> None:
    settings, database = installation
    batch = planned(database, 200)
    four = asyncio.Barrier(4)
    shards = Shards(database, lambda _: four.wait())
    hand_over(settings, batch)
    run_engine(shards)
    wait_until(lambda: is_over(database, batch.id))
    assert shards.most_running == 4
    assert sorted(shards.calls) == [(batch.id, shard, 0) for shard in range(8)]
    names = ["batch-1", *(f"batch-1-shard-{shard}" for shard in range(8))]
    assert job_queues(settings) == dict.fromkeys(names, jobs.SERVER_QUEUE)


def test_shards_that_compute_here_run_one_after_another(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None]
) -> None:
    settings, database = installation
    batch = planned(database, 75, "local:toy")
    shards = Shards(database, lambda _: asyncio.sleep(0.05))
    hand_over(settings, batch)
    run_engine(shards)
    wait_until(lambda: is_over(database, batch.id))
    assert (shards.most_running, len(shards.calls)) == (1, 3)
    assert set(job_queues(settings).values()) == {jobs.QUEUE}


def test_jobs_of_an_older_version_are_still_read(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None]
) -> None:
    settings, database = installation
    batch = planned(database, 30)
    with database.writing() as session:
        life.start_batch(session, batch.id)

    def as_before(workflow: str, job_id: str) -> EnqueueOptions:
        return {
            "queue_name": "neuronjury-explanations",
            "workflow_name": workflow,
            "workflow_id": job_id,
            "app_version": "1",
        }

    with jobs.job_client(settings.jobs_database_url) as client:
        client.enqueue(as_before("explain_shard", "batch-1-shard-1"), batch.id, 1)
        client.enqueue(as_before("plan_explanation_batch", "batch-1"), batch.id)
    shards = Shards(database)
    run_engine(shards)
    wait_until(lambda: is_over(database, batch.id))
    assert sorted(shards.calls) == [(1, 0, 0), (1, 1, 0)]


def test_a_batch_that_goes_on_is_worked_on_where_it_lacks_something(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None]
) -> None:
    settings, database = installation
    batch = planned(database, 60)
    with database.writing() as session:
        life.start_batch(session, batch.id)
        failed = {"status": FAILED, "failure": "refusal"}
        session.execute(sa.update(Explanation).where(Explanation.shard == 1).values(**failed))
        session.execute(sa.update(Explanation).where(Explanation.shard != 1).values(status=DONE, text="Cats."))
        life.finish_batch_if_complete(session, batch.id)
    shards = Shards(database)
    run_engine(shards)
    assert retry_failed(settings, database, batch.id) == 25
    # Handed over by every worker that finds it waiting, it is one job all the same.
    hand_over_waiting(settings, database)
    wait_until(lambda: is_over(database, batch.id))
    assert shards.calls == [(batch.id, 1, 1)]
    assert set(job_queues(settings)) == {"batch-1-again-1", "batch-1-again-1-shard-1"}


@pytest.mark.parametrize(("n_failures", "status"), [(3, "done"), (1000, "failed")])
def test_a_database_that_is_busy_for_a_while_holds_up_a_shard_and_for_too_long_fails_the_batch(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None], n_failures: int, status: str
) -> None:
    settings, database = installation
    batch = planned(database, 1)

    def be_busy(_: Call) -> None:
        if len(shards.calls) <= n_failures:
            raise DatabaseBusy("the database is busy; please try again")

    shards = Shards(database, be_busy)
    hand_over(settings, batch)
    run_engine(shards)
    wait_until(lambda: is_over(database, batch.id))
    reason = worker_jobs.BATCH_GIVEN_UP if status == "failed" else None
    assert batch_status(database, batch.id) == (status, reason)
    assert len(shards.calls) == min(n_failures + 1, 5)


def test_a_fault_of_ours_fails_the_batch_which_can_be_resumed(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None]
) -> None:
    settings, database = installation
    batch = planned(database, 1)

    def go_wrong_once(_: Call) -> None:
        if len(shards.calls) == 1:
            raise ZeroDivisionError("with a secret in it")

    shards = Shards(database, go_wrong_once)
    hand_over(settings, batch)
    run_engine(shards)
    wait_until(lambda: is_over(database, batch.id))
    reason = "a fault of this program: ZeroDivisionError; resume the batch to try again"
    assert batch_status(database, batch.id) == ("failed", reason)
    resume(settings, database, batch.id)
    wait_until(lambda: is_over(database, batch.id))
    assert batch_status(database, batch.id) == ("done", None)


def test_a_running_batch_without_a_job_is_queued_again_and_one_with_a_job_is_not(
    installation: tuple[Settings, Database], run_engine: Callable[[WorkShard], None]
) -> None:
    settings, database = installation
    with database.writing() as session:
        batch, interrupted = (plan(session, [neuron], explainer="openai:gpt-x") for neuron in make_neurons(session, 2))
    hand_over(settings, batch)
    with database.writing() as session:
        for each in (batch, interrupted):
            life.start_batch(session, each.id)
    queue_interrupted_again(settings, database)
    assert [batch_status(database, each.id)[0] for each in (batch, interrupted)] == ["running", "queued"]
    hand_over_waiting(settings, database)
    run_engine(Shards(database))
    wait_until(lambda: is_over(database, batch.id) and is_over(database, interrupted.id))


def test_jobs_of_a_dead_worker_go_back_into_their_own_queue(
    installation: tuple[Settings, Database], run_engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, database = installation
    batch = planned(database, 1)
    hand_over(settings, batch)
    dying = Shards(database, lambda _: asyncio.Event().wait())
    run_engine(dying)
    wait_until(lambda: dying.n_running == 1)
    worker_jobs.stop_engine(patience_seconds=0)
    monkeypatch.setattr(logging.getLogger("dbos"), "handlers", [])
    shards = Shards(database)
    run_engine(shards, "worker-2")
    assert worker_jobs.adopt_jobs_of_dead_workers(database, "worker-2") == 1
    wait_until(lambda: is_over(database, batch.id))
    assert shards.calls == [(batch.id, 0, 0)]
    assert job_queues(settings)["batch-1-shard-0"] == jobs.SERVER_QUEUE
