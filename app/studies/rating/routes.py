"""A rater's pages: which step is next, and the way out. `router` holds all of them, those of the steps included.

A rater's browser reaches no other route of the site.
"""

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from app.accounts.sessions import end_session
from app.database import utc_now
from app.studies.dealing.share import deal_share
from app.studies.models import Rater
from app.studies.rating import entrance_routes, judging_routes, practice_routes, step_routes
from app.studies.rating.current_rater import KnownRater, account_that_saw, renew_lease
from app.studies.rating.letters import (
    barred_letter,
    declined_letter,
    failed_practice_letter,
    left_letter,
    paused_letter,
    waiting_letter,
    withdrawn_letter,
)
from app.studies.rating.reading import next_assignment
from app.studies.rating.stages import Stage, current_stage, neuron_counts
from app.studies.rating.step_pages import ClosedPage
from app.web.cookies import session_cookie
from app.web.dependencies import CurrentRater, SessionDep, SettingsDep
from app.web.templating import page, redirect

ADDRESSES = {
    Stage.CONSENT: "/rate/consent",
    Stage.INSTRUCTIONS: "/rate/instructions",
    Stage.PRACTICE: "/rate/practice",
    Stage.REVIEW: "/rate/review",
    Stage.SURVEY: "/rate/survey",
    Stage.DONE: "/rate/done",
}
LETTERS = {
    Stage.PAUSED: (paused_letter, 200),
    Stage.WAITING: (waiting_letter, 200),
    Stage.FAILED_PRACTICE: (failed_practice_letter, 200),
    Stage.WITHDRAWN: (withdrawn_letter, 403),
}

inside = APIRouter()
outside = APIRouter()
"""Of those who are raters in this browser, and of those who are no longer."""


@inside.get("/rate")
def rate(request: Request, rater: KnownRater, session: SessionDep) -> Response:
    """To the rater's next step, or to the word that there is none."""
    if (account := account_that_saw(request, session, rater)) is not None:
        return page(request, barred_letter(rater.study.title, account, can_leave=True), status=403)
    stage = _stage_with_neurons(request, session, rater)
    if stage is Stage.JUDGING:
        return redirect(f"/rate/{next_assignment(session, rater)}")
    if stage in ADDRESSES:
        return redirect(ADDRESSES[stage])
    if stage is Stage.CLOSED:
        return page(request, ClosedPage(rater.study.title, neuron_counts(session, rater).n_judged))
    letter, status = LETTERS[stage]
    return page(request, letter(rater.study.title), status=status)


def _stage_with_neurons(request: Request, session: Session, rater: Rater) -> Stage:
    """The rater's stage, after dealing where a rater who may judge has nothing open."""
    stage = current_stage(session, rater)
    if stage not in (Stage.REVIEW, Stage.WAITING):
        return stage
    rater_id = rater.id
    # Ends the reading: it would neither see what is dealt nor give its connection to those who wait for one.
    session.rollback()
    with request.app.state.database.writing() as own_session:
        deal_share(own_session, own_session.get_one(Rater, rater_id), utc_now())
    return current_stage(session, rater)


@inside.post("/rate/leave")
def leave(request: Request, _: CurrentRater, session: SessionDep, settings: SettingsDep) -> Response:
    end_session(session, session_cookie(request) or "")
    return step_routes.sign_out_to("/rate/left", settings)


@outside.get("/rate/left")
def left(request: Request) -> Response:
    return page(request, left_letter())


@outside.get("/rate/declined")
def declined(request: Request) -> Response:
    return page(request, declined_letter())


router = APIRouter(include_in_schema=False)
router.include_router(entrance_routes.router)
router.include_router(outside)
# Those of the judging at the end: their path takes any word after /rate/.
for part in (inside, step_routes.router, practice_routes.router, judging_routes.router):
    router.include_router(part, dependencies=[Depends(renew_lease)])
