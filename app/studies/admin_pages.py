"""What pages show admins and researchers about studies, as plain values: no judgement while a study is open."""

from dataclasses import dataclass, replace
from typing import ClassVar

from app.explanations.methods import METHOD_TITLES
from app.studies.choices import ConditionChoice
from app.studies.forms import NewStudyForm
from app.studies.lifecycle import LintFinding
from app.studies.models import CLOSED, DRAFT
from app.studies.queries import StudyResults, StudyStatus, StudySummary
from app.studies.rater_pages import paragraphs
from app.studies.table5 import Table5Row, mean_cell, share_cell
from app.web.templating import PageContext

SMALLEST_RATING, LARGEST_RATING = 1, 5


@dataclass(frozen=True)
class StudyLine:
    """A study in the list. next_step: what to do now, one phrase; next_path: where, or None for nobody but admins."""

    summary: StudySummary
    next_step: str
    next_path: str | None


@dataclass(frozen=True)
class StudyListPage(PageContext):
    """What templates/studies/studies.html shows.

    studies: all studies, newest first, each with its next step.
    can_manage: whether the visitor is an admin.
    """

    template: ClassVar[str] = "studies/studies.html"
    studies: tuple[StudyLine, ...]
    can_manage: bool


@dataclass(frozen=True)
class NewStudyPage(PageContext):
    """What templates/studies/new.html shows.

    subjects: names of the recorded subject models.
    choices: the conditions for which the chosen subject has explanations.
    form: what is filled in; after a refusal, what was sent.
    problem: why the form was refused, or None.
    """

    template: ClassVar[str] = "studies/new.html"
    subjects: tuple[str, ...]
    choices: tuple[ConditionChoice, ...]
    form: NewStudyForm
    problem: str | None


@dataclass(frozen=True)
class StudyPage(PageContext):
    """What templates/studies/study.html shows.

    study: state, conditions, neurons and each rater's progress as counts.
    conditions: (title of the method, explainer) in the order of the tables.
    neuron_set: (name, value) pairs of how the neurons were chosen.
    instructions: what raters are asked to do, one entry per paragraph.
    findings: what blocks the opening of a draft.
    """

    template: ClassVar[str] = "studies/study.html"
    study: StudyStatus
    conditions: tuple[tuple[str, str], ...]
    neuron_set: tuple[tuple[str, str], ...]
    instructions: tuple[str, ...]
    findings: tuple[LintFinding, ...]


@dataclass(frozen=True)
class InvitationsPage(PageContext):
    """What templates/studies/invitations.html shows, once: only hashes of the codes are kept.

    slug: the study's.
    title: the study's.
    links: one per rater, whole addresses.
    n_days: for how many days they hold.
    """

    template: ClassVar[str] = "studies/invitations.html"
    slug: str
    title: str
    links: tuple[str, ...]
    n_days: int


@dataclass(frozen=True)
class ClosingPage(PageContext):
    """What templates/studies/close.html shows: the question before the step that cannot be taken back.

    study: the study, with each rater's progress.
    """

    template: ClassVar[str] = "studies/close.html"
    study: StudyStatus


@dataclass(frozen=True)
class HiddenResultsPage(PageContext):
    """What templates/studies/hidden_results.html shows while a study is not closed.

    study: the study; its counts, no judgement.
    """

    template: ClassVar[str] = "studies/hidden_results.html"
    study: StudyStatus


@dataclass(frozen=True)
class Table5Line:
    """A condition's line of Table 5 as shown.

    method, explainer: the method's title and the explainer. n: ratings. mean, best: cells as the paper prints them.
    position, low, high: the mean and one standard error to both sides, in percent of the scale 1-5, or None.
    """

    method: str
    explainer: str
    n: int
    mean: str
    best: str
    position: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ResultsPage(PageContext):
    """What templates/studies/results.html shows.

    results: the closed study and what its table rests on.
    lines: Table 5, one line per condition.
    """

    template: ClassVar[str] = "studies/results.html"
    results: StudyResults
    lines: tuple[Table5Line, ...]


def study_line(summary: StudySummary, can_manage: bool) -> StudyLine:
    if summary.status == CLOSED:
        return StudyLine(summary, "See the results", f"/studies/{summary.slug}/results")
    return StudyLine(summary, _next_step(summary), f"/studies/{summary.slug}" if can_manage else None)


def _next_step(summary: StudySummary) -> str:
    if summary.status == DRAFT:
        return "Open it"
    if summary.n_raters == 0:
        return "Invite raters"
    return "Wait for judgements" if summary.n_judged < summary.n_assignments else "Close it"


def study_page(study: StudyStatus, findings: tuple[LintFinding, ...]) -> StudyPage:
    conditions = tuple((METHOD_TITLES.get(method, method), explainer) for method, explainer in study.conditions)
    titled = tuple(replace(finding, method=METHOD_TITLES.get(finding.method, finding.method)) for finding in findings)
    return StudyPage(study, conditions, _neuron_set(study), paragraphs(study.instructions), titled)


def _neuron_set(study: StudyStatus) -> tuple[tuple[str, str], ...]:
    """How the neurons were chosen, all but their number, which stands beside it."""
    shown = {name: value for name, value in study.neuron_set.items() if name != "n_neurons"}
    return tuple((name.replace("_", " ").capitalize(), _text(value)) for name, value in shown.items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def results_page(results: StudyResults) -> ResultsPage:
    return ResultsPage(results, tuple(_table5_line(row) for row in results.rows))


def _table5_line(row: Table5Row) -> Table5Line:
    sem = row.sem or 0.0
    return Table5Line(
        method=METHOD_TITLES.get(row.method, row.method),
        explainer=row.explainer,
        n=row.n,
        mean=mean_cell(row),
        best=share_cell(row),
        position=_position(row.mean_rating, 0.0),
        low=_position(row.mean_rating, -sem),
        high=_position(row.mean_rating, sem),
    )


def _position(rating: float | None, offset: float) -> float | None:
    """Percent of the way from 1 to 5, kept inside it."""
    if rating is None:
        return None
    inside = min(max(rating + offset, SMALLEST_RATING), LARGEST_RATING)
    return round(100 * (inside - SMALLEST_RATING) / (LARGEST_RATING - SMALLEST_RATING), 2)
