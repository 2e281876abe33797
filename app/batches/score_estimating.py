"""What a batch of scores would take, before it is ordered: calls, tokens and money. Asks nobody and stores nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy.orm import Session

from app.batches.lacking_scores import LackingScore, ScoreOrder, WantedScores, wanted_scores
from app.batches.prices import has_price, no_price, priced
from app.batches.score_planning import check_score_budget
from app.batches.wording import counted, dollars, duration
from app.explanations.explainers import NO_EXPLAINER, OPENAI, Explainer, cost_usd
from app.explanations.models import Explanation
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.scoring.asked import Asked, asked_about, embedded
from app.explanations.scoring.evidence import load_evidence
from app.explanations.scoring.settings import ADACS, SIMULATION, ScorerSettings, scoring_model, takes_tokens
from app.explanations.token_counting import TokenCounter

MOST_SCORES_SAMPLED, MOST_SIMULATIONS_SAMPLED = 40, 8
"""Each of the simulations may be hundreds of calls."""
SEED = 0


@dataclass(frozen=True)
class ScoreEstimate:
    """What a batch of scores would take.

    model: who is asked; of kind `none` where nobody is. n_calls: without tries after a failure.
    n_prompt_tokens, n_answer_tokens: of all scores, answers at most. source: how they are known.
    """

    wanted: WantedScores
    model: Explainer
    settings: ScorerSettings
    n_calls: int = 0
    n_prompt_tokens: int = 0
    n_answer_tokens: int = 0
    source: str = ""

    @property
    def usd(self) -> float | None:
        return cost_usd(self.model, self.settings, self.n_prompt_tokens, self.n_answer_tokens)

    @property
    def seconds_at_limit(self) -> float | None:
        """None where no limit is given."""
        n_tokens = self.n_prompt_tokens + self.n_answer_tokens
        limits = ((self.n_calls, self.settings.requests_per_minute), (n_tokens, self.settings.tokens_per_minute))
        minutes = [n / per_minute for n, per_minute in limits if per_minute is not None]
        return max(minutes) * 60 if minutes else None


def estimate_scores(session: Session, order: ScoreOrder, counter: TokenCounter, today: date) -> ScoreEstimate:
    """counter: of the tokens of whoever is asked. today: whose price counts. Errors: as plan_scores."""
    wanted = wanted_scores(session, order)
    model = scoring_model(wanted.model) or NO_EXPLAINER
    settings = priced(session, model, order.settings, today)
    check_score_budget(order, wanted, settings)
    estimate = ScoreEstimate(wanted, model, settings)
    if not takes_tokens(settings, wanted.model) or not wanted.lacking:
        return estimate
    sampled = _sample(
        wanted.lacking, MOST_SIMULATIONS_SAMPLED if settings.metric == SIMULATION else MOST_SCORES_SAMPLED
    )
    calls = _calls(session, [session.get_one(Explanation, one.explanation_id) for one in sampled], settings, counter)
    n_times = len(wanted.lacking) / len(sampled)
    which = "all scores" if n_times == 1 else f"{len(sampled)} of the scores"
    return replace(
        estimate,
        n_calls=round(n_times * len(calls)),
        n_prompt_tokens=round(n_times * sum(counter.n_tokens(call.chat) for call in calls)),
        n_answer_tokens=round(n_times * sum(call.n_answer_tokens for call in calls)),
        source=f"from what {which} ask, counted by {counter.name}",
    )


def score_estimate_in_words(estimate: ScoreEstimate) -> tuple[tuple[str, str], ...]:
    """(what, how much) of each line, in the order to read them in."""
    wanted = estimate.wanted
    there = f"; {wanted.n_reused:,} more {'is' if wanted.n_reused == 1 else 'are'} there already"
    lines = [("Scores", f"{len(wanted.lacking):,} to make by {wanted.scorer}{there if wanted.n_reused else ''}")]
    if wanted.n_without_activations:
        left_out = counted(wanted.n_without_activations, "explanation")
        lines.append(("Left out", f"{left_out} of neurons without stored activations"))
    if not takes_tokens(estimate.settings, wanted.model):
        return (*lines, ("Calls", "none: it is computed on the worker's machine"))
    if not wanted.lacking:
        return tuple(lines)
    return (*lines, *_calls_in_words(estimate))


def _calls_in_words(estimate: ScoreEstimate) -> list[tuple[str, str]]:
    lines = [
        ("Calls", f"about {estimate.n_calls:,} to {estimate.model}"),
        ("Prompt tokens", f"about {estimate.n_prompt_tokens:,}, {estimate.source}"),
        ("Answer tokens", f"up to about {estimate.n_answer_tokens:,}"),
    ]
    if estimate.model.kind != OPENAI:
        lines.append(("Money", "none: the model runs on this machine"))
    elif not has_price(estimate.model, estimate.settings):
        lines.append(("Money", no_price(estimate.model)))
    elif estimate.usd is not None:
        lines.append(("Money", f"up to about {dollars(estimate.usd)}"))
    if estimate.seconds_at_limit is not None:
        lines.append(("Time", f"at least {duration(estimate.seconds_at_limit)} at the given limit"))
    return lines


def _calls(
    session: Session, explanations: Sequence[Explanation], settings: ScorerSettings, counter: TokenCounter
) -> list[Asked]:
    if settings.metric == ADACS:
        return [call for one in explanations for call in embedded(one.text or "")]
    few_shots = load_pack(settings.prompt_pack).few_shots if settings.metric == SIMULATION else ()
    about = [(one.text or "", load_evidence(session, one)) for one in explanations]
    return [call for each in about for call in asked_about(*each, settings, few_shots, counter.n_tokens)]


def _sample(lacking: Sequence[LackingScore], n_at_most: int) -> list[LackingScore]:
    return random.Random(SEED).sample(list(lacking), min(len(lacking), n_at_most))
