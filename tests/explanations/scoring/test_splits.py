"""Which records an explanation is scored on."""

from itertools import product

import pytest

from app.batches.planning import explanation_key
from app.explanations.explainers import Explainer, ExplainerSettings
from app.explanations.methods import METHOD_TITLES
from app.explanations.methods.splits import ExcerptChoice, explain_ranks
from app.explanations.scoring.splits import scoring_ranks

EXPLAINER = Explainer("openai", "gpt-x")


def test_the_default_is_the_papers() -> None:
    ranks = scoring_ranks("default@0123456789ab")
    assert ranks.calibration_top == (1, 5, 9, 13, 17)
    assert ranks.score_top == (2, 6, 10, 14, 18)
    assert ranks.calibration_random == (0, 3, 6, 9, 12)
    assert ranks.score_random == (1, 4, 7, 10, 13)


@pytest.mark.parametrize("prompt_pack", ["none", "imported", "default@01+q99", "default@01+1shot", "my+top5@01"])
def test_what_says_nothing_of_excerpts_counts_as_every_fourth(prompt_pack: str) -> None:
    assert scoring_ranks(prompt_pack) == scoring_ranks("default@0123456789ab")


def test_after_the_five_best_the_next_fifteen_are_dealt_in_turn() -> None:
    ranks = scoring_ranks("default@01+top5")
    assert ranks.calibration_top == (5, 8, 11, 14, 17)
    assert ranks.score_top == (6, 9, 12, 15, 18)


def test_with_fewer_excerpts_shown_the_same_ones_are_scored_on() -> None:
    assert scoring_ranks("default@01+1excerpt") == scoring_ranks("default@01")
    assert scoring_ranks("default@01+top5+2excerpts") == scoring_ranks("default@01+top5")


CHOICES: list[ExcerptChoice] = ["every4th", "top5"]


@pytest.mark.parametrize(("choice", "n_excerpts"), list(product(CHOICES, [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 20, 40, 100])))
def test_nothing_that_an_explainer_saw_is_scored_on(choice: ExcerptChoice, n_excerpts: int) -> None:
    """Over every combination of options, by the names that plans give them."""
    for method, n_few_shots, cutoff in product(METHOD_TITLES, (None, 1), ("q90", "q50", "q99", "q999", "share:0.5")):
        settings = ExplainerSettings(excerpts=choice, n_excerpts=n_excerpts, n_few_shots=n_few_shots, cutoff=cutoff)
        ranks = scoring_ranks(explanation_key(method, EXPLAINER, settings)[1])
        seen, calibration, score = set(explain_ranks(choice, n_excerpts)), ranks.calibration_top, ranks.score_top
        assert seen <= ranks.seen
        assert not seen & {*calibration, *score}
        assert not set(calibration) & set(score)
        assert (len(calibration), len(score)) == (5, 5)
