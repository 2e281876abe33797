"""What the pages of batches show, put together from queries. Plain values: no ORM row reaches a template."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.forms import BudgetForm
from app.batches.life import UNDER_WAY, find_batch
from app.batches.models import CANCELLED, DONE, FAILED, PAUSED, SCORES, Batch
from app.batches.progress import BatchProgress, batch_progress, has_calls_under_way, rows_and_failures
from app.batches.wording import as_a_sentence_begins, dollars, duration
from app.database import utc_now
from app.explanations.explainers import OPENAI
from app.explanations.methods import method_title
from app.explanations.scoring.settings import METRIC_TITLES
from app.jobs import live_workers
from app.neurons.records import Side
from app.web.templating import PageContext

MOST_BATCHES_LISTED = 100
_SHOWN_ELSEWHERE = ("ordered_for", "side", "metric")
_PRICE = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens")
_SETTING_NAMES = {
    "base_url": "server",
    "local_path": "folder of the model",
    "max_tokens": "answer tokens at most",
    "n_context": "context, tokens",
    "usd_per_million_prompt_tokens": "price of a million prompt tokens",
    "usd_per_million_completion_tokens": "price of a million answer tokens",
    "price_as_of": "price as of",
    "n_in_flight": "calls at once",
    "timeout_seconds": "time-out, seconds",
    "n_retries": "tries after a lost connection",
    "n_excerpts": "number of excerpts",
    "n_few_shots": "few-shot neurons",
}


@dataclass(frozen=True)
class BatchLine:
    """A batch in one line.

    makes: what its rows are, `explanations` or `scores`. metric: of scores, as people name it, else empty.
    methods: titles in the paper's order.
    side: which end of the neurons' range it explains. explainer: who is asked.
    chosen: how its neurons were chosen, in words, or empty.
    failure: why it failed or was paused by itself, as a sentence begins.
    n_failed: of its rows. n_rows: that it has made or has yet to make. has_calls_under_way: whether it is paused and
    answers still come in.
    """

    id: int
    subject: str
    makes: str
    metric: str
    is_of_scores: bool
    side: Side
    methods: tuple[str, ...]
    explainer: str
    chosen: str
    status: str
    failure: str | None
    n_explanations: int
    created_at: datetime
    n_failed: int
    n_rows: int
    has_calls_under_way: bool = False

    @property
    def is_under_way(self) -> bool:
        return self.status in UNDER_WAY

    @property
    def is_followed(self) -> bool:
        """Whether its numbers may change by themselves."""
        return self.is_under_way or self.has_calls_under_way

    @property
    def has_come_to_nothing(self) -> bool:
        """Done, and all of it failed."""
        return self.status == DONE and 0 < self.n_failed == self.n_rows

    @property
    def can_be_resumed(self) -> bool:
        return self.status in (PAUSED, FAILED)

    @property
    def can_be_retried(self) -> bool:
        """What a cancelled batch lacks was cancelled, too."""
        return not self.is_under_way and self.status != CANCELLED

    @property
    def can_be_cancelled(self) -> bool:
        return self.is_under_way or self.status == PAUSED


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
class SpentLine:
    """What was spent of what, as people read it. share: of the budget, from 0 to 1; None without a budget. note: why it
    is unknown, or empty."""

    spent: str
    budget: str | None
    share: float | None
    note: str = ""


@dataclass(frozen=True)
class BatchPage(PageContext):
    """What templates/batches/batch.html shows.

    batch: what was ordered.
    progress: how far it is.
    money, tokens: what it has spent.
    speed: explanations or scores a second and what time is left, in words; empty when it is not running.
    n_workers: how many workers are alive.
    settings: (name, value) of the settings that were chosen.
    budget_form: what the fields of its budget hold.
    budget_problem: why the budget could not be raised, or empty.
    """

    template: ClassVar[str] = "batches/batch.html"
    batch: BatchLine
    progress: BatchProgress
    money: SpentLine
    tokens: SpentLine
    speed: str
    n_workers: int
    settings: tuple[tuple[str, str], ...]
    budget_form: BudgetForm
    budget_problem: str


@dataclass(frozen=True)
class BatchProgressPart(PageContext):
    """What templates/batches/_progress.html shows, by itself or within the page of the batch.

    batch: what was ordered.
    progress: how far it is.
    money, tokens: what it has spent.
    speed: explanations or scores a second and what time is left, in words; empty when it is not running.
    n_workers: how many workers are alive.
    """

    template: ClassVar[str] = "batches/_progress.html"
    batch: BatchLine
    progress: BatchProgress
    money: SpentLine
    tokens: SpentLine
    speed: str
    n_workers: int


def batch_list_page(session: Session) -> BatchListPage:
    newest = session.scalars(sa.select(Batch).order_by(Batch.id.desc()).limit(MOST_BATCHES_LISTED)).all()
    counts = rows_and_failures(session, [batch.id for batch in newest])
    lines = tuple(_line(batch, *counts.get(batch.id, (0, 0))) for batch in newest)
    return BatchListPage(lines, len(live_workers(session, utc_now())))


def batch_page(session: Session, batch_id: int, sent: BudgetForm | None = None, problem: str = "") -> BatchPage:
    """sent: a budget that could not be raised, and the problem with it. Errors: UnknownName."""
    part = batch_progress_part(session, batch_id)
    chosen = find_batch(session, batch_id).settings
    shown = tuple(
        (_SETTING_NAMES.get(name, name.replace("_", " ")), _setting(name, value))
        for name, value in chosen.items()
        if value is not None and name not in _SHOWN_ELSEWHERE
    )
    form = sent or _budget_form(part.progress)
    return BatchPage(
        part.batch, part.progress, part.money, part.tokens, part.speed, part.n_workers, shown, form, problem
    )


def _budget_form(progress: BatchProgress) -> BudgetForm:
    usd, tokens = progress.budget_usd, progress.budget_tokens
    return BudgetForm(
        budget_usd="" if usd is None else f"{usd:.12g}", budget_tokens="" if tokens is None else str(tokens)
    )


def batch_progress_part(session: Session, batch_id: int) -> BatchProgressPart:
    """Errors: UnknownName."""
    batch = find_batch(session, batch_id)
    progress = batch_progress(session, batch_id)
    line = _line(batch, progress.n_to_make, progress.n_failed)
    return BatchProgressPart(
        replace(line, has_calls_under_way=batch.status == PAUSED and has_calls_under_way(session, batch, utc_now())),
        progress,
        _money(progress, batch),
        _tokens(progress),
        _speed(progress),
        len(live_workers(session, utc_now())),
    )


def _line(batch: Batch, n_rows: int, n_failed: int) -> BatchLine:
    is_of_scores = batch.kind == SCORES
    metric = batch.settings.get("metric", "") if is_of_scores else ""
    makes = "score" if is_of_scores else "explanation"
    return BatchLine(
        id=batch.id,
        subject=batch.subject.name,
        makes=makes if batch.n_explanations == 1 else f"{makes}s",
        metric=METRIC_TITLES.get(metric, metric),
        is_of_scores=is_of_scores,
        side=batch.settings.get("side", "positive"),
        methods=tuple(method_title(method) for method in batch.methods),
        explainer=batch.explainer,
        chosen=batch.settings.get("ordered_for") or "",
        status=batch.status,
        failure=batch.failure and as_a_sentence_begins(batch.failure),
        n_explanations=batch.n_explanations,
        created_at=batch.created_at,
        n_failed=n_failed,
        n_rows=n_rows,
    )


def _setting(name: str, value: Any) -> str:
    return dollars(value) if name in _PRICE else f"{value:g}" if isinstance(value, float) else str(value)


def _money(progress: BatchProgress, batch: Batch) -> SpentLine:
    is_unpriced = batch.explainer.startswith(f"{OPENAI}:") and batch.settings.get(_PRICE[0]) is None
    if is_unpriced:
        return SpentLine("unknown", None, None, note="no price was entered")
    spent, bound = dollars(progress.spent_usd), progress.budget_usd
    return SpentLine(spent, None if bound is None else dollars(bound), _share(progress.spent_usd, bound))


def _tokens(progress: BatchProgress) -> SpentLine:
    bound = progress.budget_tokens
    budget = None if bound is None else f"{bound:,}"
    return SpentLine(f"{progress.spent_tokens:,}", budget, _share(progress.spent_tokens, bound))


def _share(spent: float, budget: float | None) -> float | None:
    return None if budget is None else min(1.0, spent / budget)


def _speed(progress: BatchProgress) -> str:
    if progress.rows_per_second is None or progress.seconds_left is None:
        return ""
    per_second = progress.rows_per_second
    # Slow models make a handful in a minute; "0.1 a second" would say little.
    rate = f"{per_second:.1f} a second" if per_second >= 1 else f"{60 * per_second:.0f} a minute"
    return f"{rate}, about {duration(progress.seconds_left)} left"
