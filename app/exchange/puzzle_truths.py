"""The truths of the puzzles of a subject: each is its neuron's reference, and tells one puzzle from another."""

import sqlalchemy as sa

from app.database import Database
from app.exchange.explained import ImportedExplanation
from app.explanations.explainers import NONE
from app.explanations.methods import REFERENCE
from app.explanations.models import DONE, Explanation
from app.neurons.models import Neuron, SubjectModel

PROMPT_PACK = "puzzles"


def stored_truths(database: Database, subject_name: str) -> dict[int, str]:
    """The truth of each puzzle that is here, as shown, by its index."""
    query = (
        sa.select(Neuron.index, Explanation.text)
        .join(Explanation, Explanation.neuron_id == Neuron.id)
        .join(SubjectModel, SubjectModel.id == Neuron.subject_id)
        .where(
            SubjectModel.name == subject_name,
            Neuron.layer == 0,
            Explanation.method == REFERENCE,
            Explanation.prompt_pack == PROMPT_PACK,
            Explanation.status == DONE,
        )
    )
    with database.reading() as session:
        return {index: text for index, text in session.execute(query) if text is not None}


def truth_of(index: int, text: str) -> ImportedExplanation:
    """The truth of a puzzle as its reference."""
    return said_of_puzzle(index, REFERENCE, text, sample_number=0)


def said_of_puzzle(index: int, method: str, text: str, sample_number: int) -> ImportedExplanation:
    """A text that came with a puzzle; no explainer made it."""
    return ImportedExplanation(
        layer=0,
        index=index,
        method=method,
        explainer=NONE,
        prompt_pack=PROMPT_PACK,
        text=text,
        failure=None,
        sample_number=sample_number,
    )
