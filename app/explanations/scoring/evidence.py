"""What an explanation is scored on: excerpts that its explainer did not see, or a reference explanation. Reads the
tables; measures nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.methods import REFERENCE
from app.explanations.models import DONE, Explanation
from app.explanations.scoring.splits import N_SCORED, scoring_ranks
from app.neurons.models import ActivationRow, Neuron
from app.neurons.reading import load_records
from app.neurons.records import BOTTOM, RANDOM, TOP, ActivationRecord, Side


@dataclass(frozen=True)
class ScoredExcerpt:
    """One stored excerpt, and what the neuron does on it."""

    excerpt_id: int
    record: ActivationRecord


@dataclass(frozen=True)
class Evidence:
    """What an explanation is scored on; nothing the explainer saw.

    top, random: the scored excerpts with the neuron's largest activations, best first, and those drawn at random.
    calibration: further excerpts of the same neuron, top ones first, that a simulator's scale may be fitted on.
    maximum: the neuron's largest activation, which is the 10 of the discretised scale.
    cutoff: activations strictly above it are highly activating.
    """

    top: tuple[ScoredExcerpt, ...]
    random: tuple[ScoredExcerpt, ...]
    calibration: tuple[ScoredExcerpt, ...]
    maximum: float
    cutoff: float


@dataclass(frozen=True)
class Reference:
    """What an explanation is compared with, and whose it is."""

    explainer: str
    text: str


def load_evidence(session: Session, explanation: Explanation) -> Evidence:
    """The excerpts to score an explanation on, of the side that it describes; as many as are recorded.

    A random excerpt may happen to be one of the top ones: whatever text the explainer saw, or stands in the evidence
    already, is left out.
    """
    neuron = session.get_one(Neuron, explanation.neuron_id)
    side: Side = "negative" if explanation.side == "negative" else "positive"
    records = load_records(session, neuron, side)
    top_ids = _excerpt_ids(session, neuron.id, BOTTOM if side == "negative" else TOP)
    random_ids = _excerpt_ids(session, neuron.id, RANDOM)
    top = [ScoredExcerpt(*both) for both in zip(top_ids, records.top, strict=True)]
    random = [ScoredExcerpt(*both) for both in zip(random_ids, records.random, strict=True)]
    return unseen_evidence(top, random, explanation.prompt_pack, records.cutoff)


def unseen_evidence(
    top: Sequence[ScoredExcerpt], random: Sequence[ScoredExcerpt], prompt_pack: str, cutoff: float
) -> Evidence:
    """What of a neuron's recorded excerpts an explanation is scored on. top: best first. prompt_pack: as stored with
    the explanation."""
    ranks = scoring_ranks(prompt_pack, len(top))
    known = {top[rank].record.tokens for rank in ranks.seen}
    # A single unseen top excerpt falls to the calibration split; to score on it is worth more.
    score_top = _unknown(top, ranks.score_top, known, N_SCORED) or _unknown(top, ranks.calibration_top, known)
    score_random = _unknown(random, ranks.score_random, known, N_SCORED)
    return Evidence(
        top=score_top,
        random=score_random,
        calibration=_unknown(top, ranks.calibration_top, known) + _unknown(random, ranks.calibration_random, known),
        maximum=max((excerpt.record.maximum for excerpt in (*top, *random)), default=0.0),
        cutoff=cutoff,
    )


def reference_explainers(session: Session, subject_id: int) -> list[str]:
    """The explainers of all done reference explanations of a subject model, by name."""
    query = sa.select(Explanation.explainer).join(Neuron, Neuron.id == Explanation.neuron_id)
    of_subject = (Neuron.subject_id == subject_id, Explanation.method == REFERENCE, Explanation.status == DONE)
    return list(session.scalars(query.where(*of_subject).distinct().order_by(Explanation.explainer)))


def load_reference(session: Session, explanation: Explanation, reference_explainer: str | None) -> Reference | None:
    """The neuron's reference explanation of the same side: of that explainer (None: when the batch was planned there
    was none, so the first by name) the first sample; None when there is none."""
    conditions = [
        Explanation.neuron_id == explanation.neuron_id,
        Explanation.method == REFERENCE,
        Explanation.side == explanation.side,
        Explanation.status == DONE,
    ]
    if reference_explainer is not None:
        conditions.append(Explanation.explainer == reference_explainer)
    found = session.scalars(
        sa.select(Explanation)
        .where(*conditions)
        .order_by(Explanation.explainer, Explanation.prompt_pack, Explanation.sample_number)
        .limit(1)
    ).first()
    # Done explanations have a text; the type says only what the column may hold.
    return None if found is None else Reference(found.explainer, found.text or "")


def _excerpt_ids(session: Session, neuron_id: int, band: str) -> list[int]:
    return list(
        session.scalars(
            sa.select(ActivationRow.excerpt_id)
            .where(ActivationRow.neuron_id == neuron_id, ActivationRow.band == band)
            .order_by(ActivationRow.rank)
        )
    )


def _unknown(
    excerpts: Sequence[ScoredExcerpt], ranks: Iterable[int], known: set[tuple[str, ...]], n_at_most: int | None = None
) -> tuple[ScoredExcerpt, ...]:
    """Those of these ranks, the first n_at_most, whose text is not known yet, which is noted."""
    chosen: list[ScoredExcerpt] = []
    for rank in ranks:
        if len(chosen) == n_at_most:
            break
        if rank < len(excerpts) and excerpts[rank].record.tokens not in known:
            known.add(excerpts[rank].record.tokens)
            chosen.append(excerpts[rank])
    return tuple(chosen)
