"""The page of a score, for researchers and admins."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from app.explanations.score_page import score_page
from app.explanations.viewing import note_view
from app.neurons.reading import neuron_at
from app.web.dependencies import CurrentResearcher, SessionDep
from app.web.templating import page

router = APIRouter()

Count = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/neurons/{subject}/{layer}/{index}/scores/{score_id}")
def score(
    subject: str,
    layer: Count,
    index: Count,
    score_id: Count,
    request: Request,
    session: SessionDep,
    visitor: CurrentResearcher,
) -> Response:
    neuron = neuron_at(session, subject, layer, index)
    shown = score_page(session, neuron, score_id)
    # Who sees which method said it cannot rate this neuron blindly.
    if visitor.account_id is not None:
        note_view(request.app.state.database, visitor.account_id, [neuron.id])
    return page(request, shown, etag=True)
