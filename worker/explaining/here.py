"""Work in this process: a worker until it is stopped, or for one batch with its progress shown."""

import asyncio
import threading

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.batches import life
from app.batches.launching import BatchOrder
from app.batches.life import BatchProgress
from app.batches.models import QUEUED, RUNNING
from app.database import Database
from app.explanations.explainers import parse_explainer
from app.explanations.methods import TOKENS
from app.settings import Settings
from worker.explaining.chat_models import ChatModels
from worker.explaining.shards import explain_shard
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


def explain_here(settings: Settings, database: Database, batch_id: int, models: ChatModels) -> BatchProgress:
    """Works until the batch has ended, or Ctrl-C; returns how far it is then. Any worker can go on with the rest."""
    stop = threading.Event()
    stop_on_signals(stop)
    watcher = threading.Thread(target=_show_until_ended, args=(database, batch_id, stop), daemon=True)
    watcher.start()
    _work(settings, database, models, stop)
    watcher.join()
    return _progress(database, batch_id)


def _work(settings: Settings, database: Database, models: ChatModels, stop: threading.Event) -> None:
    async def explain(batch_id: int, shard: int) -> None:
        await explain_shard(database, batch_id, shard, models.chat_for)

    work(settings, database, explain, stop=stop)


def _show_until_ended(database: Database, batch_id: int, stop: threading.Event) -> None:
    columns = (TextColumn("explaining"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("explaining", total=None)
        while not stop.is_set():
            progress = _progress(database, batch_id)
            bar.update(task, total=progress.n_to_make, completed=progress.n_done + progress.n_failed)
            if progress.status not in (QUEUED, RUNNING):
                stop.set()
            stop.wait(WATCH_SECONDS)


def _progress(database: Database, batch_id: int) -> BatchProgress:
    with database.reading() as session:
        return life.batch_progress(session, batch_id)
