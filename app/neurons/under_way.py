"""Recordings that are not there to be read yet: how far they are, or why they failed. Knows the tables; changes
nothing."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.neurons.contexts import UnfinishedRecording
from app.neurons.models import Corpus, Recording, RecordingPart, SubjectModel


def unfinished_recordings(session: Session) -> tuple[UnfinishedRecording, ...]:
    """Recordings under way, and those that failed, by name; cancelled ones are nobody's business any more."""
    # A stretch of the corpus is there once its last layer is; that layer's parts are also the last to go.
    n_read = (
        sa.select(sa.func.coalesce(sa.func.sum(RecordingPart.n_excerpts), 0))
        .where(RecordingPart.recording_id == Recording.id, RecordingPart.layer == SubjectModel.n_layers - 1)
        .correlate(Recording, SubjectModel)
        .scalar_subquery()
    )
    rows = session.execute(
        sa.select(SubjectModel.name, Recording.failure, Recording.status, Corpus.n_excerpts, n_read.label("n_read"))
        .join(SubjectModel, SubjectModel.id == Recording.subject_id)
        .join(Corpus, Corpus.id == Recording.corpus_id)
        .where(Recording.status.in_(("writing", "failed")))
        .order_by(SubjectModel.name)
    )
    return tuple(
        UnfinishedRecording(
            subject=row.name,
            n_excerpts=row.n_excerpts,
            n_read=int(row.n_read),
            failure=(row.failure or "no reason was kept") if row.status == "failed" else None,
        )
        for row in rows
    )
