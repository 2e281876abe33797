"""What `neuronjury score` does: orders a batch of scores and works on it here, or says what it would take."""

import asyncio

import typer

from app.batches.lacking_scores import ScoreOrder
from app.batches.score_estimating import estimate_scores, score_estimate_in_words
from app.batches.score_launching import launch_scores
from app.database import Database, utc_now
from app.explanations.counting_here import counter_here
from app.explanations.explainers import NO_EXPLAINER
from app.explanations.scoring.settings import ADACS, checked_model, scoring_model
from app.settings import Settings
from worker.batches.here import models_of, work_here
from worker.explaining.chat_models import ChatModels
from worker.explaining.command import say_how_it_ended


def dry_run(settings: Settings, database: Database, order: ScoreOrder) -> None:
    """Prints what the batch would take; asks nobody and stores nothing. Errors: as launch_scores."""
    who = scoring_model(checked_model(order.settings, order.model)) or NO_EXPLAINER
    with database.reading() as session:
        counter = counter_here(session, who, order.settings, settings.models_folder)
        estimate = estimate_scores(session, order, counter, utc_now().date())
    for what, how_much in score_estimate_in_words(estimate):
        typer.echo(f"{what + ':':<15} {how_much}")


def score(settings: Settings, database: Database, order: ScoreOrder, *, is_detached: bool) -> None:
    """Orders the batch once its scorer has given a sign of life. Errors: Unavailable, and as launch_scores."""
    models = models_of(settings)
    _check_scorer(models, order)
    batch_id = launch_scores(settings, database, order)
    if batch_id is None:
        typer.echo("All of these scores are there already")
    elif is_detached:
        typer.echo(f"Batch {batch_id} waits for a worker: neuronjury worker")
    else:
        say_how_it_ended(batch_id, work_here(settings, database, batch_id, models))


def _check_scorer(models: ChatModels, order: ScoreOrder) -> None:
    """Asks whoever measures for a sign of life, before anything is stored. Errors: Unavailable, UnknownName."""
    who = scoring_model(checked_model(order.settings, order.model))
    if who is None:
        return
    if order.settings.metric == ADACS:
        asyncio.run(models.server_for(order.settings).check())
    else:
        asyncio.run(models.check(who, order.settings))
