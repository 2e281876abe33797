"""What the pages of batches show, put together from queries. Plain values: no ORM row reaches a template."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.forms import NewBatchForm
from app.batches.life import BatchProgress, batch_progress, find_batch
from app.batches.models import RUNNING, Batch
from app.database import utc_now
from app.explanations.methods import METHOD_TITLES, method_title
from app.explanations.models import QUEUED
from app.jobs import live_workers
from app.neurons.contexts import SubjectSummary
from app.neurons.queries import recorded_subjects
from app.neurons.records import Side
from app.web.templating import PageContext

MOST_BATCHES_LISTED = 100


@dataclass(frozen=True)
class BatchLine:
    """A batch in one line. methods: titles in the paper's order. side: which end of the neurons' range it explains."""

    id: int
    subject: str
    side: Side
    methods: tuple[str, ...]
    explainer: str
    status: str
    failure: str | None
    n_explanations: int
    created_at: datetime

    @property
    def is_under_way(self) -> bool:
        return self.status in (QUEUED, RUNNING)


@dataclass(frozen=True)
class BatchListPage(PageContext):
    """What templates/batches/batches.html shows.

    batches: the newest hundred, newest first.
    n_workers: how many workers are alive.
    """

    template: ClassVar[str] = "batches/batches.html"
    batches: tuple[BatchLine, ...]
    n_workers: int


@dataclass(frozen=True)
class NewBatchPage(PageContext):
    """What templates/batches/new.html shows.

    subjects: the recorded subject models.
    methods: (name, title) of every method, in the paper's order.
    form: what was typed.
    problem: why it could not be ordered, or empty.
    """

    template: ClassVar[str] = "batches/new.html"
    subjects: tuple[SubjectSummary, ...]
    methods: tuple[tuple[str, str], ...]
    form: NewBatchForm
    problem: str


@dataclass(frozen=True)
class BatchPage(PageContext):
    """What templates/batches/batch.html shows.

    batch: what was ordered.
    progress: how far it is.
    n_workers: how many workers are alive.
    settings: (name, value) of the explainer's settings that were chosen.
    """

    template: ClassVar[str] = "batches/batch.html"
    batch: BatchLine
    progress: BatchProgress
    n_workers: int
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class BatchProgressPart(PageContext):
    """What templates/batches/_progress.html shows, by itself or within the page of the batch.

    batch: what was ordered.
    progress: how far it is.
    n_workers: how many workers are alive.
    """

    template: ClassVar[str] = "batches/_progress.html"
    batch: BatchLine
    progress: BatchProgress
    n_workers: int


def batch_list_page(session: Session) -> BatchListPage:
    newest = session.scalars(sa.select(Batch).order_by(Batch.id.desc()).limit(MOST_BATCHES_LISTED))
    return BatchListPage(tuple(_line(batch) for batch in newest), len(live_workers(session, utc_now())))


def new_batch_page(session: Session, form: NewBatchForm, problem: str = "") -> NewBatchPage:
    return NewBatchPage(recorded_subjects(session), tuple(METHOD_TITLES.items()), form, problem)


def batch_page(session: Session, batch_id: int) -> BatchPage:
    """Errors: UnknownName."""
    part = batch_progress_part(session, batch_id)
    chosen = find_batch(session, batch_id).settings
    settings = tuple((name.replace("_", " "), str(value)) for name, value in chosen.items() if value is not None)
    return BatchPage(part.batch, part.progress, part.n_workers, settings)


def batch_progress_part(session: Session, batch_id: int) -> BatchProgressPart:
    """Errors: UnknownName."""
    batch = find_batch(session, batch_id)
    return BatchProgressPart(_line(batch), batch_progress(session, batch_id), len(live_workers(session, utc_now())))


def _line(batch: Batch) -> BatchLine:
    return BatchLine(
        id=batch.id,
        subject=batch.subject.name,
        side=batch.settings.get("side", "positive"),
        methods=tuple(method_title(method) for method in batch.methods),
        explainer=batch.explainer,
        status=batch.status,
        failure=batch.failure,
        n_explanations=batch.n_explanations,
        created_at=batch.created_at,
    )
