"""What the form of a new batch shows: the choices there are, what was typed, what was wrong, and what it would take."""

from dataclasses import dataclass
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.addresses import without_secret
from app.batches.forms import CHOICES, NewBatchForm
from app.explanations.methods import METHOD_TITLES
from app.explanations.methods.marking import CUTOFF_QUANTILES
from app.explanations.prompt_packs.loading import shipped_packs
from app.neurons.contexts import SubjectSummary
from app.neurons.models import NeuronSet, SubjectModel
from app.neurons.queries import recorded_subjects
from app.web.templating import PageContext


@dataclass(frozen=True)
class NewBatchPage(PageContext):
    """What templates/batches/new.html shows.

    subjects: the recorded subject models.
    methods: (name, title) of every method, in the paper's order.
    choices: (value, title) of the ways to choose neurons.
    sets: (subject model, names of its saved sets) of those that have any.
    packs: names of the prompt packs that come with the program.
    cutoffs: names of the quantiles that can be the cutoff.
    form: what was typed.
    problem: why it could not be ordered or estimated, or empty.
    estimate: (what, how much) of what it would take, or empty where nobody asked.
    """

    template: ClassVar[str] = "batches/new.html"
    subjects: tuple[SubjectSummary, ...]
    methods: tuple[tuple[str, str], ...]
    choices: tuple[tuple[str, str], ...]
    sets: tuple[tuple[str, tuple[str, ...]], ...]
    packs: tuple[str, ...]
    cutoffs: tuple[str, ...]
    form: NewBatchForm
    problem: str
    estimate: tuple[tuple[str, str], ...]


def new_batch_page(
    session: Session, form: NewBatchForm, problem: str = "", estimate: tuple[tuple[str, str], ...] = ()
) -> NewBatchPage:
    return NewBatchPage(
        subjects=recorded_subjects(session),
        methods=tuple(METHOD_TITLES.items()),
        choices=tuple(CHOICES.items()),
        sets=saved_set_names(session),
        packs=shipped_packs(),
        cutoffs=tuple(CUTOFF_QUANTILES),
        form=form.model_copy(update={"base_url": without_secret(form.base_url)}),
        problem=problem,
        estimate=estimate,
    )


def saved_set_names(session: Session) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(subject model, names of its sets) of those that have any, by name."""
    rows = session.execute(
        sa.select(SubjectModel.name, NeuronSet.name)
        .join(SubjectModel, SubjectModel.id == NeuronSet.subject_id)
        .order_by(SubjectModel.name, NeuronSet.name)
    )
    by_subject: dict[str, list[str]] = {}
    for subject, name in rows:
        by_subject.setdefault(subject, []).append(name)
    return tuple((subject, tuple(names)) for subject, names in by_subject.items())
