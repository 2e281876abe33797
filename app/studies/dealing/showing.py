"""The texts that raters are shown: the frozen ones of an open study, for a draft those that opening would freeze."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.models import DONE, Explanation
from app.puzzles.loading import load_puzzles
from app.studies.dealing.blinding import shown_text
from app.studies.models import DRAFT, Condition, FrozenText, Study, StudyNeuron


def explanations_of(session: Session, study: Study) -> dict[tuple[int, int], Explanation]:
    """The explanation that the study shows, by (neuron id, condition id); nothing where there is none.

    An imported draft has its texts from the start, whatever is explained here afterwards. Else it is the first sample,
    and of several prompt packs the newest. Studies judge what was said of the positive side.
    """
    is_condition = sa.and_(
        Condition.method == Explanation.method,
        Condition.explainer == Explanation.explainer,
        Explanation.side == "positive",
    )
    query = (
        sa.select(Condition.id, Explanation)
        .join(Condition, is_condition)
        .join(StudyNeuron, StudyNeuron.neuron_id == Explanation.neuron_id)
        .where(Condition.study_id == study.id, StudyNeuron.study_id == study.id, Explanation.status == DONE)
        .order_by(Explanation.sample_number.desc(), Explanation.id)
    )
    # The best comes last and replaces those before it.
    found = {(explanation.neuron_id, condition_id): explanation for condition_id, explanation in session.execute(query)}
    frozen = sa.select(FrozenText.neuron_id, FrozenText.condition_id, Explanation).join(FrozenText.explanation)
    rows = session.execute(frozen.where(FrozenText.study_id == study.id))
    return found | {(neuron_id, condition_id): explanation for neuron_id, condition_id, explanation in rows}


def texts_by_neuron(session: Session, study: Study, neuron_ids: Sequence[int]) -> dict[int, list[str]]:
    """The texts of each of these neurons, by its id, in the order of the conditions."""
    if study.status == DRAFT:
        found = explanations_of(session, study)
        return {
            id: [text_as_shown(found.get((id, condition.id))) for condition in study.conditions] for id in neuron_ids
        }
    query = sa.select(FrozenText.neuron_id, FrozenText.text).join(FrozenText.condition)
    mine = query.where(FrozenText.study_id == study.id, FrozenText.neuron_id.in_(neuron_ids))
    texts: dict[int, list[str]] = {neuron_id: [] for neuron_id in neuron_ids}
    for neuron_id, text in session.execute(mine.order_by(FrozenText.neuron_id, Condition.position)):
        texts[neuron_id].append(text)
    return texts


def text_as_shown(explanation: Explanation | None) -> str:
    """Empty where there is no explanation."""
    return "" if explanation is None else shown_text(explanation.text or "")


def pool_of_false_texts(session: Session, study: Study, source: str) -> list[str]:
    """Texts that are false for most neurons, of which a check takes one: `neurons`, all texts of the study's own, which
    read like the true ones; `puzzles`, the false explanations of the puzzles. See `Protocol.check_source`."""
    if source == "puzzles":
        # Practice takes the easy ones first: a false text met there would be known again.
        return [text for puzzle in load_puzzles() if puzzle.level == "medium" for text in puzzle.falses]
    if study.status == DRAFT:
        return [text_as_shown(explanation) for explanation in explanations_of(session, study).values()]
    return list(session.scalars(sa.select(FrozenText.text).where(FrozenText.study_id == study.id).distinct()))
