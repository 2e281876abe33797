"""The two links by which raters come in: a personal invitation, and a study's joining link for recruiting sites."""

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Form, Query, Request, Response
from sqlalchemy.orm import Session

from app.accounts.sessions import start_session
from app.database import utc_now
from app.settings import Settings
from app.studies.dealing.share import new_token
from app.studies.invitations import ExternalIds, join, note_external_ids, redeem_invitation, study_to_join
from app.studies.models import Rater, Study, StudyNeuron
from app.studies.protocol import Protocol
from app.studies.rating.letters import barred_letter, paused_letter
from app.studies.rating.stages import NeuronCounts, Stage, neuron_counts, stage_of
from app.studies.rating.step_pages import WelcomePage
from app.studies.running.seeing import accounts_of, barred_account
from app.web.cookies import session_cookie, set_session_cookie
from app.web.dependencies import CurrentVisitor, SessionDep, SettingsDep
from app.web.limiting import check_limit
from app.web.security import AGAIN
from app.web.templating import page, redirect
from app.web.visitors import Visitor

router = APIRouter()

PERSON, STUDY, SESSION = "PROLIFIC_PID", "STUDY_ID", "SESSION_ID"
"""What Prolific adds to a link, and sites that follow its conventions."""


def _ids_in_link(
    person: Annotated[str, Query(alias=PERSON)] = "",
    study: Annotated[str, Query(alias=STUDY)] = "",
    session: Annotated[str, Query(alias=SESSION)] = "",
) -> ExternalIds:
    return ExternalIds(person.strip(), study.strip(), session.strip())


def _ids_in_form(
    person: Annotated[str, Form(alias=PERSON)] = "",
    study: Annotated[str, Form(alias=STUDY)] = "",
    session: Annotated[str, Form(alias=SESSION)] = "",
) -> ExternalIds:
    return ExternalIds(person.strip(), study.strip(), session.strip())


IdsInLink = Annotated[ExternalIds, Depends(_ids_in_link)]
IdsInForm = Annotated[ExternalIds, Depends(_ids_in_form)]


@router.get("/r/{code}")
def welcome(code: str, request: Request, visitor: CurrentVisitor, session: SessionDep, ids: IdsInLink) -> Response:
    check_limit(request, "invitation")
    rater = redeem_invitation(session, code, utc_now())
    if _is_inside(request, visitor, rater):
        return redirect("/rate")
    return _welcome(request, session, visitor, rater.study, rater, ids)


@router.post("/r/{code}")
def begin(
    code: str,
    request: Request,
    visitor: CurrentVisitor,
    session: SessionDep,
    settings: SettingsDep,
    ids: IdsInForm,
) -> Response:
    check_limit(request, "invitation")
    rater = redeem_invitation(session, code, utc_now())
    if refusal := _refusal(request, session, visitor, rater.study, rater):
        return refusal
    note_external_ids(session, rater, ids)
    return _let_in(request, session, settings, rater)


@router.get("/join/{code}")
def joining(code: str, request: Request, visitor: CurrentVisitor, session: SessionDep, ids: IdsInLink) -> Response:
    check_limit(request, "joining")
    study = study_to_join(session, code)
    if not ids.person and _is_rater_of(session, visitor, study):
        return redirect("/rate")
    # Somebody whom no site names gets a name here, in the form, so that a double click does not join twice.
    named = ids if ids.person else ExternalIds(f"joined-{new_token()}", ids.study, ids.session)
    known = session.scalar(sa.select(Rater).where(Rater.study_id == study.id, Rater.external_id == named.person))
    if _is_inside(request, visitor, known):
        return redirect("/rate")
    return _welcome(request, session, visitor, study, known, named)


@router.post("/join/{code}")
def join_study(
    code: str,
    request: Request,
    visitor: CurrentVisitor,
    session: SessionDep,
    settings: SettingsDep,
    ids: IdsInForm,
) -> Response:
    check_limit(request, "joining")
    if refusal := _refusal(request, session, visitor, study_to_join(session, code), None):
        return refusal
    return _let_in(request, session, settings, join(session, code, ids, utc_now()))


def _welcome(
    request: Request, session: Session, visitor: Visitor | None, study: Study, rater: Rater | None, ids: ExternalIds
) -> Response:
    if refusal := _refusal(request, session, visitor, study, rater):
        return refusal
    protocol = Protocol.model_validate(study.protocol)
    counts = _counts(session, rater)
    carried = ((PERSON, ids.person), (STUDY, ids.study), (SESSION, ids.session))
    welcome_page = WelcomePage(
        study_title=study.title,
        n_neurons=counts.n_open + counts.n_judged or protocol.share_of_each(_n_neurons(session, study)),
        n_judged=counts.n_judged,
        has_begun=rater is not None and (rater.consented_at or rater.instructed_at) is not None,
        has_practice=protocol.n_puzzles > 0,
        is_pressed=AGAIN in request.query_params,
        is_signed_in=visitor is not None and not visitor.is_rater,
        carried=tuple((name, value) for name, value in carried if value),
    )
    return page(request, welcome_page)


def _refusal(
    request: Request, session: Session, visitor: Visitor | None, study: Study, rater: Rater | None
) -> Response | None:
    """The page for somebody who may not begin here or now. rater: None for somebody new."""
    is_dry_run = rater is not None and rater.is_dry_run
    account = None if is_dry_run else barred_account(session, study, accounts_of(request, visitor))
    if account is not None:
        return page(request, barred_letter(study.title, account), status=403)
    stage = None if rater is None else stage_of(rater, study, _counts(session, rater))
    is_paused = study.paused_at is not None if stage is None else stage is Stage.PAUSED
    # The same link, with what a recruiting site added to it.
    link = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    return page(request, paused_letter(study.title, link)) if is_paused else None


def _let_in(request: Request, session: Session, settings: Settings, rater: Rater) -> Response:
    cookie = start_session(session, settings, rater_id=rater.id, replaces=session_cookie(request))
    response = redirect("/rate")
    set_session_cookie(response, cookie, settings)
    return response


def _is_inside(request: Request, visitor: Visitor | None, rater: Rater | None) -> bool:
    """Whether the first of two clicks has let this very rater in."""
    is_rater = visitor is not None and rater is not None and visitor.rater_id == rater.id
    return is_rater and AGAIN in request.query_params


def _is_rater_of(session: Session, visitor: Visitor | None, study: Study) -> bool:
    rater = None if visitor is None or visitor.rater_id is None else session.get(Rater, visitor.rater_id)
    return rater is not None and rater.study_id == study.id


def _counts(session: Session, rater: Rater | None) -> NeuronCounts:
    return NeuronCounts(0, 0) if rater is None else neuron_counts(session, rater)


def _n_neurons(session: Session, study: Study) -> int:
    mine = sa.select(sa.func.count()).select_from(StudyNeuron).where(StudyNeuron.study_id == study.id)
    return session.scalar(mine) or 0
