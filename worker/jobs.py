"""The jobs of this worker: planning an explanation batch, and explaining one shard of it. Each is safe to repeat.

The only module of worker/ that knows the job engine. A shard is one step that skips what is already stored, so a job
that died in its middle costs at most the calls that were under way.
"""

import logging
import os
from collections.abc import Awaitable, Callable

from dbos import DBOS, DBOSConfig, SetWorkflowID

from app import jobs
from app.database import Database, utc_now
from app.explanations import batches
from app.settings import Settings

ExplainShard = Callable[[int, int], Awaitable[None]]
"""(batch id, shard) -> None; explains what the shard still lacks and stores each result."""


def start_engine(settings: Settings, database: Database, worker_name: str, explain_shard: ExplainShard) -> None:
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
    _register(database, explain_shard)
    DBOS.listen_queues([jobs.QUEUE])
    DBOS.launch()
    # One shard at a time: a shard fills its own calls in flight, and a local model wants the whole machine.
    DBOS.register_queue(jobs.QUEUE, worker_concurrency=1, polling_interval_sec=0.2, on_conflict="always_update")


def _register(database: Database, explain_shard: ExplainShard) -> None:
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
            n_shards = batches.start_batch(session, batch_id)
        for shard in range(n_shards):
            with SetWorkflowID(jobs.shard_job_id(batch_id, shard)):
                await DBOS.enqueue_workflow_async(jobs.QUEUE, explain, batch_id, shard)


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
