"""The preview of prompts, for researchers and admins."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from app.explanations.preview import PreviewForm, prompt_page
from app.neurons.reading import neuron_at
from app.web.dependencies import CurrentResearcher, SessionDep, SettingsDep
from app.web.templating import page

router = APIRouter()

Count = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/neurons/{subject}/{layer}/{index}/prompts")
def preview(
    subject: str,
    layer: Count,
    index: Count,
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    _: CurrentResearcher,
    form: Annotated[PreviewForm, Query()],
) -> Response:
    shown = prompt_page(session, neuron_at(session, subject, layer, index), form, settings.models_folder)
    return page(request, shown, status=400 if shown.problem else 200)
