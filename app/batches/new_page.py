"""What the form of a new batch shows: the choices there are, what was typed, what was wrong, and what it would take."""

from dataclasses import dataclass
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.addresses import without_secret
from app.batches.choosing import DEFAULT_METRIC
from app.batches.forms import CHOICES, NewBatchForm
from app.explanations.methods import METHOD_TITLES
from app.explanations.methods.marking import CUTOFF_QUANTILES
from app.explanations.models import Explanation, Score
from app.explanations.prompt_packs.loading import shipped_packs
from app.neurons.bare import has_activations
from app.neurons.contexts import SubjectSummary
from app.neurons.models import Neuron, NeuronSet, SubjectModel
from app.neurons.queries import recorded_subjects
from app.neurons.reading import subject_named
from app.web.templating import PageContext

N_TOP_OF_PAPER, N_TOP_OF_FEW = 1000, int(NewBatchForm().n_neurons)


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


def fresh_form(session: Session) -> NewBatchForm:
    """The form as it opens: with a subject model that has activations, where there is one."""
    subjects = [subject_named(session, summary.name) for summary in recorded_subjects(session)]
    first = next((subject for subject in subjects if has_activations(session, subject)), None)
    if first is None:
        return NewBatchForm()
    return NewBatchForm(subject=first.name, n_neurons=str(_n_top(session, first)))


def _n_top(session: Session, subject: SubjectModel) -> int:
    """As many of the best neurons as the paper takes, where so many are scored."""
    scored = (
        sa.select(Explanation.neuron_id)
        .join(Score, Score.explanation_id == Explanation.id)
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .where(Neuron.subject_id == subject.id, Score.metric == DEFAULT_METRIC, Score.value.is_not(None))
        .distinct()
        .limit(N_TOP_OF_PAPER)
    )
    n_scored = session.scalar(sa.select(sa.func.count()).select_from(scored.subquery())) or 0
    return N_TOP_OF_PAPER if n_scored == N_TOP_OF_PAPER else N_TOP_OF_FEW


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
