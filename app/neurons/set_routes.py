"""The page of saved neuron sets, for researchers and admins."""

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.neurons.queries import recorded_subjects
from app.neurons.reading import subject_named
from app.neurons.sets import NeuronSetSummary, saved_sets
from app.web.dependencies import CurrentResearcher, SessionDep
from app.web.templating import PageContext, page

router = APIRouter()


@dataclass(frozen=True)
class NeuronSetsPage(PageContext):
    """What templates/neurons/sets.html shows.

    subjects: names of the recorded subject models.
    subject: the chosen one, or null where nothing is recorded.
    sets: those of the chosen subject model, by name.
    """

    template: ClassVar[str] = "neurons/sets.html"
    subjects: tuple[str, ...]
    subject: str | None
    sets: tuple[NeuronSetSummary, ...]


# Not below /neurons, where it would be the page of a subject model called `sets`.
@router.get("/neuron-sets")
def neuron_sets(request: Request, session: SessionDep, _: CurrentResearcher, subject: str | None = None) -> Response:
    names = tuple(summary.name for summary in recorded_subjects(session))
    chosen = subject or (names[0] if names else None)
    sets = () if chosen is None else saved_sets(session, subject_named(session, chosen).id)
    return page(request, NeuronSetsPage(names, chosen, sets))
