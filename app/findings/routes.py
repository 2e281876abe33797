"""The page of tables and their files, for researchers and admins. Raters never reach them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from app.errors import UnknownName
from app.explanations.viewing import note_view
from app.findings import pages
from app.findings.building import Finding, finding_numbered, finding_of
from app.findings.evaluations import neurons_told_about
from app.findings.formats import FORMATS
from app.findings.queries import readable_subjects
from app.neurons.models import SubjectModel
from app.neurons.reading import subject_named
from app.web.dependencies import CurrentResearcher, SessionDep
from app.web.templating import page
from app.web.visitors import Visitor

router = APIRouter(prefix="/tables")
SubjectName = Annotated[str | None, Query(alias="subject", max_length=100)]
# A form sends the choice of all neurons as an empty text.
SetName = Annotated[str, Query(alias="neurons", max_length=100)]


@router.get("")
def tables(
    request: Request,
    session: SessionDep,
    visitor: CurrentResearcher,
    subject_name: SubjectName = None,
    table: Annotated[str, Query(max_length=20)] = "1",
    set_name: SetName = "",
) -> Response:
    finding = finding_numbered(table)
    subject = _subject(session, subject_name)
    if subject is None:
        return page(request, pages.no_tables_page())
    shown = pages.tables_page(session, subject, finding, set_name or None)
    _note(request, session, visitor, finding, subject)
    return page(request, shown)


@router.get("/{file_name}")
def table_file(
    file_name: str,
    request: Request,
    session: SessionDep,
    visitor: CurrentResearcher,
    subject_name: SubjectName = None,
    set_name: SetName = "",
) -> Response:
    table_name, _, ending = file_name.rpartition(".")
    finding = finding_of(table_name)
    found = next((each for each in FORMATS.values() if each.ending == ending), None)
    subject = _subject(session, subject_name)
    if found is None or subject is None:
        raise UnknownName(f"there is no file {file_name!r} of tables")
    built = finding.build(session, subject, set_name or None)
    (table,) = (table for table in built if table.name == table_name)
    _note(request, session, visitor, finding, subject)
    name = table_name if table_name.startswith("figure") else f"table{table_name}"
    header = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
    return PlainTextResponse(found.write(table), media_type=found.media_type, headers=header)


def _subject(session: SessionDep, name: str | None) -> SubjectModel | None:
    """The one named, else the first; None where there is none at all. Errors: UnknownName."""
    if name:
        return subject_named(session, name)
    names = [subject for subject, _ in readable_subjects(session)]
    return subject_named(session, names[0]) if names else None


def _note(request: Request, session: SessionDep, visitor: Visitor, finding: Finding, subject: SubjectModel) -> None:
    """Table 6 tells how people rated: who has seen a study's results rates none of its neurons any more."""
    if finding.number == "6" and visitor.account_id is not None:
        note_view(request.app.state.database, visitor.account_id, neurons_told_about(session, subject.id))
