"""The pages of admins and researchers: studies from creation to results and downloads.

`router` holds all routes of this concept, those of raters included.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from sqlalchemy.orm import Session

from app.database import utc_now
from app.errors import NeuronJuryError
from app.studies import export, lifecycle, queries, rating_routes
from app.studies.admin_pages import (
    ClosingPage,
    HiddenResultsPage,
    InvitationsPage,
    NewStudyPage,
    StudyListPage,
    results_page,
    study_line,
    study_page,
)
from app.studies.choices import condition_choices, subject_names
from app.studies.forms import InviteForm, NewStudyForm, SentNewStudy
from app.studies.invitations import invite_raters
from app.studies.models import CLOSED, DRAFT
from app.web.dependencies import CurrentAdmin, CurrentResearcher, SessionDep, SettingsDep
from app.web.templating import page, redirect

studies = APIRouter(prefix="/studies")


@studies.get("")
def list_studies(request: Request, session: SessionDep, visitor: CurrentResearcher) -> Response:
    can_manage = visitor.role == "admin"
    lines = tuple(study_line(summary, can_manage) for summary in queries.list_studies(session))
    return page(request, StudyListPage(lines, can_manage))


@studies.get("/new")
def new_study(request: Request, session: SessionDep, _: CurrentAdmin, subject: str = "") -> Response:
    form = NewStudyForm(subject=subject, instructions=lifecycle.DEFAULT_INSTRUCTIONS)
    return page(request, _new_study_page(session, form))


@studies.post("/new")
def create_study(request: Request, session: SessionDep, _: CurrentAdmin, form: SentNewStudy) -> Response:
    try:
        lifecycle.create_study(
            session,
            slug=form.slug,
            title=form.title,
            subject_name=form.subject,
            conditions=form.condition_pairs,
            neurons=form.neuron_set(),
            seed=form.seed_number,
            instructions=form.instructions or None,
        )
    except NeuronJuryError as error:
        session.rollback()
        return page(request, _new_study_page(session, form, str(error)), status=error.http_status)
    return redirect(f"/studies/{form.slug}", notice="The draft is made. Look it over, then open it.")


@studies.get("/{slug}")
def study(slug: str, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    status = queries.study_status(session, slug)
    findings = lifecycle.lint_study(session, slug) if status.status == DRAFT else ()
    return page(request, study_page(status, findings))


@studies.post("/{slug}/open")
def open_study(slug: str, session: SessionDep, _: CurrentAdmin) -> Response:
    lifecycle.open_study(session, slug, utc_now())
    return redirect(f"/studies/{slug}", notice="The study is open. Now invite raters.")


@studies.post("/{slug}/invite")
def invite(
    slug: str,
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    _: CurrentAdmin,
    n_raters: Annotated[str, Form()] = "",
    n_days: Annotated[str, Form()] = "",
) -> Response:
    form, now = InviteForm(n_raters, n_days), utc_now()
    invitations = invite_raters(session, slug, form.n, now, now + timedelta(days=form.days))
    links = tuple(f"{settings.public_url.rstrip('/')}/r/{invitation.code}" for invitation in invitations)
    return page(request, InvitationsPage(slug, queries.study_status(session, slug).title, links, form.days))


@studies.get("/{slug}/close")
def closing(slug: str, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, ClosingPage(queries.study_status(session, slug)))


@studies.post("/{slug}/close")
def close_study(slug: str, session: SessionDep, _: CurrentAdmin) -> Response:
    lifecycle.close_study(session, slug, utc_now())
    return redirect(f"/studies/{slug}/results", notice="The study is closed.")


@studies.get("/{slug}/results")
def results(slug: str, request: Request, session: SessionDep, _: CurrentResearcher) -> Response:
    status = queries.study_status(session, slug)
    if status.status != CLOSED:
        return page(request, HiddenResultsPage(status))
    return page(request, results_page(queries.study_results(session, slug)))


@studies.get("/{slug}/ratings.csv")
def ratings_csv(slug: str, request: Request, _: CurrentResearcher) -> Response:
    lines = export.stream_ratings_csv(request.app.state.database, slug)
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=_download(f"{slug}-ratings.csv"))


@studies.get("/{slug}/table5.csv")
def table5_csv(slug: str, session: SessionDep, _: CurrentResearcher) -> Response:
    csv = export.table5_csv(session, slug)
    return PlainTextResponse(csv, media_type="text/csv; charset=utf-8", headers=_download(f"{slug}-table5.csv"))


def _download(file_name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{file_name}"'}


def _new_study_page(session: Session, form: NewStudyForm, problem: str | None = None) -> NewStudyPage:
    subjects = subject_names(session)
    if form.subject not in subjects:
        form = replace(form, subject=subjects[0] if subjects else "")
    return NewStudyPage(subjects, condition_choices(session, form.subject), form, problem)


# At the end: a router takes over the routes that another one has by now.
router = APIRouter(include_in_schema=False)
router.include_router(studies)
router.include_router(rating_routes.router)
