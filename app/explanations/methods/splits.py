"""Which of a neuron's top records the explainer sees. The others stay unseen, so that scores can be taken on them."""

from typing import Literal

from app.neurons.records import N_TOP_RECORDS, ActivationRecord

ExcerptChoice = Literal["every4th", "top5"]

N_SPLITS = 4
N_EXPLAIN_RECORDS = N_TOP_RECORDS // N_SPLITS


def explain_ranks(choice: ExcerptChoice = "every4th") -> tuple[int, ...]:
    """Ranks, from 0, of the top records that a prompt shows.

    `every4th`: 0, 4, 8, 12, 16, the first of four interleaved splits over the first twenty, as the paper's code does.
    `top5`: the five best, as the paper's text says.
    """
    return tuple(range(N_EXPLAIN_RECORDS)) if choice == "top5" else tuple(range(0, N_TOP_RECORDS, N_SPLITS))


def explain_records(
    top: tuple[ActivationRecord, ...], choice: ExcerptChoice = "every4th"
) -> tuple[ActivationRecord, ...]:
    """The records a prompt shows, out of the top records, best first; fewer than five when fewer were recorded."""
    return tuple(top[rank] for rank in explain_ranks(choice) if rank < len(top))
