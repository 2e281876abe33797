"""Work in this process: a worker until it is stopped, or for one batch with its progress shown."""

import asyncio
import threading
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.batches.launching import BatchOrder
from app.batches.life import UNDER_WAY, find_batch
from app.batches.models import FAILED, PAUSED, SCORES
from app.batches.progress import BatchProgress, batch_progress
from app.database import Database
from app.explanations.explainers import parse_explainer
from app.explanations.methods import TOKENS
from app.settings import Settings
from worker.batches.making import Maker
from worker.batches.open_batches import AskedBatch, MakerFor, OpenBatches
from worker.batches.shards import work_shard
from worker.database_errors import is_passing
from worker.explaining.chat_models import ChatModels
from worker.explaining.making import ExplanationMaker
from worker.main import PATIENCE_SECONDS, stop_on_signals, work

WATCH_SECONDS = 0.5


def models_of(settings: Settings) -> ChatModels:
    return ChatModels(settings.models_folder, settings.threads)


def check_explainer(models: ChatModels, order: BatchOrder) -> None:
    """Asks the explainer for a sign of life, before anything is stored.

    Errors: Unavailable when there is no key, no such model, or no answer.
    """
    if set(order.methods) != {TOKENS}:
        asyncio.run(models.check(parse_explainer(order.explainer), order.settings))


def work_until_stopped(settings: Settings, database: Database, models: ChatModels) -> None:
    """Runs jobs until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    stop_on_signals(stop)
    _work(settings, database, models, stop, lambda: PATIENCE_SECONDS)


def work_here(settings: Settings, database: Database, batch_id: int, models: ChatModels) -> BatchProgress:
    """Works until the batch has ended or is paused and its calls under way have ended, or Ctrl-C; returns how far it
    is then.

    Any worker can go on with the rest.
    """
    stop = threading.Event()
    stop_on_signals(stop)
    title = "scoring" if _progress(database, batch_id).kind == SCORES else "explaining"
    watcher = threading.Thread(target=_show_until_ended, args=(database, batch_id, title, stop), daemon=True)
    watcher.start()
    _work(settings, database, models, stop, lambda: _patience_seconds(database, batch_id))
    watcher.join()
    return _progress(database, batch_id)


def _patience_seconds(database: Database, batch_id: int) -> float:
    """How long calls under way may take: their own time-out where the batch stopped, and not somebody its worker."""
    with database.reading() as session:
        batch = find_batch(session, batch_id)
        has_stopped = batch.status in (PAUSED, FAILED)
        return max(PATIENCE_SECONDS, float(batch.settings["timeout_seconds"])) if has_stopped else PATIENCE_SECONDS


def maker_for(database: Database, models: ChatModels) -> MakerFor:
    """Who makes the rows of a batch of either kind."""

    def make(batch: AskedBatch) -> Maker:
        if batch.kind == SCORES:
            # Scorers bring libraries that explaining does without.
            from worker.scoring.makers import score_maker

            return score_maker(database, batch, models)
        return ExplanationMaker.of_batch(database, batch, models.chat_for)

    return make


def _work(
    settings: Settings,
    database: Database,
    models: ChatModels,
    stop: threading.Event,
    patience_seconds: Callable[[], float],
) -> None:
    models.share_rates(database)
    open_batches = OpenBatches(maker_for(database, models))

    async def work_on(batch_id: int, shard: int, submission: int) -> None:
        await work_shard(database, batch_id, shard, submission, open_batches)

    def is_at_rest() -> bool:
        open_batches.is_stopping = True
        return open_batches.n_rows == 0

    work(settings, database, work_on, stop=stop, is_at_rest=is_at_rest, patience_seconds=patience_seconds)


def _show_until_ended(database: Database, batch_id: int, title: str, stop: threading.Event) -> None:
    try:
        _show(database, batch_id, title, stop)
    finally:
        # Whatever ends the watching: nobody else would end the work.
        stop.set()


def _show(database: Database, batch_id: int, title: str, stop: threading.Event) -> None:
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        while not stop.is_set():
            progress = _progress_if_database_answers(database, batch_id)
            if progress is not None:
                bar.update(task, total=progress.n_to_make, completed=progress.n_finished)
                if progress.status not in UNDER_WAY:
                    stop.set()
            stop.wait(WATCH_SECONDS)


def _progress_if_database_answers(database: Database, batch_id: int) -> BatchProgress | None:
    try:
        return _progress(database, batch_id)
    except Exception as error:
        if not is_passing(error):
            raise
        return None


def _progress(database: Database, batch_id: int) -> BatchProgress:
    with database.reading() as session:
        return batch_progress(session, batch_id)
