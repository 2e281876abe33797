"""What the form of a new batch of scores shows: the choices there are, what was typed, what was wrong, and what it
would take."""

from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy.orm import Session

from app.batches.addresses import without_secret
from app.batches.new_page import saved_set_names
from app.batches.score_forms import NewScoresForm
from app.explanations.methods import FALSE, IMPORTED, METHOD_TITLES, REFERENCE, method_title
from app.explanations.prompt_packs.loading import shipped_packs
from app.explanations.scoring.settings import METRIC_TITLES
from app.neurons.contexts import SubjectSummary
from app.neurons.queries import recorded_subjects
from app.web.templating import PageContext


@dataclass(frozen=True)
class NewScoresPage(PageContext):
    """What templates/batches/new_scores.html shows.

    subjects: the subject models.
    metrics: (name, title) of every metric.
    methods: (name, title) of the methods that explanations may be of.
    sets: (subject model, names of its saved sets) of those that have any.
    packs: names of the prompt packs that come with the program.
    form: what was typed.
    problem: why it could not be ordered or estimated, or empty.
    estimate: (what, how much) of what it would take, or empty where nobody asked.
    """

    template: ClassVar[str] = "batches/new_scores.html"
    subjects: tuple[SubjectSummary, ...]
    metrics: tuple[tuple[str, str], ...]
    methods: tuple[tuple[str, str], ...]
    sets: tuple[tuple[str, tuple[str, ...]], ...]
    packs: tuple[str, ...]
    form: NewScoresForm
    problem: str
    estimate: tuple[tuple[str, str], ...]


def new_scores_page(
    session: Session, form: NewScoresForm, problem: str = "", estimate: tuple[tuple[str, str], ...] = ()
) -> NewScoresPage:
    methods = (*METHOD_TITLES, REFERENCE, FALSE, IMPORTED)
    return NewScoresPage(
        subjects=recorded_subjects(session),
        metrics=tuple(METRIC_TITLES.items()),
        methods=tuple((name, method_title(name)) for name in methods),
        sets=saved_set_names(session),
        packs=shipped_packs(),
        form=form.model_copy(update={"base_url": without_secret(form.base_url)}),
        problem=problem,
        estimate=estimate,
    )
