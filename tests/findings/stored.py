"""Scored explanations and finished batches in a database, for the tests of tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.models import EXPLANATIONS, SCORES, Batch
from app.database import utc_now
from app.explanations.models import DONE, Explanation, Score
from app.findings.building import finding_of
from app.findings.table import Table
from app.neurons.models import Neuron, NeuronSet, NeuronSetMember, SubjectModel
from tests.factories import make_explanation, make_neuron, make_score, make_subject

EXPLAINER, SCORER = "openai:gpt-4", "local:toy all-at-once"
PACK = "default@0123456789ab"


def built(session: Session, subject: SubjectModel, name: str, set_name: str | None = None) -> Table:
    tables = {table.name: table for table in finding_of(name).build(session, subject, set_name)}
    assert set(tables) == set(finding_of(name).tables)
    return tables[name]


def make_neurons(session: Session, subject: SubjectModel, n: int) -> list[Neuron]:
    """In one layer after the other."""
    return [make_neuron(session, subject, index % subject.n_layers, index // subject.n_layers) for index in range(n)]


def make_puzzles(session: Session, name: str = "puzzles") -> SubjectModel:
    puzzles = make_subject(session, name, n_layers=1, recording_status=None)
    puzzles.architecture = "puzzles"
    session.flush()
    return puzzles


def make_scored(
    session: Session,
    neurons: Sequence[Neuron],
    by_method: Mapping[str, Sequence[float | None]],
    metric: str = "simulation",
    *,
    explainer: str = EXPLAINER,
    scorer: str = SCORER,
    sample_number: int = 0,
    **more: Any,
) -> None:
    """An explanation per neuron and method, made unless it is there, with its score; None: undefined."""
    for method, values in by_method.items():
        for neuron, value in zip(neurons, values, strict=True):
            made = session.scalar(
                sa.select(Explanation).filter_by(
                    neuron_id=neuron.id, method=method, explainer=explainer, sample_number=sample_number, **more
                )
            ) or make_explanation(session, neuron, method, explainer, sample_number=sample_number, **more)
            make_score(session, made, metric, value, scorer=scorer)


def make_set(session: Session, subject: SubjectModel, name: str, neurons: Sequence[Neuron]) -> None:
    chosen = NeuronSet(subject_id=subject.id, name=name, chosen={})
    session.add(chosen)
    session.flush()
    session.add_all(NeuronSetMember(set_id=chosen.id, neuron_id=neuron.id) for neuron in neurons)
    session.flush()


def make_batch(
    session: Session,
    subject: SubjectModel,
    methods: Sequence[str],
    *,
    explainer: str = EXPLAINER,
    kind: str = EXPLANATIONS,
    status: str = DONE,
    seconds: float = 3600.0,
    **more: Any,
) -> Batch:
    """A batch that took so many seconds."""
    ordered: datetime = utc_now() - timedelta(days=1)
    settings = {"metric": "simulation"} if kind == SCORES else {"side": "positive"}
    batch = Batch(
        kind=kind,
        subject_id=subject.id,
        methods=list(methods),
        explainer=explainer,
        settings=settings,
        status=status,
        n_explanations=1,
        n_shards=1,
        created_at=ordered,
        finished_at=ordered + timedelta(seconds=seconds),
    )
    for name, value in more.items():
        setattr(batch, name, value)
    session.add(batch)
    session.flush()
    return batch


def make_paid(
    session: Session, row: Explanation | Score, batch: Batch, usd: float | None, tokens: tuple[int, int] | None
) -> None:
    """As the batch made it. tokens: of prompt and completion; None: nobody counted."""
    row.batch_id, row.cost_usd = batch.id, usd
    row.n_prompt_tokens, row.n_completion_tokens = (None, None) if tokens is None else tokens
    session.flush()
