"""Which of a neuron's records an explanation is scored on: never one that its explainer saw. Knows ranks and the names
of prompt packs, no database."""

import re
from dataclasses import dataclass

from app.explanations.methods.splits import N_EXPLAIN_RECORDS, explain_ranks

N_SPLITS = 3
"""What an explainer did not see is dealt in turn to calibration, score and test."""
N_SPLIT_RECORDS = 15
"""Five for each split."""
_CALIBRATION, _SCORE = 0, 1

_N_EXCERPTS = re.compile(r"(\d+)excerpts?")


@dataclass(frozen=True)
class ScoringRanks:
    """Ranks, from 0, within the top records and within the random ones. Those of the test split are left alone."""

    seen: frozenset[int]
    calibration_top: tuple[int, ...]
    score_top: tuple[int, ...]
    calibration_random: tuple[int, ...]
    score_random: tuple[int, ...]


def scoring_ranks(prompt_pack: str) -> ScoringRanks:
    """The records to score an explanation on, whether they were recorded or not.

    prompt_pack: as stored with the explanation. What follows its hash says which top records the explainer saw
    (`+top5`, `+8excerpts`); imported explanations count as made from every fourth, as the paper's were.
    Of the top records the first fifteen unseen ones, of the random ones the first fifteen are dealt in turn to
    calibration, score and test. With every fourth of twenty seen that is the paper's: calibration 1, 5, ... 17, score
    2, 6, ... 18; of the random ones score 1, 4, ... 13. Source: paper section 2 and its published code.
    """
    reserved = ranks_seen(prompt_pack)
    unseen = [rank for rank in range(N_SPLIT_RECORDS + len(reserved)) if rank not in reserved][:N_SPLIT_RECORDS]
    every = range(N_SPLIT_RECORDS)
    return ScoringRanks(
        seen=reserved,
        calibration_top=tuple(unseen[_CALIBRATION::N_SPLITS]),
        score_top=tuple(unseen[_SCORE::N_SPLITS]),
        calibration_random=tuple(every[_CALIBRATION::N_SPLITS]),
        score_random=tuple(every[_SCORE::N_SPLITS]),
    )


def ranks_seen(prompt_pack: str) -> frozenset[int]:
    """Ranks, from 0, of the top records that the explainer saw, at least the five that it would have seen by default:
    with fewer excerpts shown, scores are still taken on the same ones."""
    options = prompt_pack.rpartition("@")[2].split("+")[1:]
    counts = [int(found[1]) for option in options if (found := _N_EXCERPTS.fullmatch(option))]
    return frozenset(explain_ranks("top5" if "top5" in options else "every4th", max([N_EXPLAIN_RECORDS, *counts])))
