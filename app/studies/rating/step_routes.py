"""The steps before and after the judging. A step's page is there while it is the rater's step; else it leads on."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from app.database import utc_now
from app.errors import InvalidInput
from app.settings import Settings
from app.studies.forms import SentForm
from app.studies.invitations import completion_code
from app.studies.models import Rater
from app.studies.protocol import Protocol
from app.studies.rating.current_rater import ThisRater
from app.studies.rating.review import judged_neurons, n_given_away
from app.studies.rating.stages import (
    Stage,
    current_stage,
    decline_consent,
    finish,
    give_consent,
    neuron_counts,
    read_instructions,
)
from app.studies.rating.step_pages import (
    CONSENT,
    QUESTIONS,
    REVIEW,
    ConsentPage,
    DonePage,
    ReviewPage,
    SurveyPage,
    instructions_page,
    step_mark,
)
from app.studies.rating.survey import guess_labels, guess_neurons, store_survey
from app.web.cookies import clear_session_cookie
from app.web.dependencies import SessionDep, SettingsDep
from app.web.formatting import paragraphs
from app.web.templating import page, redirect

router = APIRouter(prefix="/rate")

GUESS_FIELD = "guess-"
"""A guess is sent as `guess-<card token>` = index of a label, or CANNOT_TELL."""
CANNOT_TELL = "none"


@router.get("/consent")
def consent(request: Request, rater: ThisRater, session: SessionDep) -> Response:
    if current_stage(session, rater) is not Stage.CONSENT:
        return redirect("/rate")
    protocol = _protocol(rater)
    step = step_mark(protocol, CONSENT)
    return page(request, ConsentPage(rater.study.title, step, paragraphs(protocol.consent)))


@router.post("/consent")
def answer_consent(
    rater: ThisRater, session: SessionDep, settings: SettingsDep, answer: Annotated[str, Form()] = ""
) -> Response:
    if answer == "agree":
        give_consent(session, rater, utc_now())
        return redirect("/rate")
    decline_consent(session, rater)
    return sign_out_to("/rate/declined", settings)


@router.get("/instructions")
def instructions(request: Request, rater: ThisRater, session: SessionDep) -> Response:
    if current_stage(session, rater) is not Stage.INSTRUCTIONS:
        return redirect("/rate")
    return page(request, instructions_page(rater.study.title, rater.study.instructions, _protocol(rater)))


@router.post("/instructions")
def have_read_instructions(rater: ThisRater, session: SessionDep) -> Response:
    read_instructions(session, rater, utc_now())
    return redirect("/rate")


@router.get("/review")
def review(request: Request, rater: ThisRater, session: SessionDep) -> Response:
    if current_stage(session, rater) is not Stage.REVIEW:
        return redirect("/rate")
    step = step_mark(_protocol(rater), REVIEW)
    judged = judged_neurons(session, rater)
    return page(request, ReviewPage(rater.study.title, step, judged, n_given_away(session, rater)))


@router.post("/review")
def finish_judging(rater: ThisRater, session: SessionDep) -> Response:
    finish(session, rater, utc_now())
    return redirect("/rate")


@router.get("/survey")
def survey(request: Request, rater: ThisRater, session: SessionDep) -> Response:
    if current_stage(session, rater) is not Stage.SURVEY:
        return redirect("/rate")
    return page(request, _survey_page(session, rater))


@router.post("/survey")
def answer_survey(request: Request, rater: ThisRater, session: SessionDep, form: SentForm) -> Response:
    is_skipped = "skip" in form
    entered = {} if is_skipped else _sent_guesses(form)
    comment = "" if is_skipped else _sent_comment(form)
    try:
        store_survey(session, rater, _as_indices(entered), comment, utc_now())
    except InvalidInput as error:
        session.rollback()
        problem = f"{str(error)[:1].upper()}{str(error)[1:]}."
        return page(request, _survey_page(session, rater, entered, comment, problem), status=error.http_status)
    return redirect("/rate")


@router.get("/done")
def done(request: Request, rater: ThisRater, session: SessionDep) -> Response:
    if current_stage(session, rater) is not Stage.DONE:
        return redirect("/rate")
    n_judged = neuron_counts(session, rater).n_judged
    code = completion_code(rater.study, rater)
    return page(request, DonePage(rater.study.title, n_judged, code, _protocol(rater).completion_url))


def sign_out_to(address: str, settings: Settings) -> Response:
    """To a page that needs no session, with nothing left of the session that has just ended in this browser."""
    response = redirect(address)
    clear_session_cookie(response, settings)
    # What the pages keep in the browser until it is sent: the next person at this computer has no business with it.
    response.headers["Clear-Site-Data"] = '"storage"'
    return response


def _protocol(rater: Rater) -> Protocol:
    return Protocol.model_validate(rater.study.protocol)


def _survey_page(
    session: Session,
    rater: Rater,
    entered: Mapping[str, str] | None = None,
    comment: str = "",
    problem: str | None = None,
) -> SurveyPage:
    return SurveyPage(
        study_title=rater.study.title,
        step=step_mark(_protocol(rater), QUESTIONS),
        neurons=guess_neurons(session, rater),
        labels=guess_labels(rater),
        entered=entered or {},
        comment=comment,
        problem=problem,
    )


def _sent_guesses(form: FormData) -> dict[str, str]:
    """Card token -> what was sent for it; a field that was sent twice counts once, as its last value."""
    sent = {name: value for name, value in form.multi_items() if name.startswith(GUESS_FIELD)}
    return {name.removeprefix(GUESS_FIELD): str(value) for name, value in sent.items()}


def _sent_comment(form: FormData) -> str:
    sent = form.get("comment")
    return sent if isinstance(sent, str) else ""


def _as_indices(entered: Mapping[str, str]) -> dict[str, int | None]:
    return {token: None if value == CANNOT_TELL else _index(value) for token, value in entered.items()}


def _index(value: str) -> int:
    # Not even a number is as far from the labels as a number that names none.
    return int(value) if value.isascii() and value.isdecimal() and len(value) <= 2 else -1
