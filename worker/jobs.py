"""The jobs of this worker: planning a batch, working on a shard of it, recording a shard of a recording and finishing
it. Each is safe to repeat.

The only module of worker/ that knows the job engine. Whatever a job does skips what is already stored, so one that died
in its middle costs at most the calls, or the chunk of the corpus, that were under way.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from dbos import DBOS, DBOSConfig, PortableWorkflowError, SetWorkflowID
from dbos import error as engine_errors

from app import jobs
from app.batches import life
from app.batches.launching import queue_of
from app.database import Database, utc_now
from app.settings import Settings
from worker.batches.shards import fail_batch
from worker.database_errors import is_passing
from worker.recording.shards import RecordingShards, WorkerStops

WorkShard = Callable[[int, int, int], Awaitable[None]]
"""(batch id, shard, submission) -> None; makes what the shard still lacks and stores each result."""
Result = TypeVar("Result")
GAVE_UP = (engine_errors.DBOSMaxStepRetriesExceeded, PortableWorkflowError)
"""What a step ends with after its last try; the second one when a worker takes over a job whose step had ended so."""
GIVEN_UP = "the database could not be reached or was busy for too long; record it again to go on"
BATCH_GIVEN_UP = "the database could not be reached or was busy for too long; resume the batch to go on"
N_AT_ONCE = {jobs.QUEUE: 1, jobs.SERVER_QUEUE: 4}
"""Jobs that a worker does side by side: one where it computes by itself, for that wants the whole machine; several
where it waits for servers, so that the last slow answers of a shard leave no call in flight unused."""
TRYING_AGAIN: dict[str, Any] = {
    "retries_allowed": True,
    "max_attempts": 5,
    "interval_seconds": 1.0,
    "should_retry": is_passing,
}
"""Steps wait 1, 2, 4 and 8 seconds for a database that is away or busy; SQLite's own patience of half a
minute comes on top of each."""


def start_engine(
    settings: Settings,
    database: Database,
    worker_name: str,
    work_shard: WorkShard,
    recording_shards: RecordingShards,
) -> None:
    """Starts running jobs in this process. worker_name is stable over restarts: the engine resumes jobs by it."""
    # The engine reports a cancelled job as an error with a traceback; here it is what somebody asked for.
    logging.getLogger("dbos").addFilter(lambda record: "ancelled" not in logging.Formatter().format(record))
    config: DBOSConfig = {
        "name": jobs.APPLICATION,
        "system_database_url": settings.jobs_database_url,
        "executor_id": worker_name,
        "application_version": jobs.JOBS_VERSION,
        "serializer": jobs.SERIALIZER,
        "log_level": "WARNING",
        "run_migrations": False,
        "notification_listener_polling_interval_sec": 0.5,
    }
    # The engine takes its defaults from these variables where they are set for another program on the same machine.
    for variable in ("DBOS__VMID", "DBOS__APPVERSION"):
        os.environ.pop(variable, None)
    DBOS(config=config)
    _register_batches(database, work_shard)
    _register_recording(recording_shards)
    DBOS.listen_queues(list(jobs.QUEUES))
    DBOS.launch()
    for queue, n_at_once in N_AT_ONCE.items():
        DBOS.register_queue(queue, worker_concurrency=n_at_once, polling_interval_sec=0.2, on_conflict="always_update")


def _register_batches(database: Database, work_shard: WorkShard) -> None:
    # Names and arguments outlive an upgrade, for jobs may wait meanwhile; those of older versions have no submission.
    @DBOS.step(name="explain_shard_step", preemptible=True, **TRYING_AGAIN)
    async def shard_step(batch_id: int, shard: int, submission: int = 0) -> None:
        try:
            await work_shard(batch_id, shard, submission)
        except Exception as error:
            if is_passing(error):
                raise
            reason = f"a fault of this program: {type(error).__name__}; resume the batch to try again"
            await asyncio.to_thread(fail_batch, database, batch_id, submission, reason)
            # The engine keeps the traceback.
            raise

    @DBOS.step(name="fail_batch_step", **TRYING_AGAIN)
    async def fail_step(batch_id: int, submission: int, reason: str) -> None:
        await asyncio.to_thread(fail_batch, database, batch_id, submission, reason)

    @DBOS.step(name="start_batch_step", **TRYING_AGAIN)
    async def start_step(batch_id: int, submission: int) -> tuple[str, list[int]]:
        return await asyncio.to_thread(_start_batch, database, batch_id, submission)

    @DBOS.workflow(name=jobs.EXPLAIN_SHARD)
    async def shard_job(batch_id: int, shard: int, submission: int = 0) -> None:
        try:
            await shard_step(batch_id, shard, submission)
        except GAVE_UP:
            await fail_step(batch_id, submission, BATCH_GIVEN_UP)

    @DBOS.workflow(name=jobs.PLAN_BATCH)
    async def plan(batch_id: int, submission: int = 0) -> None:
        # It enqueues and ends: a planner that waited for its shards would hold a place in the queue for hours. The
        # shards are a step's result, for a planner that is repeated half-way must find the same ones.
        try:
            queue, shards = await start_step(batch_id, submission)
        except GAVE_UP:
            await fail_step(batch_id, submission, BATCH_GIVEN_UP)
            return
        for shard in shards:
            with SetWorkflowID(jobs.shard_job_id(batch_id, submission, shard)):
                await DBOS.enqueue_workflow_async(queue, shard_job, batch_id, shard, submission)


def _start_batch(database: Database, batch_id: int, submission: int) -> tuple[str, list[int]]:
    """The queue of the batch's jobs, and the shards to work on."""
    with database.writing() as session:
        shards = life.start_batch(session, batch_id, submission)
        return queue_of(life.find_batch(session, batch_id)), shards


def _register_recording(shards: RecordingShards) -> None:
    @DBOS.step(name="record_chunk_step", **TRYING_AGAIN)
    async def chunk_step(recording_id: int, begun_at: str, chunk_index: int) -> bool:
        return await _in_thread(lambda: shards.record_chunk(recording_id, begun_at, chunk_index))

    @DBOS.step(name="is_recorded_step", **TRYING_AGAIN)
    async def recorded_step(recording_id: int, begun_at: str) -> bool:
        return await _in_thread(lambda: shards.is_recorded(recording_id, begun_at))

    @DBOS.step(name="finish_recording_step", **TRYING_AGAIN)
    async def finish_step(recording_id: int, begun_at: str) -> None:
        await _in_thread(lambda: shards.finish(recording_id, begun_at))

    @DBOS.step(name="fail_recording_step", **TRYING_AGAIN)
    async def fail_step(recording_id: int, begun_at: str, reason: str) -> None:
        await _in_thread(lambda: shards.fail(recording_id, begun_at, reason))

    @DBOS.workflow(name=jobs.FINISH_RECORDING)
    async def finish(recording_id: int, begun_at: str) -> None:
        try:
            await finish_step(recording_id, begun_at)
        except GAVE_UP:
            await fail_step(recording_id, begun_at, GIVEN_UP)

    @DBOS.workflow(name=jobs.RECORD_SHARD)
    async def record(recording_id: int, begun_at: str, first_chunk: int, n_chunks: int) -> None:
        try:
            for chunk_index in range(first_chunk, first_chunk + n_chunks):
                if not await chunk_step(recording_id, begun_at, chunk_index):
                    return
            is_recorded = await recorded_step(recording_id, begun_at)
        except GAVE_UP:
            await fail_step(recording_id, begun_at, GIVEN_UP)
            return
        # Of shards that end at the same time each may find everything there; the end is one job all the same.
        if is_recorded:
            with SetWorkflowID(jobs.finish_job_id(str(DBOS.workflow_id))):
                await DBOS.enqueue_workflow_async(jobs.QUEUE, finish, recording_id, begun_at)


async def _in_thread(work: Callable[[], Result]) -> Result:
    try:
        return await asyncio.to_thread(work)
    except WorkerStops:
        # An error would end the job for good. So it waits until this process is gone, and the next worker resumes it.
        await asyncio.Event().wait()
        raise


def stop_engine(patience_seconds: int) -> None:
    """Stops taking jobs and gives running ones some time; what does not end is resumed by the next worker."""
    DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience_seconds)


def adopt_jobs_of_dead_workers(database: Database, own_name: str) -> int:
    """Puts the unfinished jobs of workers that stopped saying they live back into the queue; returns how many."""
    with database.reading() as session:
        alive = {own_name, *jobs.live_workers(session, utc_now())}
    unfinished = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    orphaned: dict[str, list[str]] = defaultdict(list)
    for job in unfinished:
        if job.executor_id not in alive:
            orphaned[job.queue_name or jobs.QUEUE].append(job.workflow_id)
    for queue, job_ids in orphaned.items():
        DBOS.resume_workflows(job_ids, queue_name=queue)
    return sum(map(len, orphaned.values()))
