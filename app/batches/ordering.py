"""From what somebody wishes, on the form or the command line, to an order: the neurons are looked up and their choice
is written down. Stores nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.batches.choosing import NeuronChoice, choice_as_json, chosen_neurons, in_words, settled_choice
from app.batches.launching import BatchOrder
from app.batches.planning import SetToSave
from app.explanations.explainers import ExplainerSettings
from app.neurons.sets import checked_set_name

LONGEST_CHOICE = 500
"""Characters of the words for a choice that a batch keeps."""


@dataclass(frozen=True)
class BatchWish:
    """An order before its neurons are known. save_set: a name to keep them under; None: no set is saved."""

    subject_name: str
    choice: NeuronChoice
    methods: Sequence[str]
    explainer: str
    settings: ExplainerSettings
    samples: int = 1
    budget_usd: float | None = None
    budget_tokens: int | None = None
    save_set: str | None = None


def order_of(session: Session, wish: BatchWish) -> BatchOrder:
    """Errors: as chosen_neurons; InvalidInput for the name of a set."""
    choice = settled_choice(session, wish.subject_name, wish.choice, wish.settings.side)
    neuron_ids = chosen_neurons(session, wish.subject_name, choice, wish.settings.side)
    words = in_words(choice)
    save_as = None
    if wish.save_set is not None:
        save_as = SetToSave(checked_set_name(wish.save_set), choice_as_json(choice))
        words = f"the set {save_as.name}: {words}"
    return BatchOrder(
        subject_name=wish.subject_name,
        neuron_ids=neuron_ids,
        methods=wish.methods,
        explainer=wish.explainer,
        settings=wish.settings.model_copy(update={"ordered_for": words[:LONGEST_CHOICE]}),
        samples=wish.samples,
        budget_usd=wish.budget_usd,
        budget_tokens=wish.budget_tokens,
        save_as=save_as,
    )
