"""Names and payloads of jobs, how to submit and cancel them, and which workers are alive.

The only module of app/ that knows the job engine (DBOS Transact). The work itself is in worker/jobs.py, found by these
names. A payload is numbers and strings only, written as JSON. Every job has an id made of what it does, so that
submitting twice is once.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.database import Base, UtcDateTime

APPLICATION = "neuronjury"
JOBS_VERSION = "1"
"""Constant, so that jobs outlive an upgrade; raised only when old payloads can no longer be read."""
QUEUE = "neuronjury-explanations"
"""Of recordings, and of batches that compute on this machine: a queue that is renamed would strand the jobs that wait
in it."""
SERVER_QUEUE = "neuronjury-servers"
"""Of batches that ask servers: several of their jobs can wait for answers at the same time."""
QUEUES = (QUEUE, SERVER_QUEUE)
PLAN_BATCH = "plan_explanation_batch"
EXPLAIN_SHARD = "explain_shard"
RECORD_SHARD = "record_shard"
FINISH_RECORDING = "finish_recording"
UNFINISHED = ["ENQUEUED", "PENDING", "DELAYED"]
"""States of a job, as the engine names them."""
SERIALIZER = DBOSPortableJSONSerializer()

HEARTBEAT_SECONDS = 5.0
DEAD_AFTER = timedelta(seconds=30)


class WorkerHeartbeat(Base):
    """A worker process that was here, and when it last said so."""

    __tablename__ = "worker_heartbeat"

    name: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


def live_workers(session: Session, now: datetime) -> list[str]:
    """Names of the workers heard of within the last half minute."""
    query = sa.select(WorkerHeartbeat.name).where(WorkerHeartbeat.seen_at >= now - DEAD_AFTER)
    return list(session.scalars(query.order_by(WorkerHeartbeat.name)))


def migrate_jobs(jobs_url: str) -> None:
    """Makes or updates the engine's tables."""
    logging.getLogger("dbos").setLevel(logging.WARNING)
    url = sa.make_url(jobs_url)
    if url.get_backend_name() == "sqlite":
        # The engine keeps SQLite's default journal, in which a reader blocks the writer. The mode stays with the file.
        with sqlite3.connect(url.database or ":memory:") as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    DBOS.migrate(jobs_url)


@contextmanager
def job_client(jobs_url: str) -> Iterator[DBOSClient]:
    """A connection that can submit and cancel, without running anything."""
    client = DBOSClient(system_database_url=jobs_url, serializer=SERIALIZER, application_name=APPLICATION)
    try:
        yield client
    finally:
        client.destroy()


def batch_job_id(batch_id: int, submission: int) -> str:
    """Of the job that plans a batch's shards, one for each time that the batch is handed over."""
    return f"batch-{batch_id}" if submission == 0 else f"batch-{batch_id}-again-{submission}"


def shard_job_id(batch_id: int, submission: int, shard: int) -> str:
    return f"{batch_job_id(batch_id, submission)}-shard-{shard}"


def submit_batch(jobs_url: str, batch_id: int, submission: int, queue: str) -> None:
    """Hands a stored batch to the workers, through one of QUEUES. Submitting the same again changes nothing."""
    options: EnqueueOptions = {
        "queue_name": queue,
        "workflow_name": PLAN_BATCH,
        "workflow_id": batch_job_id(batch_id, submission),
        "app_version": JOBS_VERSION,
    }
    with job_client(jobs_url) as client:
        client.enqueue(options, batch_id, submission)


def batches_with_jobs(jobs_url: str) -> set[int]:
    """Ids of the batches that an unfinished job is about."""
    with job_client(jobs_url) as client:
        unfinished = client.list_workflows(
            workflow_id_prefix="batch-", status=UNFINISHED, load_input=False, load_output=False
        )
    return {int(job.workflow_id.split("-")[1]) for job in unfinished}


def cancel_batch_jobs(jobs_url: str, batch_id: int, submission: int, n_shards: int) -> None:
    """Stops the jobs of a batch: shards that wait never start, running ones are interrupted, calls under way too."""
    shards = (shard_job_id(batch_id, submission, shard) for shard in range(n_shards))
    with job_client(jobs_url) as client:
        client.cancel_workflows([batch_job_id(batch_id, submission), *shards])


def recording_jobs(recording_id: int, begun_at: datetime) -> str:
    """How the ids of a recording's jobs begin. begun_at: when it was created, for SQLite gives an id again."""
    return f"recording-{recording_id}-{begun_at.timestamp():.6f}-"


def finish_job_id(shard_job: str) -> str:
    """Of the job that ends the recording which a shard is of, one for all shards of a submission."""
    return f"{shard_job.partition('-shard-')[0]}-finish"


def submit_recording(
    jobs_url: str, recording_id: int, begun_at: datetime, shards: Sequence[tuple[int, int]], now: datetime
) -> None:
    """Hands the shards of a stored recording, each (first chunk, number of chunks), to the workers; without any, only
    its end.

    now: tells this submission from earlier ones, whose jobs have ended before the recording had.
    """
    submission = f"{recording_jobs(recording_id, begun_at)}{now.timestamp():.6f}"
    begun = begun_at.isoformat()
    with job_client(jobs_url) as client:
        for first, n_chunks in shards:
            options = _recording_options(RECORD_SHARD, f"{submission}-shard-{first}-{n_chunks}")
            client.enqueue(options, recording_id, begun, first, n_chunks)
        if not shards:
            client.enqueue(_recording_options(FINISH_RECORDING, finish_job_id(submission)), recording_id, begun)


def chunks_left_to_workers(jobs_url: str, recording_id: int, begun_at: datetime) -> set[int] | None:
    """The chunks that unfinished jobs of a recording are about, none for its end alone; None without any such job."""
    with job_client(jobs_url) as client:
        job_ids = _unfinished_jobs(client, recording_id, begun_at)
    shards = [job_id.partition("-shard-")[2].split("-") for job_id in job_ids if "-shard-" in job_id]
    chunks = {chunk for first, n_chunks in shards for chunk in range(int(first), int(first) + int(n_chunks))}
    return chunks if job_ids else None


def cancel_recording_jobs(jobs_url: str, recording_id: int, begun_at: datetime) -> None:
    """Stops the jobs of a recording: those that wait never start; a running one looks for itself whether to go on."""
    with job_client(jobs_url) as client:
        client.cancel_workflows(_unfinished_jobs(client, recording_id, begun_at))


def _unfinished_jobs(client: DBOSClient, recording_id: int, begun_at: datetime) -> list[str]:
    beginning = recording_jobs(recording_id, begun_at)
    unfinished = client.list_workflows(
        workflow_id_prefix=beginning, status=UNFINISHED, load_input=False, load_output=False
    )
    return [job.workflow_id for job in unfinished]


def _recording_options(workflow: str, job_id: str) -> EnqueueOptions:
    return {"queue_name": QUEUE, "workflow_name": workflow, "workflow_id": job_id, "app_version": JOBS_VERSION}
