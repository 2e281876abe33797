"""What pages show of a study's end: the questions before closing and unmasking, and the results."""

from dataclasses import dataclass
from importlib import metadata
from typing import ClassVar

from app.explanations.methods import method_title
from app.studies.queries import StudyStatus
from app.studies.results.exclusion import declared_rules
from app.studies.results.summary import StudyResults
from app.studies.results.table5 import Table5Row, mean_cell, share_cell
from app.studies.running.pages import HistoryLine
from app.studies.wording import citation, said
from app.web.templating import PageContext

SMALLEST_RATING, LARGEST_RATING = 1, 5


@dataclass(frozen=True)
class ClosingPage(PageContext):
    """What templates/studies/close.html shows: the question before the step that cannot be taken back.

    study: the study, with its counts.
    """

    template: ClassVar[str] = "studies/close.html"
    study: StudyStatus


@dataclass(frozen=True)
class UnmaskingPage(PageContext):
    """What templates/studies/unmask.html shows: the question before results are seen early.

    study: the study, with its counts.
    reason: what was typed.
    problem: why it was refused, or None.
    """

    template: ClassVar[str] = "studies/unmask.html"
    study: StudyStatus
    reason: str
    problem: str | None


@dataclass(frozen=True)
class HiddenResultsPage(PageContext):
    """What templates/studies/hidden_results.html shows under the embargo.

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

    results: the study and what its table rests on.
    lines: Table 5 as declared, one line per condition.
    lines_of_all: the same with the excluded raters; empty when none is excluded.
    excluded: (name of the rater, why the rules leave the rater out).
    rules: the rules as declared, one sentence each.
    unmaskings: when results were made visible before the closing, oldest first.
    history: what was done to the study, oldest first.
    citation: the design in one sentence.
    """

    template: ClassVar[str] = "studies/results.html"
    results: StudyResults
    lines: tuple[Table5Line, ...]
    lines_of_all: tuple[Table5Line, ...]
    excluded: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    unmaskings: tuple[HistoryLine, ...]
    history: tuple[HistoryLine, ...]
    citation: str


def results_page(results: StudyResults) -> ResultsPage:
    return ResultsPage(
        results=results,
        lines=_lines(results.rows),
        lines_of_all=_lines(results.rows_of_all) if results.excluded else (),
        excluded=tuple((f"rater-{number}", reason) for number, reason in sorted(results.excluded.items())),
        rules=declared_rules(results.protocol),
        unmaskings=tuple(HistoryLine(line.at, line.who, said(line)) for line in results.unmaskings),
        history=tuple(HistoryLine(line.at, line.who, said(line)) for line in results.events),
        citation=citation(results, metadata.version("neuronjury")),
    )


def _lines(rows: tuple[Table5Row, ...]) -> tuple[Table5Line, ...]:
    return tuple(_line(row) for row in rows)


def _line(row: Table5Row) -> Table5Line:
    sem = row.sem or 0.0
    return Table5Line(
        method=method_title(row.method),
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
