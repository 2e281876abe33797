"""What an order of scores comes to: is it sound, which explanations does it mean, and which of their scores lack.
Reads; changes nothing and calls nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from app.batches.models import RUNNING, Batch
from app.errors import InvalidInput
from app.explanations.failures import UNSUPPORTED
from app.explanations.methods import REFERENCE, table_order
from app.explanations.models import DONE, FAILED, QUEUED, Explanation, Score
from app.explanations.scoring.evidence import reference_explainers
from app.explanations.scoring.settings import ADACS, ScorerSettings, checked_model, scorer_name
from app.neurons.models import ActivationRow, Neuron, NeuronSetMember, SubjectModel
from app.neurons.reading import subject_named
from app.neurons.sets import find_set


@dataclass(frozen=True)
class ScoreOrder:
    """What somebody wants scored, by whom and how.

    methods, explainers: of the explanations; none named means all, references and false explanations too.
    neuron_set: the name of a saved set; None: all neurons of the subject model.
    model: who measures, as app/explanations/scoring/settings.py names it.
    """

    subject_name: str
    model: str
    settings: ScorerSettings
    methods: Sequence[str] = ()
    explainers: Sequence[str] = ()
    neuron_set: str | None = None
    budget_usd: float | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True)
class LackingScore:
    """A score that somebody has to make. score_id: of the row that is there already; None: none is.

    needs_new_answers: what was answered before came to nothing.
    """

    explanation_id: int
    score_id: int | None
    needs_new_answers: bool


@dataclass(frozen=True)
class WantedScores:
    """What an order of scores comes to.

    model, scorer: checked, and as the scores name it. settings: with the explainer of the references.
    methods: of the explanations meant, in the order of tables.
    n_asked_for: explanations meant. n_without_activations: left out, because nothing is recorded of their neurons.
    """

    subject: SubjectModel
    model: str
    scorer: str
    settings: ScorerSettings
    methods: Sequence[str]
    lacking: Sequence[LackingScore]
    n_asked_for: int
    n_without_activations: int

    @property
    def n_reused(self) -> int:
        return self.n_asked_for - len(self.lacking)


def wanted_scores(session: Session, order: ScoreOrder) -> WantedScores:
    """The scores an order means, neuron by neuron.

    A score that is there is reused, an undefined one too; one that failed, or that no batch works on, is lacking. An
    AdaCS that was undefined for want of a reference is lacking as soon as there is one. One that a server did not
    support is lacking too, for another server may. Metrics that read excerpts leave neurons alone of which no
    activations are stored: their scores would stay undefined once they come.
    Errors: UnknownName (subject, neuron set, prompt pack), InvalidInput (a model that cannot measure this, references
    by several explainers of which none is named, nothing to score).
    """
    subject = subject_named(session, order.subject_name)
    model = checked_model(order.settings, order.model)
    scorer = scorer_name(order.settings, model)
    set_id = None if order.neuron_set is None else find_set(session, subject, order.neuron_set).id
    settings = _with_reference_explainer(session, subject, order.settings)
    rows = session.execute(_explanations(subject, order, settings, scorer, set_id)).all()
    scorable = [row for row in rows if row.has_evidence]
    if not scorable:
        raise InvalidInput(_nothing_to_score(subject, order, n_found=len(rows)))
    return WantedScores(
        subject=subject,
        model=model,
        scorer=scorer,
        settings=settings,
        methods=sorted({row.method for row in scorable}, key=table_order),
        lacking=[
            LackingScore(row.id, row.score_id, row.score_status == FAILED or row.is_unsupported)
            for row in scorable
            if _is_lacking(row)
        ],
        n_asked_for=len(scorable),
        n_without_activations=len(rows) - len(scorable),
    )


def _with_reference_explainer(session: Session, subject: SubjectModel, settings: ScorerSettings) -> ScorerSettings:
    """AdaCS compares all explanations of a batch with references by one explainer. Errors: InvalidInput."""
    if settings.metric != ADACS or settings.reference_explainer is not None:
        return settings
    explainers = reference_explainers(session, subject.id)
    if len(explainers) > 1:
        raise InvalidInput(
            f"{subject.name!r} has reference explanations by several explainers, and scores against one are not "
            f"comparable with those against another; expected one named as the reference: {', '.join(explainers)}"
        )
    return settings.model_copy(update={"reference_explainer": next(iter(explainers), None)})


def _explanations(
    subject: SubjectModel, order: ScoreOrder, settings: ScorerSettings, scorer: str, set_id: int | None
) -> sa.Select[*tuple[Any, ...]]:
    """Every done explanation that is meant, with its score by this scorer where there is one."""
    is_adacs = order.settings.metric == ADACS
    has_records = sa.exists().where(ActivationRow.neuron_id == Explanation.neuron_id)
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            Explanation.id,
            Explanation.method,
            Score.id.label("score_id"),
            Score.status.label("score_status"),
            Score.value.is_not(None).label("has_value"),
            sa.func.coalesce(Score.reason.startswith(UNSUPPORTED), sa.false()).label("is_unsupported"),
            Batch.status.label("batch_status"),
            sa.literal(True).label("has_evidence") if is_adacs else has_records.label("has_evidence"),
            (_has_reference(settings) if is_adacs else sa.literal(False)).label("has_reference"),
        )
        .join(Neuron, Neuron.id == Explanation.neuron_id)
        .outerjoin(
            Score,
            sa.and_(
                Score.explanation_id == Explanation.id,
                Score.metric == order.settings.metric,
                Score.scorer == scorer,
            ),
        )
        .outerjoin(Batch, Batch.id == Score.batch_id)
        .where(Neuron.subject_id == subject.id, Explanation.status == DONE)
        .order_by(Explanation.neuron_id, Explanation.id)
    )
    if order.methods:
        query = query.where(Explanation.method.in_(list(order.methods)))
    if order.explainers:
        query = query.where(Explanation.explainer.in_(list(order.explainers)))
    if set_id is not None:
        # Within the statement: a set has more neurons than a statement takes parameters.
        of_set = sa.select(NeuronSetMember.neuron_id).where(NeuronSetMember.set_id == set_id)
        query = query.where(Explanation.neuron_id.in_(of_set))
    return query


def _has_reference(settings: ScorerSettings) -> sa.ColumnElement[bool]:
    reference = aliased(Explanation)
    found = sa.exists().where(
        reference.neuron_id == Explanation.neuron_id,
        reference.method == REFERENCE,
        reference.side == Explanation.side,
        reference.status == DONE,
    )
    who = settings.reference_explainer
    return found if who is None else found.where(reference.explainer == who)


def _is_lacking(row: sa.Row[*tuple[Any, ...]]) -> bool:
    if row.score_id is None or row.score_status == FAILED:
        return True
    if row.score_status == QUEUED:
        return row.batch_status not in (QUEUED, RUNNING)
    return bool(row.is_unsupported) or (bool(row.has_reference) and not row.has_value)


def _nothing_to_score(subject: SubjectModel, order: ScoreOrder, n_found: int) -> str:
    if n_found:
        return (
            f"no activations are stored of the neurons of these {n_found} explanations; expected some for the metric "
            f"{order.settings.metric}, or the metric adacs, which needs none"
        )
    of_what = [
        f"the methods {', '.join(order.methods)}" if order.methods else "",
        f"the explainers {', '.join(order.explainers)}" if order.explainers else "",
        f"the neuron set {order.neuron_set}" if order.neuron_set else "",
    ]
    chosen = " and ".join(part for part in of_what if part)
    return f"{subject.name!r} has no done explanation{f' of {chosen}' if chosen else ''}; expected some to score"
