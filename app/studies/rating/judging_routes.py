"""A neuron's page: shown, autosaved, submitted. Included by the router of raters' pages."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse

from app.database import utc_now
from app.errors import InvalidJudgement
from app.studies.forms import SentForm
from app.studies.models import Rater
from app.studies.rating.current_rater import ThisRater
from app.studies.rating.entries import Entries
from app.studies.rating.forms import JudgementForm, judgement_form
from app.studies.rating.judging import StaleJudgement, record_judgement, save_entries
from app.studies.rating.pages import rate_page
from app.studies.rating.reading import assignment_page, mark_shown, next_assignment, rater_progress
from app.web.dependencies import SessionDep
from app.web.templating import page, redirect

router = APIRouter()


@router.get("/rate/{token}")
def rate_neuron(token: str, request: Request, session: SessionDep, rater: ThisRater) -> Response:
    progress = rater_progress(session, rater)
    if not progress.is_open:
        return redirect("/rate")
    rating_page = assignment_page(session, rater, token)
    if not rating_page.was_shown:
        if progress.is_paused:
            return redirect("/rate")
        # Gives its connection back first: a request that holds one while it waits for a second starves the others.
        session.close()
        with request.app.state.database.writing() as own_session:
            mark_shown(own_session, rater, token, utc_now())
    return page(request, rate_page(rating_page))


@router.post("/rate/{token}")
def judge_neuron(token: str, request: Request, session: SessionDep, rater: ThisRater, form: SentForm) -> Response:
    entered = judgement_form(form)
    try:
        _record(session, rater, token, entered)
    except (InvalidJudgement, StaleJudgement) as refused:
        session.rollback()
        stored = assignment_page(session, rater, token)
        is_stale = isinstance(refused, StaleJudgement)
        return page(request, rate_page(stored, entered, is_stale=is_stale), status=refused.http_status)
    return redirect(_next_address(session, rater))


@router.post("/rate/{token}/save")
def save(token: str, session: SessionDep, rater: ThisRater, form: SentForm) -> Response:
    """Autosave, and the submission of browsers that run scripts.

    Answers {"version": n}, after a submission also {"next": path}; on a stale page, with 409, {"version", "entries",
    "error"} of what is stored.
    """
    entered = judgement_form(form)
    try:
        if entered.submits:
            version = _record(session, rater, token, entered)
            return JSONResponse({"version": version, "next": _next_address(session, rater)})
        version = save_entries(session, rater, token, entered.entries, entered.version, utc_now()).version
    except StaleJudgement as stale:
        session.rollback()
        stored = {"version": stale.version, "entries": entries_json(stale.stored), "error": str(stale)}
        return JSONResponse(stored, status_code=stale.http_status)
    return JSONResponse({"version": version})


def _next_address(session: Session, rater: Rater) -> str:
    """The rater's next open neuron, or the page that knows the next step."""
    progress = rater_progress(session, rater)
    token = None if progress.is_paused else next_assignment(session, rater)
    return "/rate" if token is None else f"/rate/{token}"


def entries_json(entries: Entries) -> dict[str, Any]:
    return {
        "ratings": dict(entries.ratings),
        "best": next(iter(entries.best), None),
        "cannot_judge": entries.cannot_judge,
        "comment": entries.comment,
    }


def _record(session: Session, rater: Rater, token: str, entered: JudgementForm) -> int:
    """Submits the entries; the version after it."""
    return record_judgement(
        session,
        rater,
        token,
        entered.ratings,
        entered.best,
        utc_now(),
        version=entered.version,
        cannot_judge=entered.cannot_judge,
        comment=entered.comment,
    ).version
