"""The viewer: the list of neurons and the page of each, and the same neuron as JSON."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.neurons import pages
from app.neurons.contexts import MethodBeside, NeuronView
from app.neurons.json_view import NeuronJson, neuron_json
from app.neurons.reading import neuron_at
from app.neurons.records import Side
from app.web.dependencies import CurrentResearcher, SessionDep
from app.web.templating import page, redirect
from app.web.visitors import Visitor

router = APIRouter()
api = APIRouter(tags=["neurons"])

# PostgreSQL refuses to compare its integers with larger ones, which would be an error of ours and not a page that is
# not there.
Count = Annotated[int, Path(ge=0, lt=2**31)]
Band = Literal["top", "q999", "q99", "q90", "q50", "random", "bottom"]
Place = Annotated[str | None, Query(pattern=r"^\d{1,6}-\d{1,9}$")]


@router.get("/neurons")
def neuron_list(
    request: Request,
    session: SessionDep,
    visitor: CurrentResearcher,
    subject: str | None = None,
    layer: str = "",
    after: Place = None,
    before: Place = None,
) -> Response:
    return page(request, pages.neuron_list(session, subject, layer, after, before), etag=True)


@router.get("/neurons/{subject}")
def neurons_of_subject(subject: str, visitor: CurrentResearcher) -> Response:
    return redirect(pages.list_address(subject))


@router.get("/neurons/{subject}/go")
def go_to_neuron(subject: str, session: SessionDep, visitor: CurrentResearcher, neuron: str = "") -> Response:
    place = pages.typed_place(neuron)
    neuron_at(session, subject, place.layer, place.index)
    return redirect(pages.neuron_address(subject, place))


@router.get("/neurons/{subject}/{layer}/{index}")
def neuron_page(
    subject: str,
    layer: Count,
    index: Count,
    request: Request,
    session: SessionDep,
    visitor: CurrentResearcher,
    excerpts: Literal["few", "all"] = "few",
    values: Literal["marked", "all"] = "marked",
    side: Side = "positive",
) -> Response:
    neuron = neuron_at(session, subject, layer, index)
    methods = _explanations_beside(request, session, visitor, neuron.id)
    view = NeuronView(excerpts == "all", values == "all", side)
    return page(request, pages.neuron_page(session, neuron, methods, view), etag=True)


@router.get("/neurons/{subject}/{layer}/{index}/more/{band}")
def more_excerpts(
    subject: str,
    layer: Count,
    index: Count,
    band: Band,
    request: Request,
    session: SessionDep,
    visitor: CurrentResearcher,
    values: Literal["marked", "all"] = "marked",
    side: Side = "positive",
) -> Response:
    neuron = neuron_at(session, subject, layer, index)
    view = NeuronView(every_value=values == "all", side=side)
    return page(request, pages.more_excerpts(session, neuron, band, view), etag=True)


@api.get("/neurons/{subject}/{layer}/{index}")
def neuron_as_json(
    subject: str, layer: Count, index: Count, request: Request, session: SessionDep, visitor: CurrentResearcher
) -> NeuronJson:
    """One neuron: its statistics, every kept record with raw activations, and its explanations."""
    neuron = neuron_at(session, subject, layer, index)
    return neuron_json(session, neuron, _explanations_beside(request, session, visitor, neuron.id))


def _explanations_beside(
    request: Request, session: Session, visitor: Visitor, neuron_id: int
) -> tuple[MethodBeside, ...]:
    """What was said of this neuron, and a note that this account saw which method said it: it cannot rate blindly."""
    methods: tuple[MethodBeside, ...] = request.app.state.explanations_beside(session, neuron_id)
    if visitor.account_id is not None and any(said.text for method in methods for said in method.explanations):
        request.app.state.note_view(request.app.state.database, visitor.account_id, [neuron_id])
    return methods
