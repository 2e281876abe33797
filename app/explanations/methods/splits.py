"""Which of a neuron's top records the explainer sees. The others stay unseen, so that scores can be taken on them."""

from typing import Literal

from app.neurons.records import ActivationRecord

ExcerptChoice = Literal["every4th", "top5"]

N_SPLITS = 4
N_EXPLAIN_RECORDS = 5
"""As many excerpts as the paper's prompts show."""


def explain_ranks(choice: ExcerptChoice, n_excerpts: int, n_recorded: int) -> tuple[int, ...]:
    """Ranks, from 0, of the top records that a prompt shows: n_excerpts of them, all where fewer are recorded.

    `every4th`: 0, 4, 8, 12, 16, the first of four interleaved splits over the first twenty, as the paper's code does;
    of 7 excerpts it goes on to 20 and 24. Where fewer are recorded than that takes, they are spread evenly over those
    there are: of eight records 0, 1, 3, 4, 6.
    `top5`: the five best, as the paper's text says; of 7 excerpts the best 7.
    n_recorded: how many top records of the neuron are kept, of the side that is explained.
    """
    n_shown = min(n_excerpts, n_recorded)
    if choice == "top5":
        return tuple(range(n_shown))
    if n_recorded > N_SPLITS * (n_excerpts - 1):
        return tuple(range(0, N_SPLITS * n_excerpts, N_SPLITS))
    return tuple(index * n_recorded // n_shown for index in range(n_shown))


def explain_records(
    top: tuple[ActivationRecord, ...], choice: ExcerptChoice = "every4th", n_excerpts: int = N_EXPLAIN_RECORDS
) -> tuple[ActivationRecord, ...]:
    """The records a prompt shows, out of all the top records, best first."""
    return tuple(top[rank] for rank in explain_ranks(choice, n_excerpts, len(top)))
