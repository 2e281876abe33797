"""The token counter for a model that a batch or a preview names: its own tokenizer where this machine has it."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.explanations.explainers import LOCAL, CallSettings, Explainer
from app.explanations.token_counting import ESTIMATE, TokenCounter, counter_for
from app.neurons.models import SubjectModel


def counter_here(session: Session, explainer: Explainer, settings: CallSettings, models_folder: Path) -> TokenCounter:
    """models_folder: where the worker keeps converted models, if it shares a disk with this process."""
    if explainer.kind != LOCAL:
        return counter_for(explainer)
    named = Path(settings.local_path or explainer.model)
    if named.is_dir():
        return counter_for(explainer, named)
    # A converted model lies in a folder named after its hash. To hash its file takes seconds; but a model that is
    # recorded too has its hash stored.
    revision = session.scalar(sa.select(SubjectModel.revision).where(SubjectModel.name == explainer.model))
    return counter_for(explainer, None if revision is None else models_folder / revision.replace(":", "-"))


def counted_how(counter_name: str) -> str:
    """Goes on from a number of tokens: whose count it is, or that it is none."""
    return "estimated: no tokenizer of this model is here" if counter_name == ESTIMATE else f"counted by {counter_name}"
