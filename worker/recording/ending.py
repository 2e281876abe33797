"""Ends a recording before it is done, and removes what it has kept, layer by layer: others can write in between."""

from app import jobs
from app.database import Database
from app.neurons import recordings
from app.neurons.models import Recording, SubjectModel
from app.settings import Settings


def cancel_recording(settings: Settings, database: Database, name: str) -> None:
    """Ends an unfinished recording wherever it is being made, and removes what it has kept.

    Killed in between, the same call removes the rest. Errors: UnknownName, Conflict when it is done.
    """
    with database.writing() as session:
        recording = recordings.cancel_recording(session, name)
    jobs.cancel_recording_jobs(settings.jobs_database_url, recording.id, recording.created_at)
    remove_cancelled(database, recording)


def remove_cancelled(database: Database, recording: Recording) -> None:
    """Removes what a cancelled recording has kept; nothing when it goes on, or another process has replaced it."""
    with database.reading() as session:
        if recordings.status_of(session, recording) != recordings.CANCELLED:
            return
        n_layers = session.get_one(SubjectModel, recording.subject_id).n_layers
    for layer in range(n_layers):
        with database.writing() as session:
            recordings.remove_cancelled_layer(session, recording, layer)
