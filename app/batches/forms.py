"""What an admin types to order a batch, turned into plain values. Knows forms, not the database."""

from typing import Annotated

from fastapi import Form
from pydantic import BaseModel

from app.batches.choosing import (
    DEFAULT_METRIC,
    DEFAULT_THRESHOLD,
    ClearPeaks,
    NeuronChoice,
    RandomInterpretable,
    RandomNeurons,
    SavedSet,
    TopNeurons,
    TopPerLayer,
)
from app.batches.lacking import MOST_SAMPLES
from app.batches.ordering import BatchWish
from app.batches.typed_numbers import typed_decimal, typed_decimal_or_none, typed_whole_or_none
from app.errors import InvalidInput
from app.explanations.explainers import ExplainerSettings, explainer_settings
from app.neurons.lists import ListedNeurons, layer_numbers, whole_number

MOST_PER_LAYER = 10_000
MOST_NEURONS = 1_000_000
LARGEST_SEED = 2**31 - 1
LARGEST_BUDGET = 10**10 - 1
"""Tokens: as many as ten digits can say."""
CHOICES = {
    ClearPeaks.kind: "With a clear peak",
    RandomNeurons.kind: "Random",
    RandomInterpretable.kind: "Random interpretable",
    TopPerLayer.kind: "Top of each layer",
    TopNeurons.kind: "Top of the whole model",
    SavedSet.kind: "A saved set",
    "listed": "Listed",
}
"""The ways to choose neurons, by the value of the form's field, in the form's order."""


class CallFields(BaseModel):
    """What every order says of its calls, as typed: where they go, how many, and what they may cost."""

    base_url: str = ""
    max_tokens: str = "60"
    budget_usd: str = ""
    budget_tokens: str = ""
    requests_per_minute: str = ""
    tokens_per_minute: str = ""
    n_in_flight: str = "8"
    timeout_seconds: str = "60"


class NewBatchForm(CallFields):
    """The form of a new batch as typed, so that it can be shown again beside what was wrong with it.

    neuron_choice: one of CHOICES. n_per_layer, layers, seed: of those that take some of each layer. n_neurons: of the
    top of the whole model. threshold, metric, score_method, score_scorer: of those by score. neuron_set: a saved
    set's name. csv_text: of a list. save_set: a name to keep the neurons under, or nothing.
    Settings that are left empty have their default.
    """

    subject: str = ""
    methods: list[str] = []
    samples: str = "1"
    explainer: str = ""
    temperature: str = "1"
    side: str = "positive"
    neuron_choice: str = ClearPeaks.kind
    n_per_layer: str = "1"
    n_neurons: str = "20"
    layers: str = ""
    seed: str = "0"
    threshold: str = str(DEFAULT_THRESHOLD)
    metric: str = DEFAULT_METRIC
    score_method: str = ""
    score_scorer: str = ""
    neuron_set: str = ""
    csv_text: str = ""
    save_set: str = ""
    n_context: str = "4097"
    prompt_pack: str = "default"
    excerpts: str = "every4th"
    n_excerpts: str = "5"
    n_few_shots: str = ""
    cutoff: str = "q90"

    def wish(self) -> BatchWish:
        """Errors: InvalidInput, which names the field."""
        return BatchWish(
            subject_name=self.subject,
            choice=self.chosen_neurons(),
            methods=self.methods,
            explainer=self.explainer,
            settings=self.explainer_settings(),
            samples=whole_number(self.samples, "samples", 1, MOST_SAMPLES),
            budget_usd=typed_decimal_or_none(self.budget_usd, "budget in dollars"),
            budget_tokens=typed_whole_or_none(self.budget_tokens, "budget in tokens", 1, LARGEST_BUDGET),
            save_set=self.save_set if self.save_set.strip() else None,
        )

    def chosen_neurons(self) -> NeuronChoice:
        """Errors: InvalidInput, which names the field."""
        match self.neuron_choice:
            case "listed":
                return ListedNeurons("the list", self.csv_text)
            case SavedSet.kind:
                return SavedSet(self.neuron_set.strip())
            case TopNeurons.kind:
                n = whole_number(self.n_neurons, "neurons of the model", 1, MOST_NEURONS)
                return TopNeurons(n, self.metric.strip(), self.score_method.strip() or None, self.score_scorer.strip())
        return self._of_each_layer()

    def _of_each_layer(self) -> NeuronChoice:
        per_layer = whole_number(self.n_per_layer, "neurons per layer", 1, MOST_PER_LAYER)
        layers = layer_numbers(self.layers)
        score = self.metric.strip(), self.score_method.strip() or None, self.score_scorer.strip()
        if self.neuron_choice == TopPerLayer.kind:
            return TopPerLayer(per_layer, layers, *score)
        seed = whole_number(self.seed, "seed", 0, LARGEST_SEED)
        match self.neuron_choice:
            case ClearPeaks.kind:
                return ClearPeaks(per_layer, layers, seed)
            case RandomNeurons.kind:
                return RandomNeurons(per_layer, layers, seed)
            case RandomInterpretable.kind:
                threshold = typed_decimal(self.threshold, "threshold")
                return RandomInterpretable(per_layer, layers, seed, threshold, *score)
        raise InvalidInput(f"choice of neurons {self.neuron_choice!r}; expected one of {', '.join(CHOICES)}")

    def explainer_settings(self) -> ExplainerSettings:
        """Errors: InvalidInput, which names the setting."""
        names = (
            "base_url",
            "temperature",
            "max_tokens",
            "side",
            "requests_per_minute",
            "tokens_per_minute",
            "n_in_flight",
            "timeout_seconds",
            "n_context",
            "prompt_pack",
            "excerpts",
            "n_excerpts",
            "n_few_shots",
            "cutoff",
        )
        typed = {name: getattr(self, name).strip() for name in names}
        return explainer_settings({name: text for name, text in typed.items() if text})


SentNewBatch = Annotated[NewBatchForm, Form()]


class BudgetForm(BaseModel):
    """What a batch may spend at most from now on; nothing typed takes the bound away."""

    budget_usd: str = ""
    budget_tokens: str = ""

    def usd(self) -> float | None:
        """Errors: InvalidInput."""
        return typed_decimal_or_none(self.budget_usd, "budget in dollars")

    def tokens(self) -> int | None:
        """Errors: InvalidInput."""
        return typed_whole_or_none(self.budget_tokens, "budget in tokens", 1, LARGEST_BUDGET)


SentBudget = Annotated[BudgetForm, Form()]
