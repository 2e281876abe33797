"""An estimate as people read it, on the form of a new batch and on the command line. Pure."""

from app.batches.estimating import BatchEstimate
from app.batches.prices import no_price
from app.batches.wording import about, counted, dollars, duration
from app.explanations.counting_here import counted_how
from app.explanations.explainers import OPENAI


def estimate_in_words(estimate: BatchEstimate) -> tuple[tuple[str, str], ...]:
    """(what, how much) of each line, in the order to read them in."""
    lines = [("Explanations", _explanations(estimate))]
    if estimate.n_calls == 0:
        return (*lines, ("Calls", "none: no model is asked"))
    lines += [
        ("Calls", f"{estimate.n_calls:,} to {estimate.explainer}"),
        ("Prompt tokens", _prompt_tokens(estimate)),
        ("Answer tokens", _answer_tokens(estimate)),
        ("Money", _money(estimate)),
        ("Time", _time(estimate)),
    ]
    if estimate.n_too_long:
        lines.append(("Too long", _too_long(estimate)))
    if estimate.budget_usd is not None or estimate.budget_tokens is not None:
        lines.append(("Budget", _budget(estimate)))
    return tuple(lines)


def _explanations(estimate: BatchEstimate) -> str:
    of_neurons = f"{estimate.n_to_make:,} to make, of {counted(estimate.n_neurons, 'neuron')}"
    there = f"; {estimate.n_reused:,} more {'is' if estimate.n_reused == 1 else 'are'} there already"
    return of_neurons + (there if estimate.n_reused else "")


def _prompt_tokens(estimate: BatchEstimate) -> str:
    is_exact = estimate.n_prompts_built == estimate.n_calls
    built = "all prompts" if is_exact else f"{estimate.n_prompts_built} of the prompts"
    n = f"{estimate.n_prompt_tokens:,}" if is_exact else about(estimate.n_prompt_tokens)
    return f"{n}, from {built} built and {counted_how(estimate.counter)}"


def _answer_tokens(estimate: BatchEstimate) -> str:
    at_most = f"{estimate.n_answer_tokens_at_most:,} at most, {estimate.settings.max_tokens} each"
    if estimate.earlier is None:
        return at_most
    return (
        f"{at_most}; {about(estimate.n_answer_tokens_likely or 0)} if answers are as long as in batch "
        f"{estimate.earlier.batch_id} ({estimate.earlier.mean_tokens:.0f} each)"
    )


def _money(estimate: BatchEstimate) -> str:
    if estimate.explainer.kind != OPENAI:
        return "none: the model runs on this machine"
    if not estimate.has_price or estimate.usd_at_most is None:
        return no_price(estimate.explainer)
    settings = estimate.settings
    price = (
        f"{dollars(settings.usd_per_million_prompt_tokens or 0.0)} per million prompt tokens and "
        f"{dollars(settings.usd_per_million_completion_tokens or 0.0)} per million answer tokens"
    )
    as_of = f", as of {settings.price_as_of}" if settings.price_as_of else ""
    likely = "" if estimate.usd_likely is None else f"; about {dollars(estimate.usd_likely)} with such answers"
    return f"at most {dollars(estimate.usd_at_most)}{likely} ({price}{as_of})"


def _time(estimate: BatchEstimate) -> str:
    if estimate.seconds_at_limit is not None:
        return f"at least {duration(estimate.seconds_at_limit)} at the given limit"
    if estimate.explainer.kind == OPENAI:
        return "as fast as the server answers: no limit is given"
    return "as fast as this machine computes"


def _too_long(estimate: BatchEstimate) -> str:
    verb = "does" if estimate.n_too_long == 1 else "do"
    return (
        f"{estimate.n_too_long} of the {counted(estimate.n_prompts_built, 'prompt')} built {verb} not fit into "
        f"{estimate.settings.n_context:,} tokens with the answer, and would fail"
    )


def _budget(estimate: BatchEstimate) -> str:
    bounds = [] if estimate.budget_usd is None else [dollars(estimate.budget_usd)]
    if estimate.budget_tokens is not None:
        bounds.append(counted(estimate.budget_tokens, "token"))
    if estimate.exceeds_budget(estimate.n_answer_tokens_likely or 0):
        verdict = "will stop the batch before its end"
    elif estimate.exceeds_budget(estimate.n_answer_tokens_at_most):
        verdict = "may stop the batch before its end"
    else:
        verdict = "is enough"
    beyond = f"; a call under way sets aside {estimate.n_set_aside:,} tokens more than estimated"
    return f"{' and '.join(bounds)}: {verdict}{beyond if estimate.n_set_aside else ''}"
