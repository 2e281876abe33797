"""A recording left to the workers: shards by several of them, through kill -9, cancelled, failed, on both databases."""

import dataclasses
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from dbos import DBOSClient

from app.database import Database
from app.errors import Conflict, DatabaseBusy, UnknownName
from app.jobs import job_client
from app.neurons.models import Recording
from app.settings import Settings
from tests.worker.conftest import N_LAYERS, MakeModel
from tests.worker.recording.recordings import n_rows, no_progress, parts_by_chunk, small_order, stored_rows, write_text
from tests.worker.recording.worker_process import Worker, new_installation, starting_workers, wait_until
from worker.recording.detaching import DetachedRecording, detach_recording, shards_of
from worker.recording.ending import cancel_recording
from worker.recording.here import record_subject
from worker.recording.order import RecordingOrder
from worker.recording.shards import RecordingShards

pytestmark = pytest.mark.long


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Settings, Database]]:
    settings, database = new_installation(request, tmp_path)
    yield settings, database
    database.dispose()


@pytest.fixture
def start_worker(installation: tuple[Settings, Database]) -> Iterator[Callable[[], Worker]]:
    with starting_workers(installation[0]) as start:
        yield start


@pytest.fixture
def order(tmp_path: Path, tiny_model: MakeModel) -> RecordingOrder:
    """400 excerpts in 25 chunks, one excerpt after the other: some seconds of work."""
    text = write_text(tmp_path / "words.txt", n_sentences=2000)
    return small_order(tiny_model(), text, n_excerpts=400, batch_size=1, chunk_length=16)


def left_to_workers(installation: tuple[Settings, Database], order: RecordingOrder, n_shards: int) -> DetachedRecording:
    return detach_recording(*installation, order, no_progress, n_shards=n_shards)


def status(database: Database) -> str:
    with database.reading() as session:
        return session.scalars(sa.select(Recording.status)).one()


def n_chunks_recorded(database: Database) -> int:
    return sum(n_layers == N_LAYERS for n_layers in parts_by_chunk(database).values())


def check_same_as_here(installation: tuple[Settings, Database], order: RecordingOrder) -> None:
    """Recorded in this process, under another name, it is the same."""
    settings, database = installation
    rows = stored_rows(database)
    record_subject(settings, database, dataclasses.replace(order, name="here"), no_progress)
    assert len(rows) > 1000
    assert rows == stored_rows(database, "here")


def test_two_workers_record_shards_to_the_same_rows(
    installation: tuple[Settings, Database], order: RecordingOrder, start_worker: Callable[[], Worker]
) -> None:
    detached = left_to_workers(installation, order, n_shards=4)
    assert detached == DetachedRecording("tiny", 400, 400, 4, was_done=False, was_under_way=False)
    # The same order again adds no job.
    assert left_to_workers(installation, order, n_shards=2).was_under_way

    workers = [start_worker(), start_worker()]
    wait_until(lambda: status(installation[1]) == "done", workers)

    assert n_rows(installation[1])["recording_part"] == 0
    with job_client(installation[0].jobs_database_url) as client:
        jobs = {job.workflow_id: job for job in client.list_workflows()}
    # No chunk and no end twice, and no worker without work.
    assert sorted(name.partition("-shard-")[2] for name in jobs if "-shard-" in name) == ["0-6", "12-6", "18-7", "6-6"]
    assert len(jobs) == 5
    assert {job.status for job in jobs.values()} <= {"SUCCESS", "PENDING"}
    assert len({job.executor_id for job in jobs.values()}) == 2
    check_same_as_here(installation, order)
    assert left_to_workers(installation, order, n_shards=2).was_done


def test_a_submission_that_was_killed_half_way_is_completed_by_the_same_order(
    installation: tuple[Settings, Database], order: RecordingOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue, n_calls = DBOSClient.enqueue, []

    def killed_at_the_second(client: DBOSClient, *arguments: Any) -> Any:
        n_calls.append(1)
        if len(n_calls) == 2:
            raise KeyboardInterrupt
        return enqueue(client, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(DBOSClient, "enqueue", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            left_to_workers(installation, order, n_shards=5)

    again = left_to_workers(installation, order, n_shards=2)

    assert again == DetachedRecording("tiny", 320, 400, 2, was_done=False, was_under_way=False)
    assert left_to_workers(installation, order, n_shards=2).was_under_way


def test_jobs_of_a_replaced_recording_never_touch_the_one_that_has_its_id(
    installation: tuple[Settings, Database], order: RecordingOrder
) -> None:
    settings, database = installation
    left_to_workers(installation, order, n_shards=2)
    with database.reading() as session:
        replaced = session.scalars(sa.select(Recording)).one()
    left_to_workers(installation, dataclasses.replace(order, seed=1), n_shards=1)

    with job_client(settings.jobs_database_url) as client:
        statuses = sorted(str(job.status) for job in client.list_workflows())
    assert statuses == ["CANCELLED", "CANCELLED", "ENQUEUED"]
    with database.reading() as session:
        theirs = session.scalars(sa.select(Recording)).one()
    shards = RecordingShards(settings, database, threading.Event())
    begun_at = replaced.created_at.isoformat()
    assert not shards.record_chunk(theirs.id, begun_at, 0)
    assert not shards.is_recorded(theirs.id, begun_at)
    shards.fail(theirs.id, begun_at, "a fault")
    shards.finish(theirs.id, begun_at)
    assert (status(database), parts_by_chunk(database)) == ("writing", {})


def test_an_error_that_may_pass_is_left_to_the_next_try(
    installation: tuple[Settings, Database], order: RecordingOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, database = installation
    left_to_workers(installation, order, n_shards=1)
    with database.reading() as session:
        recording = session.scalars(sa.select(Recording)).one()
    begun_at = recording.created_at.isoformat()
    shards = RecordingShards(settings, database, threading.Event())
    errors = [sa.exc.OperationalError("", None, Exception("database is locked")), DatabaseBusy("the database is busy")]
    for error in errors:
        with monkeypatch.context() as patched:
            patched.setattr(shards, "_load", Mock(side_effect=error))
            with pytest.raises(type(error)):
                shards.record_chunk(recording.id, begun_at, 0)
        assert status(database) == "writing"
    assert shards.record_chunk(recording.id, begun_at, 0)
    assert parts_by_chunk(database) == {0: N_LAYERS}

    shards.fail(recording.id, begun_at, "the database is away")
    assert status(database) == "failed"
    assert not shards.record_chunk(recording.id, begun_at, 1)


def test_a_killed_worker_costs_at_most_the_chunk_under_way(
    installation: tuple[Settings, Database], order: RecordingOrder, start_worker: Callable[[], Worker]
) -> None:
    _, database = installation
    left_to_workers(installation, order, n_shards=1)
    worker = start_worker()
    wait_until(lambda: n_chunks_recorded(database) >= 3, [worker])
    worker.end(signal.SIGKILL)
    kept = parts_by_chunk(database)
    with database.reading() as session:
        seconds = dict(
            session.execute(sa.text("SELECT first_excerpt, seconds FROM recording_part WHERE layer = 0")).all()
        )

    worker = start_worker()
    wait_until(lambda: n_chunks_recorded(database) > len(kept) or status(database) == "done", [worker])
    with database.reading() as session:
        rows = session.execute(sa.text("SELECT first_excerpt, seconds FROM recording_part WHERE layer = 0")).all()
    # What was there is the same row still: a chunk that is recorded again would have another time.
    assert all(seconds[first] == again for first, again in rows if first in seconds and kept[first] == N_LAYERS)
    wait_until(lambda: status(database) == "done", [worker])
    check_same_as_here(installation, order)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_a_worker_that_is_asked_to_end_leaves_its_shard_to_the_next(
    installation: tuple[Settings, Database], order: RecordingOrder, start_worker: Callable[[], Worker]
) -> None:
    _, database = installation
    left_to_workers(installation, order, n_shards=1)
    worker = start_worker()
    wait_until(lambda: n_chunks_recorded(database) >= 2, [worker])
    worker.end(signal.SIGTERM)
    assert worker.process.returncode == 0
    assert status(database) == "writing"

    wait_until(lambda: status(database) == "done", [start_worker()])
    check_same_as_here(installation, order)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_a_cancelled_recording_stops_and_keeps_nothing(
    installation: tuple[Settings, Database], order: RecordingOrder, start_worker: Callable[[], Worker]
) -> None:
    settings, database = installation
    with pytest.raises(UnknownName, match="there is no recording tiny"):
        cancel_recording(settings, database, "tiny")
    left_to_workers(installation, order, n_shards=2)
    worker = start_worker()
    wait_until(lambda: n_chunks_recorded(database) >= 2, [worker])

    cancel_recording(settings, database, "tiny")

    assert (status(database), parts_by_chunk(database)) == ("cancelled", {})
    # A later order of the worker's queue is taken up: it is free again, and the cancelled one leaves nothing behind.
    again = left_to_workers(installation, dataclasses.replace(order, name="next"), n_shards=1)
    assert not again.was_under_way

    def is_next_done() -> bool:
        with database.reading() as session:
            return "done" in session.scalars(sa.select(Recording.status)).all()

    wait_until(is_next_done, [worker])
    with database.reading() as session:
        statuses = session.scalars(sa.select(Recording.status).order_by(Recording.id)).all()
    assert statuses == ["cancelled", "done"]
    assert parts_by_chunk(database) == {}
    with pytest.raises(Conflict, match="the recording next is done and cannot be cancelled"):
        cancel_recording(settings, database, "next")

    # The cancelled one begins again by the same order.
    assert left_to_workers(installation, order, n_shards=2).n_missing == 400
    wait_until(lambda: n_rows(database)["neuron"] == 96 and parts_by_chunk(database) == {}, [worker])


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
def test_a_worker_with_another_model_under_the_same_path_fails_the_recording(
    installation: tuple[Settings, Database],
    order: RecordingOrder,
    start_worker: Callable[[], Worker],
    tiny_model: MakeModel,
    tmp_path: Path,
) -> None:
    _, database = installation
    folder = tmp_path / "model"
    shutil.copytree(order.model, folder)
    moved = dataclasses.replace(order, model=str(folder))
    left_to_workers(installation, moved, n_shards=2)
    shutil.rmtree(folder)
    shutil.copytree(tiny_model("llama", initializer_range=0.4), folder)

    worker = start_worker()
    wait_until(lambda: status(database) == "failed", [worker])

    with database.reading() as session:
        failure = session.scalars(sa.select(Recording.failure)).one() or ""
    assert failure.startswith("the model model is another one on this worker: sha256:")
    # Mended, the same order goes on.
    shutil.rmtree(folder)
    shutil.copytree(order.model, folder)
    wait_until(lambda: not left_to_workers(installation, moved, n_shards=1).was_under_way, [worker])
    wait_until(lambda: status(database) == "done", [worker])
    check_same_as_here(installation, order)


@pytest.mark.parametrize(
    ("missing", "n_shards", "shards"),
    [
        ([], 3, []),
        ([0, 1, 2, 3, 4], 2, [(0, 2), (2, 3)]),
        ([0, 1], 5, [(0, 1), (1, 1)]),
        ([2, 3, 7, 9], 2, [(2, 2), (7, 3)]),
        ([5], 0, [(5, 1)]),
    ],
)
def test_shards_are_stretches_that_do_not_meet(
    missing: list[int], n_shards: int, shards: list[tuple[int, int]]
) -> None:
    assert shards_of(missing, n_shards) == shards
