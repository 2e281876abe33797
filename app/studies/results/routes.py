"""A study's results and files, for researchers and admins: hidden until the closing, unless an admin unmasks them."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.database import utc_now
from app.errors import NeuronJuryError
from app.explanations.viewing import note_view
from app.studies import queries
from app.studies.results import export
from app.studies.results.pages import HiddenResultsPage, UnmaskingPage, results_page
from app.studies.results.summary import study_results
from app.studies.results.unmasking import unmask
from app.studies.running import seeing
from app.web.dependencies import CurrentAdmin, CurrentResearcher, SessionDep
from app.web.templating import page, redirect
from app.web.visitors import ADMIN, Visitor

router = APIRouter()
CSV = "text/csv; charset=utf-8"


@router.get("/{slug}/results")
def results(slug: str, request: Request, session: SessionDep, visitor: CurrentResearcher) -> Response:
    status = queries.study_status(session, slug)
    if not status.are_results_open:
        return page(request, HiddenResultsPage(status))
    _note(request, visitor, seeing.neuron_ids(session, queries.study_named(session, slug)))
    return page(request, results_page(study_results(session, slug)))


@router.get("/{slug}/ratings.csv")
def ratings_csv(slug: str, request: Request, visitor: CurrentResearcher) -> Response:
    return _streamed(slug, request, visitor, "ratings", export.ratings_csv)


@router.get("/{slug}/judgements.csv")
def judgements_csv(slug: str, request: Request, visitor: CurrentResearcher) -> Response:
    return _streamed(slug, request, visitor, "judgements", export.judgements_csv)


@router.get("/{slug}/raters.csv")
def raters_csv(slug: str, session: SessionDep, visitor: CurrentResearcher) -> Response:
    csv = export.raters_csv(session, slug, names_people=visitor.role == ADMIN)
    return PlainTextResponse(csv, media_type=CSV, headers=download(slug, "raters"))


@router.get("/{slug}/table5.csv")
def table5_csv(slug: str, request: Request, session: SessionDep, visitor: CurrentResearcher) -> Response:
    csv = export.table5_csv(session, slug)
    _note(request, visitor, seeing.neuron_ids(session, queries.study_named(session, slug)))
    return PlainTextResponse(csv, media_type=CSV, headers=download(slug, "table5"))


@router.get("/{slug}/unmask")
def unmasking(slug: str, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, UnmaskingPage(queries.study_status(session, slug), reason="", problem=None))


@router.post("/{slug}/unmask")
def unmask_results(
    slug: str, request: Request, session: SessionDep, visitor: CurrentAdmin, reason: Annotated[str, Form()] = ""
) -> Response:
    try:
        unmask(session, slug, reason, utc_now(), visitor.name)
    except NeuronJuryError as error:
        session.rollback()
        asked_again = UnmaskingPage(queries.study_status(session, slug), reason, str(error))
        return page(request, asked_again, status=error.http_status)
    return redirect(f"/studies/{slug}/results", notice="The results are unmasked. This stays on record.")


def download(slug: str, name: str) -> dict[str, str]:
    """The header that makes a browser keep the answer as a file."""
    return {"Content-Disposition": f'attachment; filename="{slug}-{name}.csv"'}


def _streamed(slug: str, request: Request, visitor: Visitor, name: str, lines: export.Lines) -> Response:
    database = request.app.state.database
    answer = export.stream(database, slug, lines)
    with database.reading() as session:
        seen = seeing.neuron_ids(session, queries.study_named(session, slug))
    _note(request, visitor, seen)
    return StreamingResponse(answer, media_type=CSV, headers=download(slug, name))


def _note(request: Request, visitor: Visitor, neuron_ids: Sequence[int]) -> None:
    """Who saw results, or texts beside their methods, rates none of these neurons any more."""
    if visitor.account_id is not None:
        note_view(request.app.state.database, visitor.account_id, neuron_ids)
