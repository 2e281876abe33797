"""Work in this process: a worker until it is stopped, or for one batch with its progress shown."""

import asyncio
import threading

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.batches.launching import BatchOrder
from app.batches.life import UNDER_WAY
from app.batches.models import SCORES
from app.batches.progress import BatchProgress, batch_progress
from app.database import Database
from app.explanations.explainers import parse_explainer
from app.explanations.methods import TOKENS
from app.settings import Settings
from worker.batches.making import Maker
from worker.batches.open_batches import AskedBatch, MakerFor, OpenBatches
from worker.batches.shards import work_shard
from worker.explaining.chat_models import ChatModels
from worker.explaining.making import ExplanationMaker
from worker.main import stop_on_signals, work

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
    _work(settings, database, models, stop)


def work_here(settings: Settings, database: Database, batch_id: int, models: ChatModels) -> BatchProgress:
    """Works until the batch has ended or is paused, or Ctrl-C; returns how far it is then.

    Any worker can go on with the rest.
    """
    stop = threading.Event()
    stop_on_signals(stop)
    watcher = threading.Thread(target=_show_until_ended, args=(database, batch_id, stop), daemon=True)
    watcher.start()
    _work(settings, database, models, stop)
    watcher.join()
    return _progress(database, batch_id)


def maker_for(database: Database, models: ChatModels) -> MakerFor:
    """Who makes the rows of a batch of either kind."""

    def make(batch: AskedBatch) -> Maker:
        if batch.kind == SCORES:
            # Scorers bring libraries that explaining does without.
            from worker.scoring.makers import score_maker

            return score_maker(database, batch, models)
        return ExplanationMaker.of_batch(database, batch, models.chat_for)

    return make


def _work(settings: Settings, database: Database, models: ChatModels, stop: threading.Event) -> None:
    models.share_rates(database)
    open_batches = OpenBatches(maker_for(database, models))

    async def work_on(batch_id: int, shard: int, submission: int) -> None:
        await work_shard(database, batch_id, shard, submission, open_batches)

    work(settings, database, work_on, stop=stop)


def _show_until_ended(database: Database, batch_id: int, stop: threading.Event) -> None:
    title = "scoring" if _progress(database, batch_id).kind == SCORES else "explaining"
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        while not stop.is_set():
            progress = _progress(database, batch_id)
            bar.update(task, total=progress.n_to_make, completed=progress.n_finished)
            if progress.status not in UNDER_WAY:
                stop.set()
            stop.wait(WATCH_SECONDS)


def _progress(database: Database, batch_id: int) -> BatchProgress:
    with database.reading() as session:
        return batch_progress(session, batch_id)
