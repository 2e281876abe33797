"""What an admin does with a draft: resolve what the lint found, reword, try it as a rater, open it, take its file."""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.database import utc_now
from app.errors import Conflict
from app.studies import invitations, lifecycle, queries
from app.studies.drafting import lint
from app.studies.drafting.design_file import export_design
from app.studies.drafting.pages import DryRunPage, draft_page
from app.studies.running.seeing import neuron_ids
from app.studies.wording import counted
from app.web.dependencies import CurrentAdmin, SessionDep, SettingsDep
from app.web.templating import page, redirect
from app.web.visitors import Visitor

router = APIRouter(prefix="/studies")
Typed = Annotated[str, Form()]
Place = Annotated[int, Form(ge=0, lt=2**31)]


def show_draft(
    request: Request, session: Session, visitor: Visitor, slug: str, sd: str = "", correlation: str = ""
) -> Response:
    """The draft's page. Errors: UnknownName."""
    findings = lint.lint_study(session, slug)
    # The texts of these neurons stand beside their methods.
    note_seen(request, visitor, {finding.neuron_id for finding in findings})
    wording = lint.lint_wording(queries.study_named(session, slug))
    return page(request, draft_page(queries.study_status(session, slug), findings, wording, sd, correlation))


@router.post("/{slug}/waive")
def waive(
    slug: str,
    session: SessionDep,
    visitor: CurrentAdmin,
    layer: Place,
    index: Place,
    method: Typed = "",
    explainer: Typed = "",
    text: Typed = "",
) -> Response:
    _require_text(session, slug, (layer, index, method, explainer), text)
    lint.waive(session, slug, layer, index, method, explainer, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice=f"The text of neuron {layer}:{index} is let pass, by {visitor.name}.")


def _require_text(session: Session, slug: str, place: tuple[int, int, str, str], text: str) -> None:
    """A waiver is for the text that the admin saw. Errors: Conflict when it has changed since."""
    for finding in lint.lint_study(session, slug):
        is_meant = place == (finding.layer, finding.index, finding.method, finding.explainer)
        if is_meant and finding.text != text:
            raise Conflict(f"the text of neuron {place[0]}:{place[1]} has changed since; go back and read it again")


@router.post("/{slug}/waive-all")
def waive_all(slug: str, session: SessionDep, visitor: CurrentAdmin) -> Response:
    n = lint.waive_all(session, slug, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice=f"{counted(n, 'text')} let pass, by {visitor.name}.")


@router.post("/{slug}/leave-out")
def leave_out(slug: str, session: SessionDep, visitor: CurrentAdmin, layer: Place, index: Place) -> Response:
    lint.leave_out(session, slug, layer, index, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice=f"Neuron {layer}:{index} is left out.")


@router.post("/{slug}/wording")
def reword(
    slug: str, session: SessionDep, _: CurrentAdmin, title: Typed = "", instructions: Typed = "", consent: Typed = ""
) -> Response:
    lifecycle.reword(session, slug, title=title, instructions=instructions, consent=consent)
    return redirect(f"/studies/{slug}", notice="The wording is changed.")


@router.post("/{slug}/dry-run")
def dry_run(slug: str, request: Request, session: SessionDep, settings: SettingsDep, visitor: CurrentAdmin) -> Response:
    invitation = invitations.dry_run(session, slug, utc_now(), visitor.name)
    link = f"{settings.public_url.rstrip('/')}/r/{invitation.code}"
    return page(request, DryRunPage(slug, queries.study_named(session, slug).title, link))


@router.post("/{slug}/open")
def open_study(slug: str, session: SessionDep, visitor: CurrentAdmin) -> Response:
    lifecycle.open_study(session, slug, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice="The study is open. Now invite raters.")


@router.get("/{slug}/design.json")
def design(slug: str, request: Request, session: SessionDep, visitor: CurrentAdmin) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{slug}-design.json"'}
    answer = Response(export_design(session, slug), media_type="application/json", headers=headers)
    # The file has every text beside its method.
    note_seen(request, visitor, neuron_ids(session, queries.study_named(session, slug)))
    return answer


def note_seen(request: Request, visitor: Visitor, seen: Collection[int]) -> None:
    """Whoever saw which method wrote what about these neurons cannot rate them blindly."""
    if visitor.account_id is not None and seen:
        request.app.state.note_view(request.app.state.database, visitor.account_id, seen)
