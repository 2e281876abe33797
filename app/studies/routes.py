"""The pages of admins and researchers on studies before they open: the list, a new one, a draft until its opening.

`router` holds all routes of this concept, those of running studies and of raters included.
"""

from dataclasses import replace

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.database import utc_now
from app.errors import NeuronJuryError
from app.studies import lifecycle, queries
from app.studies.drafting import routes as draft_routes
from app.studies.drafting.choices import condition_choices, saved_set_names, subject_names
from app.studies.drafting.design_file import import_design, is_same_design
from app.studies.drafting.design_format import read_design
from app.studies.drafting.lint import waived_neurons
from app.studies.drafting.pages import ImportPage, NewStudyPage, PlanView, StudyListPage, plan_view, study_line
from app.studies.drafting.protocol_form import WrongField
from app.studies.forms import NewStudyForm, SentImport, SentNewStudy
from app.studies.models import DRAFT, Study
from app.studies.rating import routes as rating_routes
from app.studies.running import routes as running_routes
from app.studies.running.pages import study_page
from app.web.dependencies import CurrentAdmin, CurrentResearcher, SessionDep
from app.web.security import LARGEST_REQUEST
from app.web.templating import page, redirect
from app.web.visitors import Visitor

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
def create_study(request: Request, session: SessionDep, visitor: CurrentAdmin, form: SentNewStudy) -> Response:
    try:
        study = _created(session, form, visitor)
    except NeuronJuryError as error:
        session.rollback()
        return page(request, _new_study_page(session, form, error=error), status=error.http_status)
    if form.is_trial:
        plan = plan_view(form.protocol_form.protocol(), study.neuron_set["n_neurons"])
        session.rollback()
        return page(request, _new_study_page(session, form, plan))
    return redirect(f"/studies/{form.slug}", notice="The draft is made. Look it over, then open it.")


def _created(session: Session, form: NewStudyForm, visitor: Visitor) -> Study:
    return lifecycle.create_study(
        session,
        slug=form.slug,
        title=form.title,
        subject_name=form.subject,
        conditions=form.condition_pairs,
        neurons=form.neuron_set(),
        seed=form.seed_number,
        instructions=form.instructions or None,
        protocol=form.protocol_form.protocol(),
        who=visitor.name,
        now=utc_now(),
    )


def _new_study_page(
    session: Session, form: NewStudyForm, plan: PlanView | None = None, error: NeuronJuryError | None = None
) -> NewStudyPage:
    subjects = subject_names(session)
    if form.subject not in subjects:
        form = replace(form, subject=subjects[0] if subjects else "")
    wrong_field = error.field if isinstance(error, WrongField) else None
    problem = None if error is None else str(error)
    choices, sets = condition_choices(session, form.subject), saved_set_names(session, form.subject)
    return NewStudyPage(subjects, choices, sets, form, plan, problem, wrong_field)


@studies.get("/import")
def importing(request: Request, _: CurrentAdmin) -> Response:
    return page(request, _import_page())


@studies.post("/import")
def import_study(request: Request, session: SessionDep, visitor: CurrentAdmin, form: SentImport) -> Response:
    try:
        text = form.design_text()
        study = import_design(session, text, form.slug or None, now=utc_now(), who=visitor.name)
    except NeuronJuryError as error:
        session.rollback()
        return page(request, _import_page(form.slug, str(error)), status=error.http_status)
    return redirect(f"/studies/{study.slug}", notice=_import_notice(session, study, text))


def _import_page(slug: str = "", problem: str | None = None) -> ImportPage:
    return ImportPage(slug, LARGEST_REQUEST // 1024**2, problem)


def _import_notice(session: Session, study: Study, text: str) -> str:
    expected = read_design(text).design_hash
    if expected is None:
        return "The design is here as a draft."
    if is_same_design(session, study, expected):
        return "The design is here as a draft. It will open under the same design hash."
    return "The design is here as a draft, but it is not the one that the file's design hash names."


@studies.get("/{slug}")
def study(
    slug: str, request: Request, session: SessionDep, visitor: CurrentAdmin, sd: str = "", correlation: str = ""
) -> Response:
    if (found := queries.study_named(session, slug)).status != DRAFT:
        draft_routes.note_seen(request, visitor, waived_neurons(session, found))
        return page(request, study_page(session, slug, utc_now()))
    return draft_routes.show_draft(request, session, visitor, slug, sd, correlation)


# At the end: a router takes over the routes that another one has by now.
router = APIRouter(include_in_schema=False)
for part in (studies, draft_routes.router, running_routes.router, rating_routes.router):
    router.include_router(part)
