"""A study's results as CSV, for anyone to recompute them from. Numbers are written in full, never rounded.

ratings.csv: one row per rater, neuron and condition. `rating` 1-5, empty where `cannot_judge` is 1; `best` 1 on the
best pick's card and `best_share` 1 over its conditions; `excluded`: why the declared rules leave the rater out, empty:
they do not. Table 5 is made of the rows with cannot_judge 0 and excluded empty.

judgements.csv: one row per rater and neuron. `position` in the rater's order from 1; `cannot_judge`: the reason, empty:
judged; `check_rating` 1-5 and `check_failed`, `best_on_check` 0 or 1, all empty without a check; `evidence`: ranks from
0 of the excerpts shown, by band, as JSON.

raters.csv: one row per rater who was invited. `external_id` and `completion_code` only in an admin's copy.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib import metadata

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import Database
from app.studies.invitations import completion_code
from app.studies.models import Rater, Study
from app.studies.protocol import Protocol
from app.studies.queries import counted_raters, study_with_results
from app.studies.results.exclusion import excluded_raters
from app.studies.results.judgements import judgement_rows, qualities
from app.studies.results.quality import NOTHING_JUDGED, JudgementRow, RaterQuality, is_too_fast
from app.studies.results.ratings import RatingRow, rating_rows
from app.studies.results.summary import study_results
from app.studies.running.raters import PracticeAttempt, practice_attempts

RATINGS_HEADER = (
    "study,rater,subject,layer,neuron,method,explainer,explanation,card_position,methods_on_card,rating,best,best_share,"
    "cannot_judge,seconds,revisions,submitted_at,design_hash,app_version,excluded\n"
)
JUDGEMENTS_HEADER = (
    "study,rater,subject,layer,neuron,position,submitted_at,seconds,revisions,cannot_judge,comment,check_rating,"
    "check_failed,best_on_check,straight_line,too_fast,evidence,design_hash,app_version\n"
)
RATERS_HEADER = (
    "study,rater,invited_at,consented_at,practice_attempts,practice_right,finished_at,n_judged,median_seconds,n_too_fast,"
    "n_straight_line,n_checks,n_checks_failed,excluded,external_id,completion_code,comment\n"
)
TABLE5_HEADER = "explainer,method,n,mean_rating,sem,share_best\n"
Cell = str | int | float | None
Lines = Callable[[Session, str], Iterator[str]]


def ratings_csv(session: Session, slug: str) -> Iterator[str]:
    """The lines of ratings.csv, its header first, read as they are written out.

    Errors, at the call and not at the first line: UnknownName; Conflict under the embargo.
    """
    return _ratings_lines(session, study_with_results(session, slug))


def judgements_csv(session: Session, slug: str) -> Iterator[str]:
    """The lines of judgements.csv, like `ratings_csv`."""
    return _judgement_lines(session, study_with_results(session, slug))


def stream(database: Database, slug: str, lines: Lines) -> Iterator[str]:
    """The lines of one of these files out of a transaction of their own. Errors: as the file's, at the call.

    For an answer that is still being sent when the request's session has ended.
    """
    with database.reading() as session:
        study_with_results(session, slug)
    return _in_own_transaction(database, slug, lines)


def _in_own_transaction(database: Database, slug: str, lines: Lines) -> Iterator[str]:
    with database.reading() as session:
        yield from lines(session, slug)


def _ratings_lines(session: Session, study: Study) -> Iterator[str]:
    version = metadata.version("neuronjury")
    yield RATINGS_HEADER
    for row in rating_rows(session, study):
        yield csv_line(_rating_cells(study, row, version))


def _rating_cells(study: Study, row: RatingRow, version: str) -> list[Cell]:
    return [
        study.slug,
        row.rater,
        study.subject.name,
        row.layer,
        row.neuron,
        row.method,
        row.explainer,
        row.explanation,
        row.card_position,
        "+".join(row.methods_on_card),
        row.rating,
        int(row.is_best),
        row.best_share,
        int(row.cannot_judge),
        row.seconds,
        row.revisions,
        row.submitted_at.isoformat(),
        study.design_hash,
        version,
        row.excluded,
    ]


def _judgement_lines(session: Session, study: Study) -> Iterator[str]:
    version = metadata.version("neuronjury")
    too_fast_seconds = Protocol.model_validate(study.protocol).too_fast_seconds
    yield JUDGEMENTS_HEADER
    for row in judgement_rows(session, study):
        yield csv_line([*_judgement_cells(study, row, too_fast_seconds), study.design_hash, version])


def _judgement_cells(study: Study, row: JudgementRow, too_fast_seconds: float) -> list[Cell]:
    has_check = row.check_rating is not None
    return [
        study.slug,
        f"rater-{row.rater_number}",
        study.subject.name,
        row.layer,
        row.neuron,
        row.position,
        row.submitted_at.isoformat(),
        row.seconds,
        row.revisions,
        row.cannot_judge,
        row.comment,
        row.check_rating,
        int(bool(row.is_check_failed)) if has_check else None,
        int(row.is_check_best) if has_check else None,
        int(row.is_straight_line),
        int(is_too_fast(row, too_fast_seconds)),
        json.dumps(row.evidence, sort_keys=True),
    ]


def raters_csv(session: Session, slug: str, *, names_people: bool) -> str:
    """raters.csv. names_people: with outside names and completion codes, for admins alone.

    Errors: UnknownName; Conflict under the embargo.
    """
    study = study_with_results(session, slug)
    of_raters, attempts = qualities(session, study), practice_attempts(session, study)
    excluded = excluded_raters(of_raters, Protocol.model_validate(study.protocol))
    query = sa.select(Rater).where(counted_raters(study.id)).order_by(Rater.number)
    lines = []
    for rater in session.scalars(query):
        quality = of_raters.get(rater.number, NOTHING_JUDGED)
        cells = _rater_cells(study, rater, quality, attempts.get(rater.number, ()))
        lines.append([*cells, excluded.get(rater.number), *_names(study, rater, names_people), rater.comment])
    return RATERS_HEADER + "".join(csv_line(line) for line in lines)


def _rater_cells(study: Study, rater: Rater, quality: RaterQuality, attempts: Sequence[PracticeAttempt]) -> list[Cell]:
    return [
        study.slug,
        f"rater-{rater.number}",
        rater.invited_at.isoformat(),
        _moment(rater.consented_at),
        len(attempts),
        sum(attempt.n_right for attempt in attempts),
        _moment(rater.finished_at),
        quality.n_judged,
        quality.median_seconds,
        quality.n_too_fast,
        quality.n_straight_line,
        quality.n_checks,
        quality.n_checks_failed,
    ]


def _names(study: Study, rater: Rater, names_people: bool) -> tuple[Cell, Cell]:
    # Who has the code of somebody who has not finished could claim a reward that is not due.
    code = completion_code(study, rater) if names_people and rater.finished_at is not None else None
    return (rater.external_id if names_people else None, code)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def table5_csv(session: Session, slug: str) -> str:
    """Table 5 as CSV, its numbers in full. Errors: UnknownName; Conflict under the embargo."""
    rows = study_results(session, slug).rows
    lines = [[row.explainer, row.method, row.n, row.mean_rating, row.sem, row.share_best] for row in rows]
    return TABLE5_HEADER + "".join(csv_line(line) for line in lines)


def csv_line(cells: Sequence[Cell]) -> str:
    """One line of CSV (RFC 4180, but ended by a bare newline); None is an empty cell, floats keep every digit."""
    line = io.StringIO()
    # The writer puts quotes around a cell only for characters of its own line end, and a reader takes a bare carriage
    # return without quotes for the end of the row.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"
