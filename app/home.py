"""The start page: what is here for whom, and the obvious next step."""

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.neurons.contexts import SubjectSummary
from app.neurons.queries import recorded_subjects
from app.web.dependencies import CurrentVisitor, SessionDep
from app.web.templating import PageContext, page

router = APIRouter()


@dataclass(frozen=True)
class HomePage(PageContext):
    """What templates/home.html shows.

    subjects: the subject models whose recording is whole; empty for a visitor who is not signed in.
    """

    template: ClassVar[str] = "home.html"
    subjects: tuple[SubjectSummary, ...]


@router.get("/")
def home(request: Request, session: SessionDep, visitor: CurrentVisitor) -> Response:
    subjects = () if visitor is None else recorded_subjects(session)
    return page(request, HomePage(subjects))
