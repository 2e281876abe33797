"""What a protocol comes to, in numbers and in words, before anybody is invited."""

import pytest

from app.studies.drafting.plan import Plan, plan_of, power_lines, power_words, sharing_words
from app.studies.protocol import CROSSED, Protocol

MIXED = Protocol(sharing="mixed", n_raters=5, shared_percent=20)
OVERLAP = Protocol(sharing="overlap", n_raters=6, raters_per_neuron=3)


@pytest.mark.parametrize(
    ("protocol", "plan"),
    [
        (MIXED, Plan(48, 5, 18, 10, 88, 0)),
        (CROSSED, Plan(48, 5, 48, 48, 240, 0)),
        (OVERLAP, Plan(48, 6, 24, 0, 144, 0)),
        (Protocol(sharing="split", n_raters=4), Plan(48, 4, 12, 0, 48, 0)),
        (Protocol(sharing="split", n_raters=4, neurons_per_rater=10), Plan(48, 4, 10, 0, 40, 8)),
        (Protocol(sharing="overlap", n_raters=2, raters_per_neuron=3), Plan(48, 2, 48, 0, 96, 0)),
        (Protocol(sharing="mixed", n_raters=3, neurons_per_rater=4), Plan(48, 3, 4, 10, 12, 38)),
    ],
)
def test_a_protocol_comes_to_numbers(protocol: Protocol, plan: Plan) -> None:
    assert plan_of(protocol, 48) == plan


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (
            MIXED,
            "Each of 5 raters judges 18 neurons, 10 of them shared by all. The other 38 are judged once. "
            "That makes 88 judgements of each condition.",
        ),
        (CROSSED, "Each of 5 raters judges all 48 neurons. That makes 240 judgements of each condition."),
        (
            OVERLAP,
            "Each of 6 raters judges 24 neurons. Each neuron is judged by 3 raters. "
            "That makes 144 judgements of each condition.",
        ),
        (
            Protocol(sharing="split", n_raters=4, neurons_per_rater=10),
            "Each of 4 raters judges 10 neurons. No neuron is judged twice, so how far raters agree cannot be "
            "computed. That makes 40 judgements of each condition. "
            "8 neurons would be left over: more raters are needed.",
        ),
        (
            Protocol(sharing="crossed", n_raters=1),
            "One rater judges all 48 neurons. That makes 48 judgements of each condition.",
        ),
    ],
)
def test_who_judges_what_is_said_in_words(protocol: Protocol, words: str) -> None:
    assert " ".join(sharing_words(protocol, 48)) == words


def test_the_power_is_said_for_judgements_and_more_cautiously_for_neurons() -> None:
    assert power_words(MIXED, 48, 0.78, 0.3) == (
        "With these numbers it can detect a difference of 0.28 in mean rating, four times out of five.",
        "Judgements of one neuron by several raters tell less than those of several neurons: counting each neuron "
        "once, it is 0.37.",
    )
    assert len(power_words(Protocol(sharing="split"), 48, 0.78, 0.3)) == 1


def test_the_power_is_shown_for_small_and_large_differences() -> None:
    lines = power_lines(88, 0.78, 0.3)
    assert [(line.difference, line.n_needed, line.is_enough) for line in lines] == [
        (0.1, 669, False),
        (0.2, 168, False),
        (0.3, 75, True),
        (0.5, 27, True),
    ]
    assert [round(line.power, 3) for line in lines] == [0.174, 0.529, 0.862, 0.999]
