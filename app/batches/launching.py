"""Orders a batch and hands it to the workers, and takes it back: the border where these transactions end."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import jobs
from app.batches import life
from app.batches.planning import plan_batch
from app.database import Database
from app.explanations.explainers import ExplainerSettings
from app.settings import Settings


@dataclass(frozen=True)
class BatchOrder:
    """What somebody wants explained: neurons x methods x samples, by one explainer."""

    subject_name: str
    neuron_ids: Sequence[int]
    methods: Sequence[str]
    explainer: str
    settings: ExplainerSettings
    samples: int = 1


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
        )
        if batch.n_explanations == 0:
            session.delete(batch)
            return None
    jobs.submit_batch(settings.jobs_database_url, batch.id)
    return batch.id


def withdraw_batch(settings: Settings, database: Database, batch_id: int) -> None:
    """Cancels a batch: what is done stays, calls under way are interrupted. Errors: UnknownName, Conflict."""
    with database.writing() as session:
        life.cancel_batch(session, batch_id)
        n_shards = life.find_batch(session, batch_id).n_shards
    jobs.cancel_batch_jobs(settings.jobs_database_url, batch_id, n_shards)
