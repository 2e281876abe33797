"""A closed study as CSV, for anyone to recompute its results from. Numbers are written in full, never rounded."""

import csv
import io
from collections.abc import Iterator, Sequence
from importlib import metadata

from sqlalchemy.orm import Session

from app.database import Database
from app.studies.models import Study
from app.studies.queries import closed_study, study_results
from app.studies.ratings import RatingRow, rating_rows

RATINGS_HEADER = (
    "study,rater,subject,layer,neuron,method,explainer,explanation,card_position,methods_on_card,rating,best,best_share,"
    "cannot_judge,seconds,revisions,submitted_at,design_hash,app_version\n"
)
TABLE5_HEADER = "explainer,method,n,mean_rating,sem,share_best\n"
Cell = str | int | float | None


def ratings_csv(session: Session, slug: str) -> Iterator[str]:
    """The lines of ratings.csv, its header first, read as they are written out.

    Errors, at the call and not at the first line: UnknownName; Conflict while the study is not closed.
    """
    return _ratings_lines(session, closed_study(session, slug))


def stream_ratings_csv(database: Database, slug: str) -> Iterator[str]:
    """The same with a transaction of its own.

    For an answer that is still being sent when the request's session has ended.
    """
    with database.reading() as session:
        closed_study(session, slug)
    return _lines_in_own_transaction(database, slug)


def _lines_in_own_transaction(database: Database, slug: str) -> Iterator[str]:
    with database.reading() as session:
        yield from ratings_csv(session, slug)


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
        # Raters cannot say so yet; the column is there so that readers of the file need not change when they can.
        0,
        row.seconds,
        row.revisions,
        row.submitted_at.isoformat(),
        study.design_hash,
        version,
    ]


def table5_csv(session: Session, slug: str) -> str:
    """Table 5 as CSV, its numbers in full. Errors: UnknownName; Conflict while the study is not closed."""
    rows = study_results(session, slug).rows
    lines = [[row.explainer, row.method, row.n, row.mean_rating, row.sem, row.share_best] for row in rows]
    return TABLE5_HEADER + "".join(csv_line(line) for line in lines)


def csv_line(cells: Sequence[Cell]) -> str:
    """One line of CSV (RFC 4180, but ended by a bare newline); None is an empty cell, floats keep every digit."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
