"""The command `explain`: orders a batch and works on it here, or says what it would take."""

import typer

from app.batches.estimate_in_words import estimate_in_words
from app.batches.estimating import estimate_batch
from app.batches.launching import launch_batch
from app.batches.models import PAUSED
from app.batches.ordering import BatchWish, order_of
from app.batches.progress import BatchProgress
from app.batches.wording import dollars
from app.database import Database, utc_now
from app.explanations.counting_here import counter_here
from app.explanations.explainers import parse_explainer
from app.settings import Settings
from worker.batches.here import check_explainer, models_of, work_here


def dry_run(settings: Settings, database: Database, wish: BatchWish) -> None:
    """Prints what the batch would take; asks no explainer and stores nothing. Errors: as launch_batch."""
    with database.reading() as session:
        counter = counter_here(session, parse_explainer(wish.explainer), wish.settings, settings.models_folder)
        estimate = estimate_batch(session, order_of(session, wish), counter, utc_now().date())
    for what, how_much in estimate_in_words(estimate):
        typer.echo(f"{what + ':':<15} {how_much}")


def explain(settings: Settings, database: Database, wish: BatchWish, *, is_detached: bool) -> None:
    """Orders the batch once its explainer has given a sign of life. Errors: Unavailable, and as launch_batch."""
    models = models_of(settings)
    with database.reading() as session:
        order = order_of(session, wish)
    check_explainer(models, order)
    batch_id = launch_batch(settings, database, order)
    if batch_id is None:
        typer.echo("All of these explanations are there already")
    elif is_detached:
        typer.echo(f"Batch {batch_id} waits for a worker: neuronjury worker")
    else:
        say_how_it_ended(batch_id, work_here(settings, database, batch_id, models))


def say_how_it_ended(batch_id: int, ended: BatchProgress) -> None:
    """One line; exit code 1 where there was something to make and nothing was made."""
    typer.echo(in_one_line(batch_id, ended))
    if ended.n_to_make and not ended.n_done:
        raise typer.Exit(1)


def in_one_line(batch_id: int, ended: BatchProgress) -> str:
    failures = "".join(f", {n} {reason}" for reason, n in ended.failures.items())
    why_undefined = "; ".join(f"{n} {reason}" for reason, n in ended.reasons.items())
    undefined = f", {ended.n_undefined} of the done undefined ({why_undefined})" if ended.n_undefined else ""
    cost = "" if not ended.spent_usd else f", {dollars(ended.spent_usd)} spent"
    why = "" if ended.failure is None else f" ({ended.failure})"
    counts = f"{ended.n_done} done, {ended.n_failed} failed{failures}{undefined}{cost}"
    return f"Batch {batch_id} {ended.status}{why}: {counts}{_next_step(batch_id, ended)}"


def _next_step(batch_id: int, ended: BatchProgress) -> str:
    if ended.status != PAUSED:
        return ""
    if ended.budget_usd is None and ended.budget_tokens is None:
        return f". Resume it under /batches/{batch_id}, or order again"
    return f". Raise its budget or resume it under /batches/{batch_id}, or order again with a larger budget"
