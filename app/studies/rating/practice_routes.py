"""The practice: puzzles one after the other, each with feedback at an address of its own that a reload repeats."""

from fastapi import APIRouter, Request, Response

from app.database import utc_now
from app.errors import InvalidJudgement
from app.studies.forms import SentForm
from app.studies.rating.current_rater import ThisRater
from app.studies.rating.forms import judgement_form
from app.studies.rating.practice_pages import feedback_page, practice_page
from app.studies.rating.practising import answer_puzzle, feedback_on, next_puzzle
from app.studies.rating.stages import Stage, current_stage
from app.web.dependencies import SessionDep
from app.web.templating import page, redirect

router = APIRouter(prefix="/rate/practice")


@router.get("")
def practice(request: Request, rater: ThisRater, session: SessionDep) -> Response:
    step = next_puzzle(session, rater) if current_stage(session, rater) is Stage.PRACTICE else None
    return redirect("/rate") if step is None else page(request, practice_page(rater.study, step))


@router.post("/{token}")
def solve(token: str, request: Request, rater: ThisRater, session: SessionDep, form: SentForm) -> Response:
    entered = judgement_form(form)
    try:
        answer_puzzle(session, rater, token, entered.ratings, entered.best, utc_now())
    except InvalidJudgement as error:
        session.rollback()
        step = next_puzzle(session, rater)
        if step is None:
            return redirect("/rate")
        return page(request, practice_page(rater.study, step, entered), status=error.http_status)
    return redirect(f"/rate/practice/{token}")


@router.get("/{token}")
def feedback(token: str, request: Request, rater: ThisRater, session: SessionDep) -> Response:
    known = feedback_on(session, rater, token)
    # Once the first neuron is there, the practice is behind: back buttons lead on.
    is_behind = current_stage(session, rater) not in (
        Stage.PRACTICE,
        Stage.PAUSED,
        Stage.WAITING,
        Stage.FAILED_PRACTICE,
    )
    return redirect("/rate") if known is None or is_behind else page(request, feedback_page(rater.study, known))
