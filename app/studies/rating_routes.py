"""The pages of raters: the invitation, the neurons to judge, the end. A rater's browser reaches no other route."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from app.accounts.sessions import start_session
from app.database import utc_now
from app.errors import InvalidJudgement, NotAllowed
from app.studies.forms import SentForm, judgement_form
from app.studies.invitations import redeem_invitation
from app.studies.judging import record_judgement
from app.studies.models import Rater
from app.studies.rater_pages import ClosedPage, DonePage, rate_page, welcome_page
from app.studies.rating_page import RaterProgress, assignment_page, mark_shown, next_assignment, rater_progress
from app.studies.review import judged_neurons
from app.web.cookies import session_cookie, set_session_cookie
from app.web.dependencies import CurrentRater, CurrentVisitor, SessionDep, SettingsDep
from app.web.limiting import check_limit
from app.web.templating import page, redirect

router = APIRouter(include_in_schema=False)


def _rater(visitor: CurrentRater, session: SessionDep) -> Rater:
    rater = session.get(Rater, visitor.rater_id)
    if rater is None:
        raise NotAllowed("Open your invitation link again.")
    return rater


ThisRater = Annotated[Rater, Depends(_rater)]
"""The rater whose browser this is. Errors: NotAllowed when that rater is no longer there."""


@router.get("/r/{code}")
def welcome(code: str, request: Request, session: SessionDep, visitor: CurrentVisitor) -> Response:
    check_limit(request, "invitation")
    rater = redeem_invitation(session, code, utc_now())
    progress = rater_progress(session, rater)
    return page(request, welcome_page(progress, is_signed_in=visitor is not None and not visitor.is_rater))


@router.post("/r/{code}")
def begin(code: str, request: Request, session: SessionDep, settings: SettingsDep) -> Response:
    check_limit(request, "invitation")
    rater = redeem_invitation(session, code, utc_now())
    cookie = start_session(session, settings, rater_id=rater.id, replaces=session_cookie(request))
    response = redirect("/rate")
    set_session_cookie(response, cookie, settings)
    return response


@router.get("/rate")
def rate(request: Request, session: SessionDep, rater: ThisRater) -> Response:
    progress = rater_progress(session, rater)
    if not progress.is_open:
        return _closed(request, progress)
    token = next_assignment(session, rater)
    if token is None:
        return page(request, DonePage(progress.study_title, judged_neurons(session, rater.id)))
    return redirect(f"/rate/{token}")


@router.get("/rate/{token}")
def rate_neuron(token: str, request: Request, session: SessionDep, rater: ThisRater) -> Response:
    if not rater_progress(session, rater).is_open:
        return redirect("/rate")
    rating_page = assignment_page(session, rater, token)
    if not rating_page.was_shown:
        with request.app.state.database.writing() as own_session:
            mark_shown(own_session, rater, token, utc_now())
    return page(request, rate_page(rating_page))


@router.post("/rate/{token}")
def judge_neuron(token: str, request: Request, session: SessionDep, rater: ThisRater, form: SentForm) -> Response:
    progress = rater_progress(session, rater)
    if not progress.is_open:
        return _closed(request, progress, status=409)
    entered = judgement_form(form)
    try:
        record_judgement(session, rater, token, entered.ratings, entered.best, utc_now())
    except InvalidJudgement:
        session.rollback()
        return page(request, rate_page(assignment_page(session, rater, token), entered), status=422)
    return _redirect_to_next(session, rater)


def _redirect_to_next(session: Session, rater: Rater) -> Response:
    token = next_assignment(session, rater)
    return redirect("/rate" if token is None else f"/rate/{token}")


def _closed(request: Request, progress: RaterProgress, status: int = 200) -> Response:
    return page(request, ClosedPage(progress.study_title, progress.n_judged), status=status)
