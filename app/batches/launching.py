"""Orders a batch and hands it to the workers, pauses it, goes on with it and takes it back: the border where these
transactions end."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import jobs
from app.batches import life
from app.batches.models import QUEUED, Batch
from app.batches.planning import SetToSave, plan_batch
from app.database import Database
from app.explanations.explainers import OPENAI, ExplainerSettings
from app.settings import Settings


@dataclass(frozen=True)
class BatchOrder:
    """What somebody wants explained: neurons x methods x samples, by one explainer, for so much at most.

    budget_usd, budget_tokens: None: no bound. save_as: keeps the neurons as a set under a name.
    """

    subject_name: str
    neuron_ids: Sequence[int]
    methods: Sequence[str]
    explainer: str
    settings: ExplainerSettings
    samples: int = 1
    budget_usd: float | None = None
    budget_tokens: int | None = None
    save_as: SetToSave | None = None


def launch_batch(settings: Settings, database: Database, order: BatchOrder) -> int | None:
    """Stores the batch, then hands it over; returns its id, or None when all that it asks for is there already.

    A process that dies between the two leaves a queued batch, which the next worker finds by itself.
    Errors: as `plan_batch`.
    """
    with database.writing() as session:
        batch = plan_batch(
            session,
            subject_name=order.subject_name,
            neurons=order.neuron_ids,
            methods=order.methods,
            explainer=order.explainer,
            settings=order.settings,
            samples=order.samples,
            budget_usd=order.budget_usd,
            budget_tokens=order.budget_tokens,
            save_as=order.save_as,
        )
        if batch.n_explanations == 0:
            session.delete(batch)
            return None
    hand_over(settings, batch)
    return batch.id


def hand_over(settings: Settings, batch: Batch) -> None:
    """Leaves a queued batch to the workers, of whatever kind. Handing the same submission over again changes
    nothing."""
    jobs.submit_batch(settings.jobs_database_url, batch.id, batch.submission, queue_of(batch))


def queue_of(batch: Batch) -> str:
    """Where the jobs of a batch wait: what asks no server computes on the worker's machine, one shard at a time."""
    return jobs.SERVER_QUEUE if batch.explainer.startswith(f"{OPENAI}:") else jobs.QUEUE


def hand_over_waiting(settings: Settings, database: Database) -> None:
    """Hands all queued batches over: whoever stored or resumed one may have died before that."""
    with database.reading() as session:
        waiting = [life.find_batch(session, batch_id) for batch_id in life.queued_batch_ids(session)]
    for batch in waiting:
        hand_over(settings, batch)


def queue_interrupted_again(settings: Settings, database: Database) -> None:
    """Queues running batches again that no job is about any more: the one that planned them was interrupted."""
    with database.reading() as session:
        # Asked before the jobs: a batch that ends meanwhile is no longer running when it is to be queued.
        running = life.running_batch_ids(session)
    interrupted = set(running) - jobs.batches_with_jobs(settings.jobs_database_url) if running else set()
    for batch_id in sorted(interrupted):
        with database.writing() as session:
            life.queue_running(session, batch_id)


def pause(database: Database, batch_id: int) -> None:
    """Lets calls under way end, and makes no further one. Errors: UnknownName, Conflict."""
    with database.writing() as session:
        life.pause_batch(session, batch_id)


def resume(settings: Settings, database: Database, batch_id: int) -> None:
    """Goes on with a paused batch, or with one that failed for a reason mended since. Errors: UnknownName, Conflict."""
    with database.writing() as session:
        life.resume_batch(session, batch_id)
        batch = life.find_batch(session, batch_id)
    _hand_over_if_queued(settings, batch)


def retry_failed(settings: Settings, database: Database, batch_id: int, reasons: Sequence[str] | None = None) -> int:
    """Asks again for what failed, for one of these reasons or any; returns how many rows that are.

    Errors: UnknownName; Conflict while the batch is under way.
    """
    with database.writing() as session:
        n_retried = life.retry_failed(session, batch_id, reasons)
        batch = life.find_batch(session, batch_id)
    _hand_over_if_queued(settings, batch)
    return n_retried


def _hand_over_if_queued(settings: Settings, batch: Batch) -> None:
    if batch.status == QUEUED:
        hand_over(settings, batch)


def withdraw_batch(settings: Settings, database: Database, batch_id: int) -> None:
    """Cancels a batch: what is done stays, calls under way are interrupted. Errors: UnknownName, Conflict."""
    with database.writing() as session:
        life.cancel_batch(session, batch_id)
        batch = life.find_batch(session, batch_id)
    jobs.cancel_batch_jobs(settings.jobs_database_url, batch_id, batch.submission, batch.n_shards)
