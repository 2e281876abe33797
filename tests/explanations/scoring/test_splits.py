"""Which records an explanation is scored on."""

from itertools import product

import pytest

from app.batches.planning import explanation_key
from app.explanations.explainers import Explainer, ExplainerSettings
from app.explanations.methods import METHOD_TITLES
from app.explanations.methods.splits import ExcerptChoice, explain_ranks
from app.explanations.scoring.splits import scoring_ranks

EXPLAINER = Explainer("openai", "gpt-x")


def test_the_default_is_the_papers_and_its_test_split_fills_up() -> None:
    ranks = scoring_ranks("default@0123456789ab", 20)
    assert ranks.calibration_top == (1, 5, 9, 13, 17)
    assert ranks.score_top == (2, 6, 10, 14, 18, 3, 7, 11, 15, 19)
    assert ranks.calibration_random == (0, 3, 6, 9, 12)
    assert ranks.score_random == (1, 4, 7, 10, 13, 2, 5, 8, 11, 14)


@pytest.mark.parametrize("prompt_pack", ["none", "imported", "default@01+q99", "default@01+1shot", "my+top5@01"])
def test_what_says_nothing_of_excerpts_counts_as_every_fourth(prompt_pack: str) -> None:
    assert scoring_ranks(prompt_pack, 20) == scoring_ranks("default@0123456789ab", 20)


def test_after_the_five_best_the_next_fifteen_are_dealt_in_turn() -> None:
    ranks = scoring_ranks("default@01+top5", 20)
    assert ranks.calibration_top == (5, 8, 11, 14, 17)
    assert ranks.score_top[:5] == (6, 9, 12, 15, 18)


def test_with_fewer_excerpts_shown_the_same_ones_are_scored_on() -> None:
    assert scoring_ranks("default@01+1excerpt", 20) == scoring_ranks("default@01", 20)
    assert scoring_ranks("default@01+top5+2excerpts", 20) == scoring_ranks("default@01+top5", 20)


def test_of_few_records_as_many_are_seen_as_of_many() -> None:
    ranks = scoring_ranks("default@01", 8)
    assert ranks.seen == {0, 1, 3, 4, 6}
    assert (ranks.calibration_top[0], ranks.score_top[0]) == (2, 5)


@pytest.mark.parametrize("n_recorded", range(1, 41))
@pytest.mark.parametrize("n_excerpts", [1, 2, 5, 7])
def test_every_fourth_shows_as_many_as_asked_for_where_they_are_recorded(n_excerpts: int, n_recorded: int) -> None:
    ranks = explain_ranks("every4th", n_excerpts, n_recorded)
    assert len(set(ranks)) == len(ranks) == min(n_excerpts, n_recorded)
    assert set(ranks) <= set(range(n_recorded))
    assert ranks == tuple(sorted(ranks))
    if n_recorded > 4 * (n_excerpts - 1):
        assert ranks == tuple(range(0, 4 * n_excerpts, 4))


CHOICES: list[ExcerptChoice] = ["every4th", "top5"]


@pytest.mark.parametrize("n_recorded", [1, 4, 5, 8, 9, 13, 17, 20, 40, 200])
@pytest.mark.parametrize(("choice", "n_excerpts"), list(product(CHOICES, [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 20, 40, 100])))
def test_nothing_that_an_explainer_saw_is_scored_on(choice: ExcerptChoice, n_excerpts: int, n_recorded: int) -> None:
    """Over every combination of options, by the names that plans give them."""
    for method, n_few_shots, cutoff in product(METHOD_TITLES, (None, 1), ("q90", "q50", "q99", "q999", "share:0.5")):
        settings = ExplainerSettings(excerpts=choice, n_excerpts=n_excerpts, n_few_shots=n_few_shots, cutoff=cutoff)
        ranks = scoring_ranks(explanation_key(method, EXPLAINER, settings)[1], n_recorded)
        seen, calibration = set(explain_ranks(choice, n_excerpts, n_recorded)), ranks.calibration_top
        assert seen <= ranks.seen
        assert not ranks.seen & {*calibration, *ranks.score_top}
        assert not set(calibration) & set(ranks.score_top)
        assert (len(calibration), len(ranks.score_top)) == (5, 10)
