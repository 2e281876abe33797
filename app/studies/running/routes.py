"""The pages of a study that runs: watch it, bring raters in and out, pause it, close it. Admins alone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import PlainTextResponse

from app.database import utc_now
from app.neurons.lists import whole_number
from app.studies import invitations, lifecycle, queries
from app.studies.dealing import slots
from app.studies.forms import InviteForm
from app.studies.invitations import Invitation
from app.studies.results.export import csv_line
from app.studies.results.pages import ClosingPage
from app.studies.results.routes import download
from app.studies.results.routes import router as results_router
from app.studies.running.deletion import delete_rater
from app.studies.running.pages import progress_part
from app.studies.running.rater_pages import InvitationsPage, JoiningPage, deleting_page, rater_page
from app.studies.wording import counted
from app.web.dependencies import CurrentAdmin, SessionDep, SettingsDep
from app.web.templating import page, redirect

router = APIRouter(prefix="/studies", include_in_schema=False)
router.include_router(results_router)

Number = Annotated[int, Path(ge=1, lt=2**31)]
Typed = Annotated[str, Form()]
PROLIFIC = "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
"""The placeholders that Prolific fills in for each of its participants."""


@router.get("/{slug}/progress")
def progress(slug: str, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, progress_part(session, slug, utc_now()))


# Bringing raters in ---------------------------------------------------------------------------------------------------


@router.post("/{slug}/invite")
def invite(
    slug: str,
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    visitor: CurrentAdmin,
    n_raters: Typed = "",
    n_days: Typed = "",
    form: Typed = "page",
) -> Response:
    typed, now = InviteForm(n_raters, n_days), utc_now()
    expires = now + timedelta(days=typed.days)
    invited = invitations.invite_raters(session, slug, typed.n, now, expires, visitor.name)
    links = _links(settings.public_url, invited)
    if form == "csv":
        lines = ["study,rater,link,expires_at\n"]
        lines += [csv_line([slug, name, link, expires.isoformat(timespec="seconds")]) for name, link in links]
        return PlainTextResponse("".join(lines), media_type="text/csv; charset=utf-8", headers=download(slug, "links"))
    return page(request, InvitationsPage(slug, queries.study_named(session, slug).title, links, typed.days))


def _links(public_url: str, invited: Sequence[Invitation]) -> tuple[tuple[str, str], ...]:
    return tuple((f"rater-{each.number}", f"{public_url.rstrip('/')}/r/{each.code}") for each in invited)


@router.post("/{slug}/joining-link")
def make_joining_link(
    slug: str, request: Request, session: SessionDep, settings: SettingsDep, visitor: CurrentAdmin, most: Typed = ""
) -> Response:
    n = whole_number(most, "number of raters", 1, invitations.MOST_JOINING)
    code = invitations.make_joining_link(session, slug, n, utc_now(), visitor.name)
    address = f"{settings.public_url.rstrip('/')}/join/{code}"
    return page(request, JoiningPage(slug, queries.study_named(session, slug).title, address, address + PROLIFIC, n))


@router.post("/{slug}/extend")
def extend(slug: str, session: SessionDep, visitor: CurrentAdmin, raters_per_neuron: Typed = "") -> Response:
    n = whole_number(raters_per_neuron, "raters per neuron", 1, slots.MOST_RATERS_PER_NEURON)
    n_neurons = slots.extend(session, slug, n, utc_now(), visitor.name)
    return redirect(
        f"/studies/{slug}", notice=f"{counted(n_neurons, 'neuron')} can now have {counted(n, 'rater')} each."
    )


# One rater ------------------------------------------------------------------------------------------------------------


@router.get("/{slug}/raters/{number}")
def rater(slug: str, number: Number, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, rater_page(session, slug, number, utc_now()))


@router.post("/{slug}/raters/{number}/reclaim")
def reclaim(slug: str, number: Number, session: SessionDep, visitor: CurrentAdmin) -> Response:
    n = slots.reclaim_rater(session, slug, number, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice=f"{counted(n, 'neuron')} of rater-{number} can now go to others.")


@router.post("/{slug}/raters/{number}/revoke")
def revoke(slug: str, number: Number, session: SessionDep, visitor: CurrentAdmin) -> Response:
    invitations.revoke_rater(session, slug, number, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}/raters/{number}", notice=f"rater-{number} is shut out. What was judged stays.")


@router.get("/{slug}/raters/{number}/delete")
def deleting(slug: str, number: Number, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, deleting_page(session, slug, number, utc_now()))


@router.post("/{slug}/raters/{number}/delete")
def delete(slug: str, number: Number, session: SessionDep, visitor: CurrentAdmin) -> Response:
    effect = delete_rater(session, slug, number, utc_now(), visitor.name)
    gone = counted(effect.n_judgements, "judgement")
    return redirect(f"/studies/{slug}", notice=f"rater-{number} is deleted, with {gone}.")


# Pause and end --------------------------------------------------------------------------------------------------------


@router.post("/{slug}/pause")
def pause(slug: str, session: SessionDep, visitor: CurrentAdmin) -> Response:
    lifecycle.pause_study(session, slug, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice="The study is paused. What raters have on screen can still be saved.")


@router.post("/{slug}/resume")
def resume(slug: str, session: SessionDep, visitor: CurrentAdmin) -> Response:
    lifecycle.resume_study(session, slug, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}", notice="The study goes on.")


@router.get("/{slug}/close")
def closing(slug: str, request: Request, session: SessionDep, _: CurrentAdmin) -> Response:
    return page(request, ClosingPage(queries.study_status(session, slug)))


@router.post("/{slug}/close")
def close(slug: str, session: SessionDep, visitor: CurrentAdmin) -> Response:
    lifecycle.close_study(session, slug, utc_now(), visitor.name)
    return redirect(f"/studies/{slug}/results", notice="The study is closed.")
