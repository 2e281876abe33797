"""Which of a neuron's records an explanation is scored on: never one that its explainer saw. Knows ranks and the names
of prompt packs, no database."""

import re
from dataclasses import dataclass

from app.explanations.methods.splits import N_EXPLAIN_RECORDS, ExcerptChoice, explain_ranks

N_SPLITS = 3
"""What an explainer did not see is dealt in turn to calibration, score and test."""
N_SPLIT_RECORDS = 15
"""Five for each split."""
N_SCORED = N_SPLIT_RECORDS // N_SPLITS
_CALIBRATION, _SCORE, _TEST = 0, 1, 2

_N_EXCERPTS = re.compile(r"(\d+)excerpts?")


@dataclass(frozen=True)
class ScoringRanks:
    """Ranks, from 0, within the top records and within the random ones.

    score_top, score_random: the score split, then the test split, which nothing else uses: the first N_SCORED of them
    that are there are scored.
    """

    seen: frozenset[int]
    calibration_top: tuple[int, ...]
    score_top: tuple[int, ...]
    calibration_random: tuple[int, ...]
    score_random: tuple[int, ...]


def scoring_ranks(prompt_pack: str, n_recorded: int) -> ScoringRanks:
    """The records to score an explanation on, whether they were recorded or not.

    n_recorded: of the neuron's top records, of the side that is explained. prompt_pack: as stored with the
    explanation. What follows its hash says which top records the explainer saw (`+top5`, `+8excerpts`); imported
    explanations count as made from every fourth, as the paper's were.
    Of the top records the first fifteen unseen ones, of the random ones the first fifteen are dealt in turn to
    calibration, score and test. With every fourth of twenty seen that is the paper's: calibration 1, 5, ... 17, score
    2, 6, ... 18; of the random ones score 1, 4, ... 13. Source: paper section 2 and its published code. The paper's
    test split fills up where fewer were recorded: of ten random ones 1, 4, 7, 2, 5 are scored.
    """
    reserved = ranks_seen(prompt_pack, n_recorded)
    unseen = [rank for rank in range(N_SPLIT_RECORDS + len(reserved)) if rank not in reserved][:N_SPLIT_RECORDS]
    every = range(N_SPLIT_RECORDS)
    return ScoringRanks(
        seen=reserved,
        calibration_top=tuple(unseen[_CALIBRATION::N_SPLITS]),
        score_top=(*unseen[_SCORE::N_SPLITS], *unseen[_TEST::N_SPLITS]),
        calibration_random=tuple(every[_CALIBRATION::N_SPLITS]),
        score_random=(*every[_SCORE::N_SPLITS], *every[_TEST::N_SPLITS]),
    )


def ranks_seen(prompt_pack: str, n_recorded: int) -> frozenset[int]:
    """Ranks, from 0, of the top records that the explainer saw, and the five that it would have seen by default: with
    fewer excerpts shown, scores are still taken on the same ones. n_recorded: of the neuron's top records."""
    options = prompt_pack.rpartition("@")[2].split("+")[1:]
    counts = [int(found[1]) for option in options if (found := _N_EXCERPTS.fullmatch(option))]
    choice: ExcerptChoice = "top5" if "top5" in options else "every4th"
    numbers_shown = (max([N_EXPLAIN_RECORDS, *counts]), *counts)
    return frozenset(rank for n in numbers_shown for rank in explain_ranks(choice, n, n_recorded))
