"""What a batch of scores would take, before it is ordered: calls, tokens and money. Builds questions; asks nobody and
stores nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.lacking_scores import LackingScore, ScoreOrder, WantedScores, wanted_scores
from app.batches.models import SCORES, Batch
from app.batches.prices import has_price, no_price, priced
from app.batches.score_planning import check_score_budget
from app.batches.wording import counted, dollars, duration
from app.explanations.explainers import NO_EXPLAINER, OPENAI, Explainer, cost_usd
from app.explanations.methods.prompt import ChatMessage
from app.explanations.models import DONE, Explanation, Score
from app.explanations.scoring.evidence import Evidence, load_evidence
from app.explanations.scoring.questions import ask_detection, ask_fuzzing, detection_questions, fuzzing_questions
from app.explanations.scoring.settings import (
    ADACS,
    DETECTION,
    FUZZING,
    ONE_AT_A_TIME,
    ScorerSettings,
    scoring_model,
    takes_tokens,
)
from app.explanations.token_counting import TokenCounter

MOST_SCORES_SAMPLED = 40
SEED = 0


@dataclass(frozen=True)
class _PerScore:
    """What one score takes in the mean; None where it is not known. n_answer_tokens: at most. source: where the tokens
    are known from, for people."""

    n_calls: float | None
    n_prompt_tokens: float | None
    n_answer_tokens: float | None
    source: str = ""


@dataclass(frozen=True)
class ScoreEstimate:
    """What a batch of scores would take.

    model: who is asked; of kind `none` where nobody is. n_calls: None where only tokens are known.
    n_prompt_tokens, n_answer_tokens: of all scores; None where nothing is known of them. source: how they are known.
    """

    wanted: WantedScores
    model: Explainer
    settings: ScorerSettings
    n_calls: int | None
    n_prompt_tokens: int | None
    n_answer_tokens: int | None
    source: str

    @property
    def usd(self) -> float | None:
        return cost_usd(self.model, self.settings, self.n_prompt_tokens, self.n_answer_tokens)

    @property
    def seconds_at_limit(self) -> float | None:
        """None where no limit is given, or nothing is known of what it limits."""
        n_tokens = None if self.n_prompt_tokens is None else self.n_prompt_tokens + (self.n_answer_tokens or 0)
        limits = ((self.n_calls, self.settings.requests_per_minute), (n_tokens, self.settings.tokens_per_minute))
        minutes = [n / per_minute for n, per_minute in limits if per_minute is not None and n is not None]
        return max(minutes) * 60 if minutes else None


def estimate_scores(session: Session, order: ScoreOrder, counter: TokenCounter, today: date) -> ScoreEstimate:
    """counter: of the tokens of whoever is asked. today: whose price counts. Errors: as plan_scores."""
    wanted = wanted_scores(session, order)
    model = scoring_model(wanted.model) or NO_EXPLAINER
    settings = priced(session, model, order.settings, today)
    check_score_budget(order, wanted, settings)
    n = len(wanted.lacking)
    per_score = None
    if takes_tokens(settings, wanted.model) and n:
        per_score = _by_earlier_batch(session, wanted, order) or _by_questions(session, wanted, order, counter)
    if per_score is None:
        return ScoreEstimate(wanted, model, settings, None, None, None, "")
    return ScoreEstimate(
        wanted,
        model,
        settings,
        n_calls=None if per_score.n_calls is None else round(n * per_score.n_calls),
        n_prompt_tokens=None if per_score.n_prompt_tokens is None else round(n * per_score.n_prompt_tokens),
        n_answer_tokens=None if per_score.n_answer_tokens is None else round(n * per_score.n_answer_tokens),
        source=per_score.source,
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
    lines = [] if estimate.n_calls is None else [("Calls", f"about {estimate.n_calls:,} to {estimate.model}")]
    if estimate.n_prompt_tokens is None or estimate.n_answer_tokens is None:
        lines.append(("Tokens", "not known before the first batch of this scorer; a budget in tokens bounds them"))
    else:
        lines.append(("Prompt tokens", f"about {estimate.n_prompt_tokens:,}, {estimate.source}"))
        lines.append(("Answer tokens", f"up to about {estimate.n_answer_tokens:,}"))
    if estimate.model.kind != OPENAI:
        lines.append(("Money", "none: the model runs on this machine"))
    elif not has_price(estimate.model, estimate.settings):
        lines.append(("Money", no_price(estimate.model)))
    elif estimate.usd is not None:
        lines.append(("Money", f"up to about {dollars(estimate.usd)}"))
    if estimate.seconds_at_limit is not None:
        lines.append(("Time", f"at least {duration(estimate.seconds_at_limit)} at the given limit"))
    return lines


def _by_earlier_batch(session: Session, wanted: WantedScores, order: ScoreOrder) -> _PerScore | None:
    """What scores of this scorer took in its latest batch; answers count as long as they were."""
    of_this = (Score.metric == order.settings.metric, Score.scorer == wanted.scorer, Score.status == DONE)
    counted_there = sa.exists().where(Score.batch_id == Batch.id, *of_this, Score.n_prompt_tokens > 0)
    batch_id = session.scalar(
        sa.select(Batch.id)
        .where(Batch.kind == SCORES, Batch.explainer == wanted.model, counted_there)
        .order_by(Batch.id.desc())
        .limit(1)
    )
    if batch_id is None:
        return None
    prompt, completion = session.execute(
        sa.select(sa.func.avg(Score.n_prompt_tokens), sa.func.avg(Score.n_completion_tokens)).where(
            Score.batch_id == batch_id, *of_this, Score.n_prompt_tokens > 0
        )
    ).one()
    return _PerScore(None, float(prompt), float(completion or 0), f"if scores take as many as in batch {batch_id}")


def _by_questions(session: Session, wanted: WantedScores, order: ScoreOrder, counter: TokenCounter) -> _PerScore | None:
    """By building what some of the scores would ask; of simulators, whose prompts only the worker knows, by counting
    their calls."""
    sampled = _sample(wanted.lacking)
    explanations = [session.get_one(Explanation, one.explanation_id) for one in sampled]
    prompts: list[list[tuple[ChatMessage, ...]]]
    if order.settings.metric == ADACS:
        prompts = [[(ChatMessage("user", one.text or ""),)] * 2 for one in explanations]
    elif order.settings.metric in (DETECTION, FUZZING):
        prompts = [_questions(one, load_evidence(session, one), order.settings.metric) for one in explanations]
    else:
        n_simulated = sum(_n_simulator_calls(load_evidence(session, one), order.settings) for one in explanations)
        return _PerScore(n_simulated / len(sampled), None, None)
    n = len(sampled)
    n_calls = sum(len(chats) for chats in prompts) / n
    n_tokens = sum(counter.n_tokens(chat) for chats in prompts for chat in chats) / n
    n_answer = 0 if order.settings.metric == ADACS else n_calls * order.settings.max_tokens
    which = "all scores" if n == len(wanted.lacking) else f"{n} of the scores"
    return _PerScore(n_calls, n_tokens, n_answer, f"from what {which} ask, counted by {counter.name}")


def _n_simulator_calls(evidence: Evidence, settings: ScorerSettings) -> int:
    """One for each token, or one for each excerpt; those that a calibration is fitted on are simulated, too."""
    excerpts = [*evidence.top, *evidence.random, *(evidence.calibration if settings.calibration != "none" else ())]
    if settings.simulator == ONE_AT_A_TIME:
        return sum(len(excerpt.record.tokens) for excerpt in excerpts)
    return len(excerpts)


def _sample(lacking: Sequence[LackingScore]) -> list[LackingScore]:
    return random.Random(SEED).sample(list(lacking), min(len(lacking), MOST_SCORES_SAMPLED))


def _questions(explanation: Explanation, evidence: Evidence, metric: str) -> list[tuple[ChatMessage, ...]]:
    questions_of, asking = (
        (detection_questions, ask_detection) if metric == DETECTION else (fuzzing_questions, ask_fuzzing)
    )
    excerpts = (*evidence.top, *evidence.random, *evidence.calibration)
    records = [excerpt.record for excerpt in excerpts]
    return [asking(explanation.text or "", question) for question in questions_of(records, evidence.cutoff)]
