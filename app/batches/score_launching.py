"""Orders a batch of scores and hands it to the workers: the border where these transactions end."""

from app.batches.lacking_scores import ScoreOrder
from app.batches.launching import hand_over
from app.batches.score_planning import plan_scores
from app.database import Database
from app.settings import Settings


def launch_scores(settings: Settings, database: Database, order: ScoreOrder) -> int | None:
    """Stores the batch, then hands it over; returns its id, or None when all that it asks for is there already.

    A process that dies between the two leaves a queued batch, which the next worker finds by itself.
    Errors: as plan_scores.
    """
    with database.writing() as session:
        batch = plan_scores(session, order)
        if batch.n_explanations == 0:
            session.delete(batch)
            return None
    hand_over(settings, batch)
    return batch.id
