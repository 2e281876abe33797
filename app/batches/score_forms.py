"""What an admin types to order a batch of scores, turned into plain values. Knows forms, not the database."""

from typing import Annotated

from fastapi import Form
from pydantic import Field

from app.batches.forms import LARGEST_BUDGET, CallFields
from app.batches.lacking_scores import ScoreOrder
from app.batches.typed_numbers import typed_decimal, typed_decimal_or_none, typed_whole_or_none
from app.explanations.scoring.settings import ADACS, LEXICAL, NO_MODEL, SIMULATION, ScorerSettings, scorer_settings
from app.neurons.lists import whole_number

LONGEST_ANSWER = 4096
MOST_IN_FLIGHT = 256


class NewScoresForm(CallFields):
    """The form of a new batch of scores as typed, so that it can be shown again beside what was wrong with it.

    methods: of the explanations; none means all. explainers: their names between commas; nothing means all.
    neuron_set: a saved set's name, or nothing for all neurons.
    simulator, calibration, prompt_pack: of the metric simulation; reference_explainer: of adacs. Others leave them be.
    Settings that are left empty have their default.
    """

    subject: str = ""
    metric: str = SIMULATION
    scorer: str = ""
    simulator: str = "all-at-once"
    calibration: str = "none"
    prompt_pack: str = "default"
    reference_explainer: str = ""
    methods: list[str] = Field(default_factory=list)
    explainers: str = ""
    neuron_set: str = ""
    temperature: str = "0"

    def order(self) -> ScoreOrder:
        """Errors: InvalidInput, which names the field."""
        return ScoreOrder(
            subject_name=self.subject,
            # The form hides these fields then; what was typed for another metric before is not meant.
            model=NO_MODEL if self.metric == LEXICAL else self.scorer,
            settings=self.settings(),
            methods=tuple(self.methods),
            explainers=tuple(name for part in self.explainers.split(",") if (name := part.strip())),
            neuron_set=self.neuron_set or None,
            budget_usd=None if self.metric == LEXICAL else typed_decimal_or_none(self.budget_usd, "budget in dollars"),
            budget_tokens=(
                None
                if self.metric == LEXICAL
                else typed_whole_or_none(self.budget_tokens, "budget in tokens", 1, LARGEST_BUDGET)
            ),
        )

    def settings(self) -> ScorerSettings:
        """Errors: InvalidInput, which names the setting."""
        chosen = {
            "metric": self.metric,
            "base_url": self.base_url.strip() or None,
            "temperature": typed_decimal(self.temperature or "0", "temperature"),
            "max_tokens": whole_number(self.max_tokens, "length of an answer", 1, LONGEST_ANSWER),
            "requests_per_minute": typed_decimal_or_none(self.requests_per_minute, "requests a minute"),
            "tokens_per_minute": typed_decimal_or_none(self.tokens_per_minute, "tokens a minute"),
            "n_in_flight": whole_number(self.n_in_flight, "calls at once", 1, MOST_IN_FLIGHT),
            "timeout_seconds": typed_decimal(self.timeout_seconds or "60", "time-out"),
        }
        if self.metric == SIMULATION:
            chosen |= {
                "simulator": self.simulator,
                "calibration": self.calibration,
                "prompt_pack": self.prompt_pack.strip() or "default",
            }
        if self.metric == ADACS:
            chosen["reference_explainer"] = self.reference_explainer.strip() or None
        return scorer_settings(chosen)


SentNewScores = Annotated[NewScoresForm, Form()]
