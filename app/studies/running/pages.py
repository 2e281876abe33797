"""What pages show admins of a study while it runs, as plain values: counts and paces, no judgement."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from sqlalchemy.orm import Session

from app.studies.audit import audit_lines
from app.studies.models import CLOSED
from app.studies.protocol import Protocol
from app.studies.queries import StudyStatus, study_named, study_status
from app.studies.results.exclusion import declared_rules, exclusion_reason
from app.studies.results.judgements import qualities
from app.studies.results.quality import NOTHING_JUDGED, RaterQuality
from app.studies.running.coverage import Coverage, coverage
from app.studies.running.raters import STALLED, UNDER_WAY, RaterLine, rater_lines, raters_by_stage
from app.studies.wording import (
    ago,
    checks_in_words,
    condition_titles,
    evidence_in_words,
    said,
    sharing_in_words,
    steps_in_words,
)
from app.web.formatting import paragraphs
from app.web.templating import PageContext

RESUME, INVITE, RECLAIM, WAIT, CLOSE, RESULTS = "resume", "invite", "reclaim", "wait", "close", "results"
"""The one thing to do next."""


@dataclass(frozen=True)
class ProgressView:
    """How far a study is. n_judged of n_wanted judgements are in; stages: (stage, how many raters are at it).

    is_running: it may change any moment.
    """

    slug: str
    n_judged: int
    n_wanted: int
    stages: tuple[tuple[str, int], ...]
    is_running: bool


@dataclass(frozen=True)
class RaterRow:
    """A rater in the table. seen: in relative words. excluded: why the declared rules would leave the rater out."""

    line: RaterLine
    quality: RaterQuality
    seen: str
    excluded: str | None


@dataclass(frozen=True)
class HistoryLine:
    """What was done to a study, in words, when and by whom."""

    at: datetime
    who: str
    what: str


@dataclass(frozen=True)
class StudyPage(PageContext):
    """What templates/studies/study.html shows of an open or closed study.

    study: state, design and counts.
    step: the one thing to do next.
    progress: counts that refresh themselves.
    raters: one row per rater, by number.
    coverage: judgements by neuron, layer and condition.
    condition_names: (title of the method, explainer) in the order of the tables.
    neuron_set: (name, value) pairs of how the neurons were chosen.
    protocol: (name, value) pairs of how the study is run.
    rules: which raters the analysis leaves out, as declared, one sentence each.
    instructions: what raters are asked to do, one entry per paragraph.
    history: what was done to the study, oldest first.
    """

    template: ClassVar[str] = "studies/study.html"
    study: StudyStatus
    step: str
    progress: ProgressView
    raters: tuple[RaterRow, ...]
    coverage: Coverage
    condition_names: tuple[tuple[str, str], ...]
    neuron_set: tuple[tuple[str, str], ...]
    protocol: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    instructions: tuple[str, ...]
    history: tuple[HistoryLine, ...]


@dataclass(frozen=True)
class ProgressPart(PageContext):
    """What templates/studies/_study_progress.html shows, in place of itself.

    progress: the counts.
    """

    template: ClassVar[str] = "studies/_study_progress.html"
    progress: ProgressView


# Filled in ------------------------------------------------------------------------------------------------------------


def study_page(session: Session, slug: str, now: datetime) -> StudyPage:
    """The page of an open or closed study. Errors: UnknownName."""
    study, status = study_named(session, slug), study_status(session, slug)
    lines = rater_lines(session, study, now)
    of_raters = qualities(session, study)
    rows = tuple(_row(line, of_raters.get(line.number, NOTHING_JUDGED), status.protocol, now) for line in lines)
    return StudyPage(
        study=status,
        step=next_step(status, lines),
        progress=_progress(status, lines),
        raters=rows,
        coverage=coverage(session, study, max(status.protocol.n_raters, status.n_raters)),
        condition_names=condition_titles(status.conditions),
        neuron_set=_neuron_set(status),
        protocol=protocol_in_words(status.protocol),
        rules=declared_rules(status.protocol),
        instructions=paragraphs(status.instructions),
        history=tuple(HistoryLine(line.at, line.who, said(line)) for line in audit_lines(session, study)),
    )


def progress_part(session: Session, slug: str, now: datetime) -> ProgressPart:
    """Errors: UnknownName."""
    status = study_status(session, slug)
    return ProgressPart(_progress(status, rater_lines(session, study_named(session, slug), now)))


def next_step(status: StudyStatus, lines: tuple[RaterLine, ...]) -> str:
    """What to do now, one of the steps above."""
    if status.status == CLOSED:
        return RESULTS
    if status.paused_at is not None:
        return RESUME
    if status.n_judged >= status.n_wanted:
        return CLOSE
    if any(line.stage == STALLED and line.n_open for line in lines):
        return RECLAIM
    may_come = status.has_joining_link or any(line.stage in UNDER_WAY for line in lines)
    return WAIT if may_come else INVITE


def protocol_in_words(protocol: Protocol) -> tuple[tuple[str, str], ...]:
    """(name, value) pairs of how a study is run."""
    return (
        ("Planned raters", f"{protocol.n_raters:,}"),
        ("Who judges what", sharing_in_words(protocol)),
        ("Excerpts shown", evidence_in_words(protocol)),
        ("Steps of a rater", steps_in_words(protocol)),
        ("Attention checks", checks_in_words(protocol)),
        ("Lease", f"{protocol.lease_hours} hours without a sign of life"),
    )


def _row(line: RaterLine, quality: RaterQuality, protocol: Protocol, now: datetime) -> RaterRow:
    return RaterRow(line, quality, ago(line.seen_at, now), exclusion_reason(quality, protocol))


def _progress(status: StudyStatus, lines: tuple[RaterLine, ...]) -> ProgressView:
    stages = raters_by_stage(lines)
    return ProgressView(status.slug, status.n_judged, status.n_wanted, stages, status.status != CLOSED)


def _neuron_set(status: StudyStatus) -> tuple[tuple[str, str], ...]:
    """How the neurons were chosen, all but their number, which stands beside it."""
    shown = {name: value for name, value in status.neuron_set.items() if name != "n_neurons"}
    return tuple((_label(name), _text(value)) for name, value in shown.items())


def _label(name: str) -> str:
    return name.replace("n_per", "neurons per").replace("_", " ").capitalize()


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
