"""Which of a neuron's top records the explainer sees. The others stay unseen, so that scores can be taken on them."""

from typing import Literal

from app.neurons.records import ActivationRecord

ExcerptChoice = Literal["every4th", "top5"]

N_SPLITS = 4
N_EXPLAIN_RECORDS = 5
"""As many excerpts as the paper's prompts show."""


def explain_ranks(choice: ExcerptChoice = "every4th", n_excerpts: int = N_EXPLAIN_RECORDS) -> tuple[int, ...]:
    """Ranks, from 0, of the top records that a prompt shows, as far as there are so many records.

    `every4th`: 0, 4, 8, 12, 16, the first of four interleaved splits over the first twenty, as the paper's code does.
    `top5`: the five best, as the paper's text says.
    n_excerpts: more or fewer of them in the same way: `every4th` of 7 goes on to 20 and 24, `top5` of 7 is the best 7.
    """
    return tuple(range(n_excerpts)) if choice == "top5" else tuple(range(0, N_SPLITS * n_excerpts, N_SPLITS))


def explain_records(
    top: tuple[ActivationRecord, ...], choice: ExcerptChoice = "every4th", n_excerpts: int = N_EXPLAIN_RECORDS
) -> tuple[ActivationRecord, ...]:
    """The records a prompt shows, out of the top records, best first; fewer when fewer were recorded."""
    return tuple(top[rank] for rank in explain_ranks(choice, n_excerpts) if rank < len(top))
