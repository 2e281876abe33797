"""What an admin types to order a batch, turned into plain values. Knows forms, not the database."""

from typing import Annotated

from fastapi import Form
from pydantic import BaseModel

from app.batches.choosing import ClearPeaks, NeuronChoice
from app.explanations.explainers import ExplainerSettings, explainer_settings
from app.neurons.lists import ListedNeurons, layer_numbers, whole_number

MOST_PER_LAYER = 10_000
LARGEST_SEED = 2**31 - 1


class NewBatchForm(BaseModel):
    """The form of a new batch as typed, so that it can be shown again beside what was wrong with it.

    neuron_choice: `peaks` (n_per_layer of the layers, chosen for a clear peak) or `listed` (csv_text).
    """

    subject: str = ""
    methods: list[str] = []
    explainer: str = ""
    base_url: str = ""
    temperature: str = "1"
    side: str = "positive"
    neuron_choice: str = "peaks"
    n_per_layer: str = "1"
    layers: str = ""
    seed: str = "0"
    csv_text: str = ""

    def chosen_neurons(self) -> NeuronChoice:
        """Errors: InvalidInput, which names the field."""
        if self.neuron_choice == "listed":
            return ListedNeurons("the list", self.csv_text)
        return ClearPeaks(
            per_layer=whole_number(self.n_per_layer, "neurons per layer", 1, MOST_PER_LAYER),
            layers=layer_numbers(self.layers),
            seed=whole_number(self.seed, "seed", 0, LARGEST_SEED),
        )

    def explainer_settings(self) -> ExplainerSettings:
        """Errors: InvalidInput, which names the setting."""
        return explainer_settings(
            {
                "base_url": self.base_url.strip() or None,
                "temperature": self.temperature.strip() or 1.0,
                "side": self.side,
            }
        )


SentNewBatch = Annotated[NewBatchForm, Form()]
