"""A batch through the real engine and real worker processes: to its end, through kill -9, stopped in every way."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.batches.launching import BatchOrder, launch_batch, pause, resume, retry_failed, withdraw_batch
from app.batches.models import RUNNING
from app.batches.planning import SHARD_SIZE
from app.batches.progress import BatchProgress, batch_progress
from app.database import Database, utc_now
from app.explanations.explainers import ExplainerSettings
from app.explanations.models import DONE, QUEUED, Explanation
from app.jobs import live_workers
from app.settings import Settings
from tests.factories import make_neuron, make_records_of_its_own, make_subject
from tests.fake_openai_server import FakeOpenAI, Reply, completion_reply
from tests.worker.recording.worker_process import PATIENCE_SECONDS, Worker, new_installation, starting_workers

pytestmark = pytest.mark.long

N_NEURONS = 25
METHODS = ["original", "summary", "highlight", "hs"]
N_EXPLANATIONS = N_NEURONS * len(METHODS)
N_IN_FLIGHT = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    """Both databases of an installation, on SQLite files and then on a real PostgreSQL, with 25 neurons to explain."""
    settings, database = new_installation(request, tmp_path)
    with database.writing() as session:
        subject = make_subject(session, "toy", n_layers=1, n_neurons_per_layer=N_NEURONS)
        for index in range(N_NEURONS):
            make_records_of_its_own(session, make_neuron(session, subject, index=index))
    yield settings, database
    database.dispose()


@pytest.fixture
def slow_server() -> Iterator[FakeOpenAI]:
    body = completion_reply("words about cats.").body
    with FakeOpenAI(Reply(body=body, seconds=0.05)).serving() as server:
        yield server


@pytest.fixture
def start_worker(installation: tuple[Settings, Database]) -> Iterator[Callable[[], Worker]]:
    with starting_workers(installation[0]) as start:
        yield start


def order(server: FakeOpenAI, database: Database) -> BatchOrder:
    with database.reading() as session:
        neuron_ids = list(session.scalars(sa.text("SELECT id FROM neuron")))
    chosen = ExplainerSettings(base_url=server.base_url, n_in_flight=N_IN_FLIGHT)
    return BatchOrder("toy", neuron_ids, METHODS, "openai:fake", chosen)


def progress_when(
    database: Database, batch_id: int, worker: Worker, is_reached: Callable[[BatchProgress], bool]
) -> BatchProgress:
    """The batch's progress as soon as it is so far; waits by listening for the worker's end."""
    for _ in range(PATIENCE_SECONDS * 20):
        with database.reading() as session:
            progress = batch_progress(session, batch_id)
        if is_reached(progress):
            return progress
        try:
            worker.process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the worker ended with {worker.process.returncode}: {progress}")
    raise AssertionError(f"not reached within {PATIENCE_SECONDS} s: {progress}")


def stored_texts(database: Database) -> list[str]:
    with database.reading() as session:
        return [text or "" for text in session.scalars(sa.select(Explanation.text).where(Explanation.status == DONE))]


def is_over(progress: BatchProgress) -> bool:
    return progress.status not in (QUEUED, RUNNING)


def test_a_killed_worker_loses_nothing_and_repeats_less_than_a_shard(
    installation: tuple[Settings, Database], slow_server: FakeOpenAI, start_worker: Callable[[], Worker]
) -> None:
    settings, database = installation
    batch_id = launch_batch(settings, database, order(slow_server, database))
    assert batch_id is not None
    worker = start_worker()
    progress_when(database, batch_id, worker, lambda progress: progress.n_done >= SHARD_SIZE + 10)
    worker.end(signal.SIGKILL)
    worker = start_worker()
    ended = progress_when(database, batch_id, worker, is_over)
    assert (ended.status, ended.n_done, ended.n_failed) == (DONE, N_EXPLANATIONS, 0)
    assert len(stored_texts(database)) == N_EXPLANATIONS
    n_repeated = len(slow_server.chats) - N_EXPLANATIONS
    assert 0 <= n_repeated <= N_IN_FLIGHT


def test_a_cancelled_batch_stops_and_keeps_what_was_done(
    installation: tuple[Settings, Database], slow_server: FakeOpenAI, start_worker: Callable[[], Worker]
) -> None:
    settings, database = installation
    batch_id = launch_batch(settings, database, order(slow_server, database))
    assert batch_id is not None
    worker = start_worker()
    progress_when(database, batch_id, worker, lambda progress: progress.n_done >= 5)
    withdraw_batch(settings, database, batch_id)
    # Three seconds is what a cancelling may take; the worker goes on, so that it could ask further.
    with pytest.raises(subprocess.TimeoutExpired):
        worker.process.wait(timeout=3)
    n_asked = len(slow_server.chats)
    worker.end(signal.SIGTERM)
    assert worker.process.returncode == 0
    assert len(slow_server.chats) == n_asked
    with database.reading() as session:
        cancelled = batch_progress(session, batch_id)
    assert cancelled.status == "cancelled"
    assert 5 <= cancelled.n_done < N_EXPLANATIONS
    assert len(slow_server.chats) <= cancelled.n_done + N_IN_FLIGHT

    rest = launch_batch(settings, database, order(slow_server, database))
    assert rest is not None
    ended = progress_when(database, rest, start_worker(), is_over)
    assert (ended.status, ended.n_reused) == (DONE, cancelled.n_done)
    assert len(stored_texts(database)) == N_EXPLANATIONS


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_a_batch_is_paused_by_one_worker_and_gone_on_with_by_two(
    installation: tuple[Settings, Database], slow_server: FakeOpenAI, start_worker: Callable[[], Worker]
) -> None:
    settings, database = installation
    batch_id = launch_batch(settings, database, order(slow_server, database))
    assert batch_id is not None
    worker = start_worker()
    progress_when(database, batch_id, worker, lambda progress: progress.n_done >= 5)
    pause(database, batch_id)
    # Whatever was asked comes to be stored, and until another worker has started nothing further is asked.
    paused = progress_when(database, batch_id, worker, lambda progress: progress.n_done == len(slow_server.chats))
    start_worker()
    progress_when(database, batch_id, worker, lambda _: n_live_workers(database) == 2)
    assert (paused.status, paused.n_done) == ("paused", len(slow_server.chats))
    assert paused.n_done < N_EXPLANATIONS
    resume(settings, database, batch_id)
    ended = progress_when(database, batch_id, worker, is_over)
    assert (ended.status, ended.n_done) == (DONE, N_EXPLANATIONS)
    assert len(slow_server.chats) == N_EXPLANATIONS


def n_live_workers(database: Database) -> int:
    with database.reading() as session:
        return len(live_workers(session, utc_now()))


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_failures_are_retried_by_a_worker(
    installation: tuple[Settings, Database], start_worker: Callable[[], Worker]
) -> None:
    settings, database = installation
    answers = [completion_reply("I cannot say.")] * N_EXPLANATIONS + [completion_reply("words about cats.")]
    with FakeOpenAI(*answers).serving() as server:
        batch_id = launch_batch(settings, database, order(server, database))
        assert batch_id is not None
        worker = start_worker()
        ended = progress_when(database, batch_id, worker, is_over)
        assert (ended.status, ended.n_failed, ended.failures) == (DONE, N_EXPLANATIONS, {"refusal": N_EXPLANATIONS})
        assert retry_failed(settings, database, batch_id, ["refusal"]) == N_EXPLANATIONS
        again = progress_when(database, batch_id, worker, is_over)
    assert (again.status, again.n_done, again.n_failed) == (DONE, N_EXPLANATIONS, 0)
    assert len(server.chats) == 2 * N_EXPLANATIONS


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_a_batch_that_was_stored_but_never_handed_over_is_found_by_a_worker(
    installation: tuple[Settings, Database], slow_server: FakeOpenAI, start_worker: Callable[[], Worker]
) -> None:
    settings, database = installation
    unreachable = Settings(data=settings.data, jobs_url="postgresql://127.0.0.1:1/none")
    with pytest.raises(sa.exc.OperationalError):
        launch_batch(unreachable, database, order(slow_server, database))
    worker = start_worker()
    ended = progress_when(database, 1, worker, is_over)
    assert (ended.status, ended.n_done) == (DONE, N_EXPLANATIONS)
    with database.reading() as session:
        assert len(live_workers(session, utc_now())) == 1
    worker.end(signal.SIGTERM)
    with database.reading() as session:
        assert live_workers(session, utc_now()) == []
