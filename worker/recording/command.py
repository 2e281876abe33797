"""What `neuronjury record` prints, in each of the ways it can go: here, left to the workers, dry, cancelled."""

from typing import NoReturn

import typer

from app.database import Database
from app.settings import Settings
from worker import progress
from worker.recording.detaching import detach_recording
from worker.recording.dry_run import dry_run as estimated
from worker.recording.ending import cancel_recording
from worker.recording.here import RecordingStopped, RecordingSummary, record_subject
from worker.recording.order import RecordingOrder


def record(settings: Settings, database: Database, order: RecordingOrder) -> None:
    """Records in this process. Ctrl-C ends it with one line and exit code 130."""
    try:
        with progress.shown() as shown:
            summary = record_subject(settings, database, order, shown)
    except RecordingStopped as stopped:
        _stop(f"stopped; the same command goes on from excerpt {stopped.next_excerpt}")
    except KeyboardInterrupt:
        _stop("stopped before anything was recorded")
    _tell_of_text(summary, order.n_excerpts)
    typer.echo(
        f"{'Already recorded' if summary.was_done else 'Recorded'}: {summary.name}, {summary.n_neurons} neurons in "
        f"{summary.n_layers} layers on {summary.n_excerpts} of {summary.n_available} excerpts of {summary.corpus} "
        f"({summary.n_tokens} tokens in {summary.seconds:.0f} s)"
    )


def detach(settings: Settings, database: Database, order: RecordingOrder, n_shards: int | None) -> None:
    """Leaves the recording to the workers."""
    try:
        with progress.shown() as shown:
            detached = detach_recording(settings, database, order, shown, n_shards=n_shards)
    except KeyboardInterrupt:
        _stop("stopped before anything was handed over")
    if detached.was_done:
        typer.echo(f"Already recorded: {detached.name}")
    elif detached.was_under_way:
        typer.echo(f"{detached.name} is left to the workers already: neuronjury worker")
    else:
        typer.echo(
            f"{detached.name}: {detached.n_missing} of {detached.n_excerpts} excerpts in {detached.n_shards} jobs wait "
            "for a worker: neuronjury worker"
        )


def dry_run(settings: Settings, database: Database, order: RecordingOrder) -> None:
    """Says what the recording would take."""
    for line in estimated(settings, database, order).lines():
        typer.echo(line)


def cancel(settings: Settings, database: Database, name: str) -> None:
    """Ends an unfinished recording."""
    cancel_recording(settings, database, name)
    typer.echo(f"Cancelled: {name}; what it had recorded is removed")


def _tell_of_text(summary: RecordingSummary, n_asked: int) -> None:
    if summary.n_excerpts < n_asked:
        typer.echo(f"{summary.corpus} has {summary.n_excerpts} excerpts; all of them were taken")
    if summary.n_invalid_bytes:
        typer.echo(f"{summary.corpus} has {summary.n_invalid_bytes} bytes that are no UTF-8; each became U+FFFD")


def _stop(line: str) -> NoReturn:
    typer.echo(f"neuronjury: {line}", err=True)
    raise typer.Exit(130) from None
