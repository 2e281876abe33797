"""What a batch would take, before it is ordered: calls, tokens, money and time. Builds prompts; asks nobody and stores
nothing."""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches.lacking import CheckedOrder, OneExplanation, checked_order, existing_explanations, lacking_explanations
from app.batches.launching import BatchOrder
from app.batches.models import EXPLANATIONS, Batch
from app.batches.prices import check_budget, has_price, priced
from app.explanations.explainers import OPENAI, CallSettings, Explainer, ExplainerSettings, cost_usd
from app.explanations.methods import TOKENS, prompt_method
from app.explanations.methods.prompt import ChatMessage, PromptPack
from app.explanations.methods.skeleton import PromptTooLong, build_prompt_within
from app.explanations.models import Explanation
from app.explanations.showing import pack_of, shown_neuron
from app.explanations.token_counting import TokenCounter
from app.neurons.models import Neuron

MOST_PROMPTS_BUILT = 40
SEED = 0


@dataclass(frozen=True)
class EarlierAnswers:
    """How long answers of an explainer were in its latest batch that has any."""

    batch_id: int
    mean_tokens: float


@dataclass(frozen=True)
class BatchEstimate:
    """What a batch would take.

    n_to_make, n_reused: explanations to be made by it, and those that exist or are being made by another batch.
    n_calls: explanations that ask the explainer; the others are made by the method `tokens`.
    n_prompts_built: how many of their prompts were built and counted; n_too_long: of these, how many do not fit.
    counter: who counted them. n_prompt_tokens: of all calls, from those built. n_answer_tokens_at_most: of all calls.
    n_set_aside: tokens that a call reserves of a budget beyond those its prompt is estimated at: while it is under way
    nobody knows better than how many bytes it has.
    earlier: how long answers were before; None where the explainer has given none.
    usd_at_most, usd_likely: None where no price, or no earlier answer, is known.
    seconds_at_limit: at the allowed rate; None where no limit is given.
    settings: of the calls, with the price they were reckoned by. budget_usd, budget_tokens: None: no bound.
    """

    explainer: Explainer
    settings: CallSettings
    n_neurons: int
    n_to_make: int
    n_reused: int
    n_calls: int
    n_prompts_built: int
    n_too_long: int
    counter: str
    n_prompt_tokens: int
    n_answer_tokens_at_most: int
    n_set_aside: int
    earlier: EarlierAnswers | None
    usd_at_most: float | None
    usd_likely: float | None
    seconds_at_limit: float | None
    budget_usd: float | None
    budget_tokens: int | None

    @property
    def n_answer_tokens_likely(self) -> int | None:
        return None if self.earlier is None else round(self.n_calls * self.earlier.mean_tokens)

    @property
    def has_price(self) -> bool:
        return has_price(self.explainer, self.settings)

    def exceeds_budget(self, n_answer_tokens: int) -> bool:
        """Whether the budget is too small for all prompts with so many answer tokens in all.

        The last call needs room for all that it reserves, an answer of full length too.
        """
        n_unused = self.settings.max_tokens - n_answer_tokens / self.n_calls if self.n_calls else 0
        n_prompt, n_answers = self.n_prompt_tokens + self.n_set_aside, n_answer_tokens + math.ceil(n_unused)
        n_tokens = n_prompt + n_answers
        usd = cost_usd(self.explainer, self.settings, n_prompt, n_answers)
        return (self.budget_tokens is not None and n_tokens > self.budget_tokens) or (
            self.budget_usd is not None and usd is not None and usd > self.budget_usd
        )


def estimate_batch(session: Session, order: BatchOrder, counter: TokenCounter, today: date) -> BatchEstimate:
    """counter: of the explainer's tokens. today: whose price counts. Errors: as plan_batch."""
    checked = _checked(session, order)
    settings = priced(session, checked.explainer, order.settings, today)
    check_budget(checked.explainer, settings, order.budget_usd, order.budget_tokens)
    lacking = lacking_explanations(checked, existing_explanations(session, checked))
    asked = [one for one in lacking if one.method != TOKENS]
    prompts = _counted_prompts(session, checked, asked, counter)
    earlier = _earlier_answers(session, checked.explainer)
    n_answer_tokens = len(asked) * settings.max_tokens
    n_likely = None if earlier is None else round(len(asked) * earlier.mean_tokens)
    return BatchEstimate(
        explainer=checked.explainer,
        settings=settings,
        n_neurons=len(checked.neuron_ids),
        n_to_make=len(lacking),
        n_reused=len(checked.methods) * len(checked.neuron_ids) * checked.n_samples - len(lacking),
        n_calls=len(asked),
        n_prompts_built=prompts.n_built,
        n_too_long=prompts.n_too_long,
        counter=counter.name,
        n_prompt_tokens=prompts.n_tokens,
        n_answer_tokens_at_most=n_answer_tokens,
        n_set_aside=prompts.n_set_aside,
        earlier=earlier,
        usd_at_most=cost_usd(checked.explainer, settings, prompts.n_tokens, n_answer_tokens),
        usd_likely=cost_usd(checked.explainer, settings, prompts.n_tokens, n_likely),
        seconds_at_limit=_seconds_at_limit(settings, len(asked), prompts.n_tokens + (n_likely or 0)),
        budget_usd=order.budget_usd,
        budget_tokens=order.budget_tokens,
    )


def _checked(session: Session, order: BatchOrder) -> CheckedOrder:
    return checked_order(
        session,
        subject_name=order.subject_name,
        neurons=order.neuron_ids,
        methods=order.methods,
        explainer=order.explainer,
        settings=order.settings,
        samples=order.samples,
    )


@dataclass(frozen=True)
class _CountedPrompts:
    """n_tokens: of all prompts, those that were not built counted as their method's mean. n_set_aside: the most that a
    call reserves beyond what its prompt is counted as."""

    n_built: int
    n_too_long: int
    n_tokens: int
    n_set_aside: int


def _counted_prompts(
    session: Session, order: CheckedOrder, asked: Sequence[OneExplanation], counter: TokenCounter
) -> _CountedPrompts:
    # Methods differ by more than twice in length, so each is counted by itself, from its share of the prompts built.
    by_method: defaultdict[str, list[OneExplanation]] = defaultdict(list)
    for one in asked:
        by_method[one.method].append(one)
    n_built = n_too_long = n_set_aside = 0
    n_tokens = 0.0
    if not asked:
        return _CountedPrompts(0, 0, 0, 0)
    pack = pack_of(order.settings)
    for method, wanted in by_method.items():
        n_sampled = min(len(wanted), max(1, MOST_PROMPTS_BUILT // len(by_method)))
        sampled = random.Random(f"{SEED}:{method}").sample(wanted, n_sampled)
        prompts = [_prompt(session, order.settings, pack, one, counter) for one in sampled]
        fitting = [counter.n_tokens(prompt) for prompt in prompts if prompt is not None]
        if order.explainer.kind == OPENAI:
            beyond = (counter.n_tokens_at_most(prompt) - counter.n_tokens(prompt) for prompt in prompts if prompt)
            n_set_aside = max(n_set_aside, *beyond, 0)
        n_built += n_sampled
        n_too_long += n_sampled - len(fitting)
        # What is too long is never sent.
        n_tokens += len(wanted) * sum(fitting) / n_sampled
    return _CountedPrompts(n_built, n_too_long, round(n_tokens), n_set_aside)


def _prompt(
    session: Session, settings: ExplainerSettings, pack: PromptPack, one: OneExplanation, counter: TokenCounter
) -> Sequence[ChatMessage] | None:
    """None when it does not fit into the context."""
    shown = shown_neuron(session, session.get_one(Neuron, one.neuron_id), settings)
    n_at_most = settings.n_context - settings.max_tokens
    try:
        return build_prompt_within(prompt_method(one.method), pack, shown, counter.n_tokens, n_at_most)
    except PromptTooLong:
        return None


def _earlier_answers(session: Session, explainer: Explainer) -> EarlierAnswers | None:
    """Out of one batch, the latest that has an answer: explanations have no index by explainer, and may be millions."""
    has_answers = sa.exists().where(Explanation.batch_id == Batch.id, Explanation.n_completion_tokens > 0)
    batch_id = session.scalar(
        sa.select(Batch.id)
        .where(Batch.kind == EXPLANATIONS, Batch.explainer == str(explainer), has_answers)
        .order_by(Batch.id.desc())
        .limit(1)
    )
    if batch_id is None:
        return None
    mean = session.scalar(
        sa.select(sa.func.avg(Explanation.n_completion_tokens)).where(
            Explanation.batch_id == batch_id, Explanation.method != TOKENS, Explanation.n_completion_tokens.is_not(None)
        )
    )
    return None if mean is None else EarlierAnswers(batch_id, float(mean))


def _seconds_at_limit(settings: CallSettings, n_calls: int, n_tokens: int) -> float | None:
    limits = ((n_calls, settings.requests_per_minute), (n_tokens, settings.tokens_per_minute))
    minutes = [n / per_minute for n, per_minute in limits if per_minute is not None]
    return max(minutes) * 60 if minutes else None
