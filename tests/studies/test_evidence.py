"""Which excerpts stand beside the descriptions: without the explained ones, none that any of the prompts showed."""

import pytest

from app.studies.dealing.evidence import shown_ranks
from tests.studies.test_dealing import plain

RECORDED = {"top": 20, "random": 2}
DEFAULT = "default@0123456789ab"


@pytest.mark.parametrize(
    ("prompt_packs", "top"),
    [
        ([], [1, 2, 3, 5]),
        ([DEFAULT, "none"], [1, 2, 3, 5]),
        ([f"{DEFAULT}+top5"], [5, 6, 7, 8]),
        ([DEFAULT, f"{DEFAULT}+top5+q99"], [5, 6, 7, 9]),
        ([f"{DEFAULT}+top5+8excerpts"], [8, 9, 10, 11]),
    ],
)
def test_what_the_prompts_of_any_description_showed_is_passed_over(prompt_packs: list[str], top: list[int]) -> None:
    protocol = plain(evidence={"top": 4, "random": 5}, shows_explained=False)
    assert shown_ranks(protocol, RECORDED, prompt_packs) == {"top": top, "random": [0, 1]}


def test_of_a_neuron_with_few_excerpts_what_its_prompts_spread_over_is_passed_over() -> None:
    protocol = plain(evidence={"top": 4}, shows_explained=False)
    assert shown_ranks(protocol, {"top": 8}, [DEFAULT]) == {"top": [2, 5, 7]}
    assert shown_ranks(protocol, {"top": 8}, [DEFAULT, f"{DEFAULT}+3excerpts"]) == {"top": [7]}


def test_with_the_explained_ones_the_best_are_shown() -> None:
    protocol = plain(evidence={"top": 4}, shows_explained=True)
    assert shown_ranks(protocol, RECORDED, [f"{DEFAULT}+top5"]) == {"top": [0, 1, 2, 3]}
