"""What a protocol comes to for so many neurons: numbers and plain words for whoever designs the study. Pure."""

from dataclasses import dataclass

from app.studies.drafting.power import POWER, detectable_difference, neurons_needed, power_of
from app.studies.protocol import Protocol

DIFFERENCES = (0.1, 0.2, 0.3, 0.5)
"""In mean rating, on the scale 1-5, for which the power is shown."""


@dataclass(frozen=True)
class PowerLine:
    """power: chance, 0 to 1, to find this difference. n_needed: judgements of each condition for 80 %."""

    difference: float
    power: float
    n_needed: int
    is_enough: bool


@dataclass(frozen=True)
class Plan:
    """A study in numbers, once every planned rater has done their share.

    n_per_rater: neurons that one rater judges. n_shared: neurons that every rater judges.
    n_judgements: of all raters, each of one neuron; every condition is rated in each of them.
    n_uncovered: neurons for which the planned raters do not suffice.
    """

    n_neurons: int
    n_raters: int
    n_per_rater: int
    n_shared: int
    n_judgements: int
    n_uncovered: int


def plan_of(protocol: Protocol, n_neurons: int) -> Plan:
    n_shared, n_per_rater = protocol.n_shared(n_neurons), protocol.share_of_each(n_neurons)
    quota = min(protocol.quota_of_others(), protocol.n_raters)
    shared_each = min(n_shared, n_per_rater)
    n_others = n_neurons - n_shared
    slots_given = min(protocol.n_raters * (n_per_rater - shared_each), n_others * quota)
    return Plan(
        n_neurons=n_neurons,
        n_raters=protocol.n_raters,
        n_per_rater=n_per_rater,
        n_shared=n_shared,
        n_judgements=protocol.n_raters * shared_each + slots_given,
        n_uncovered=max(0, n_others - slots_given),
    )


def sharing_words(protocol: Protocol, n_neurons: int) -> tuple[str, ...]:
    """Who judges what, in sentences."""
    plan = plan_of(protocol, n_neurons)
    sentences = [_who_judges(plan), f"That makes {_counted(plan.n_judgements, 'judgement')} of each condition."]
    if 0 < plan.n_shared < plan.n_neurons:
        others = "once" if protocol.quota_of_others() == 1 else f"by {protocol.quota_of_others()} raters"
        sentences.insert(1, f"The other {plan.n_neurons - plan.n_shared} are judged {others}.")
    if protocol.sharing == "overlap":
        sentences.insert(1, f"Each neuron is judged by {_counted(protocol.raters_per_neuron, 'rater')}.")
    if protocol.sharing == "split" and plan.n_raters > 1:
        sentences.insert(1, "No neuron is judged twice, so how far raters agree cannot be computed.")
    if plan.n_uncovered:
        sentences.append(f"{_counted(plan.n_uncovered, 'neuron')} would be left over: more raters are needed.")
    return tuple(sentences)


def _who_judges(plan: Plan) -> str:
    who = "One rater judges" if plan.n_raters == 1 else f"Each of {plan.n_raters:,} raters judges"
    if plan.n_per_rater == plan.n_neurons:
        return f"{who} all {_counted(plan.n_neurons, 'neuron')}."
    shared = f", {min(plan.n_shared, plan.n_per_rater):,} of them shared by all" if plan.n_shared else ""
    return f"{who} {_counted(plan.n_per_rater, 'neuron')}{shared}."


def power_lines(n: int, sd: float, correlation: float) -> tuple[PowerLine, ...]:
    """For n judgements of each condition. Errors: InvalidInput."""
    powers = [(difference, power_of(n, difference, sd, correlation)) for difference in DIFFERENCES]
    return tuple(
        PowerLine(difference, power, neurons_needed(difference, sd, correlation), power >= POWER)
        for difference, power in powers
    )


def power_words(protocol: Protocol, n_neurons: int, sd: float, correlation: float) -> tuple[str, ...]:
    """What the study can tell from chance, in sentences. Errors: InvalidInput."""
    n_judgements = plan_of(protocol, n_neurons).n_judgements
    smallest = detectable_difference(n_judgements, sd, correlation)
    words = [f"With these numbers it can detect a difference of {smallest:.2f} in mean rating, four times out of five."]
    if n_judgements > n_neurons:
        cautious = detectable_difference(n_neurons, sd, correlation)
        words.append(
            "Judgements of one neuron by several raters tell less than those of several neurons: "
            f"counting each neuron once, it is {cautious:.2f}."
        )
    return tuple(words)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
