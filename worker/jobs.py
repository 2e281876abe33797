"""The jobs of this worker: planning an explanation batch, explaining a shard of it, recording a shard of a recording
and finishing it. Each is safe to repeat.

The only module of worker/ that knows the job engine. Whatever a job does skips what is already stored, so one that died
in its middle costs at most the calls, or the chunk of the corpus, that were under way.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from dbos import DBOS, DBOSConfig, PortableWorkflowError, SetWorkflowID
from dbos import error as engine_errors

from app import jobs
from app.batches import life
from app.database import Database, utc_now
from app.settings import Settings
from worker.recording.shards import RecordingShards, WorkerStops, is_passing

ExplainShard = Callable[[int, int], Awaitable[None]]
"""(batch id, shard) -> None; explains what the shard still lacks and stores each result."""
Result = TypeVar("Result")
GAVE_UP = (engine_errors.DBOSMaxStepRetriesExceeded, PortableWorkflowError)
"""What a step ends with after its last try; the second one when a worker takes over a job whose step had ended so."""
GIVEN_UP = "the database could not be reached or was busy for too long; record it again to go on"
TRYING_AGAIN: dict[str, Any] = {
    "retries_allowed": True,
    "max_attempts": 5,
    "interval_seconds": 1.0,
    "should_retry": is_passing,
}
"""Steps of a recording wait 1, 2, 4 and 8 seconds for a database that is away or busy; SQLite's own patience of half a
minute comes on top of each."""


def start_engine(
    settings: Settings,
    database: Database,
    worker_name: str,
    explain_shard: ExplainShard,
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
    _register_explaining(database, explain_shard)
    _register_recording(recording_shards)
    DBOS.listen_queues([jobs.QUEUE])
    DBOS.launch()
    # One shard at a time: a shard fills its own calls in flight, and a local model wants the whole machine.
    DBOS.register_queue(jobs.QUEUE, worker_concurrency=1, polling_interval_sec=0.2, on_conflict="always_update")


def _register_explaining(database: Database, explain_shard: ExplainShard) -> None:
    @DBOS.step(name="explain_shard_step", preemptible=True)
    async def explain_step(batch_id: int, shard: int) -> None:
        await explain_shard(batch_id, shard)

    @DBOS.workflow(name=jobs.EXPLAIN_SHARD)
    async def explain(batch_id: int, shard: int) -> None:
        await explain_step(batch_id, shard)

    @DBOS.workflow(name=jobs.PLAN_BATCH)
    async def plan(batch_id: int) -> None:
        # It enqueues and ends: a planner that waited for its shards would hold a place in the queue for hours.
        with database.writing() as session:
            n_shards = life.start_batch(session, batch_id)
        for shard in range(n_shards):
            with SetWorkflowID(jobs.shard_job_id(batch_id, shard)):
                await DBOS.enqueue_workflow_async(jobs.QUEUE, explain, batch_id, shard)


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
    orphaned = [job.workflow_id for job in unfinished if job.executor_id not in alive]
    if orphaned:
        DBOS.resume_workflows(orphaned, queue_name=jobs.QUEUE)
    return len(orphaned)
