"""The blocks of the five methods, and which tokens they mark."""

from itertools import permutations

import numpy as np
import pytest

from app.errors import UnknownName
from app.explanations.methods import METHOD_TITLES, PROMPT_METHODS, prompt_method
from app.explanations.methods.excerpts import excerpt_letter
from app.explanations.methods.marking import Marking, highly_activating
from app.explanations.methods.prompt import ShownNeuron
from app.explanations.methods.skeleton import build_prompt
from app.explanations.methods.splits import explain_records
from app.explanations.prompt_packs.loading import load_pack
from tests.explanations.fakes import record

PACK = load_pack("default")
CATS = ShownNeuron((record("The| cat| sat| on| mats", 0, 5.0, 1.2, -0.3, 2.6),), cutoff=2.0)

# The paper's layout, byte for byte, on the example of paper.md section 5.
CATS_BLOCKS = {
    "original": "<start>\nThe\t0\n cat\t10\n sat\t2\n on\t0\n mats\t5\n<end>",
    "summary": " Text excerpt - A:\n<start>The cat sat on mats<end> \n\nHighly activating tokens:\n cat, mats",
    "highlight": " Text excerpt - A:\n<start>The[ cat] sat on[ mats]<end> ",
    "hs": " Text excerpt - A:\n<start>The[ cat] sat on[ mats]<end> \n\nHighly activating tokens:\n cat, mats",
    "avhs": (
        " Text excerpt - A:\n<start>The[ cat][ sat] on[ mats]<end> "
        "\n\nHighly activating tokens:\n cat\t10, sat\t2, mats\t5"
    ),
}


def test_titles_stand_in_the_papers_order() -> None:
    assert METHOD_TITLES == {
        "original": "Original",
        "summary": "Summary",
        "highlight": "Highlight",
        "hs": "HS",
        "avhs": "AVHS",
        "tokens": "Tokens",
    }


@pytest.mark.parametrize("method", PROMPT_METHODS)
def test_block_of_the_papers_example(method: str) -> None:
    assert prompt_method(method).render_block(CATS, PACK) == CATS_BLOCKS[method]


@pytest.mark.parametrize("name", ["Original", "highlightsummary", "", "tokens"])
def test_only_the_five_names_make_a_prompt(name: str) -> None:
    with pytest.raises(UnknownName):
        prompt_method(name)


def test_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="'chain'; expected one of original, summary, highlight, hs, avhs, tokens"):
        prompt_method("chain")


@pytest.mark.parametrize("method", ["summary", "hs", "avhs"])
def test_no_hit_leaves_an_empty_list_line(method: str) -> None:
    silent = ShownNeuron((record("The| cat", -0.1, 0.0),), cutoff=2.0)
    assert prompt_method(method).render_block(silent, PACK) == (
        " Text excerpt - A:\n<start>The cat<end> \n\nHighly activating tokens:\n"
    )


def test_neighbouring_hits_get_a_bracket_each_and_repeats_stay() -> None:
    shown = ShownNeuron((record("ha| ha| ha|!", 3, 4, 5, 0),), cutoff=2.0)
    assert prompt_method("hs").render_block(shown, PACK) == (
        " Text excerpt - A:\n<start>[ha][ ha][ ha]!<end> \n\nHighly activating tokens:\nha, ha, ha"
    )


def test_excerpts_follow_each_other_with_their_letters() -> None:
    shown = ShownNeuron((record("a| b", 9, 0), record("c| d", 0, 9)), cutoff=2.0)
    assert prompt_method("highlight").render_block(shown, PACK) == (
        " Text excerpt - A:\n<start>[a] b<end> \n\n Text excerpt - B:\n<start>c[ d]<end> "
    )
    assert prompt_method("original").render_block(shown, PACK) == (
        "<start>\na\t10\n b\t0\n<end>\n<start>\nc\t0\n d\t10\n<end>"
    )


def test_letters_go_on_after_the_alphabet() -> None:
    letters = [excerpt_letter(index) for index in (0, 25, 26, 27, 51, 52, 701, 702)]
    assert letters == ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]
    many = ShownNeuron(tuple(record("x", 1.0) for _ in range(30)), cutoff=2.0)
    assert prompt_method("highlight").render_block(many, PACK).endswith(" Text excerpt - AD:\n<start>x<end> ")


def test_original_repeats_the_block_without_zeros_when_fewer_than_a_fifth_are_above_zero() -> None:
    sparse = ShownNeuron((record("a|b|c", 0, 8, 0), record("d|e|f", 0, 0, 0)), cutoff=2.0)
    block = "<start>\na\t0\nb\t10\nc\t0\n<end>\n<start>\nd\t0\ne\t0\nf\t0\n<end>"
    assert prompt_method("original").render_block(sparse, PACK) == (
        f"{block}\n\n{PACK.zeros_left_out}\n<start>\nb\t10\n<end>\n<start>\n<end>"
    )


def test_original_does_not_repeat_at_exactly_a_fifth() -> None:
    fifth = ShownNeuron((record("a|b|c|d|e", 0, 8, 0, 0, 0),), cutoff=2.0)
    assert prompt_method("original").render_block(fifth, PACK) == "<start>\na\t0\nb\t10\nc\t0\nd\t0\ne\t0\n<end>"


def test_values_are_relative_to_the_maximum_over_all_excerpts_shown() -> None:
    shown = ShownNeuron((record("a", 10), record("b", 5)), cutoff=2.0)
    assert prompt_method("original").render_block(shown, PACK) == "<start>\na\t10\n<end>\n<start>\nb\t5\n<end>"


def test_above_the_cutoff_is_strict_and_compares_without_rounding() -> None:
    activations = np.float16(2.0)
    shown = ShownNeuron((record("a|b", activations, 2.002),), cutoff=2.0)
    assert highly_activating(shown.records[0], shown, Marking.ABOVE_CUTOFF).tolist() == [False, True]
    # In float16 the cutoff 1.9999 would become 2.0 and hide the token.
    just_below = ShownNeuron(shown.records, cutoff=1.9999)
    assert highly_activating(shown.records[0], just_below, Marking.ABOVE_CUTOFF).tolist() == [True, True]


def test_a_tenth_of_the_maximum_marks_from_exactly_a_tenth() -> None:
    shown = ShownNeuron((record("a|b|c", 10, 1.0, 0.99),), cutoff=5.0)
    assert highly_activating(shown.records[0], shown, Marking.A_TENTH_OF_MAXIMUM).tolist() == [True, True, False]


def test_building_prompts_in_any_order_changes_none() -> None:
    # The published code overwrote the records while it built an AVHS prompt, so that later prompts of others differed.
    alone = {name: build_prompt(method, PACK, CATS) for name, method in PROMPT_METHODS.items()}
    for order in permutations(PROMPT_METHODS):
        shown = {name: build_prompt(PROMPT_METHODS[name], PACK, CATS) for name in order}
        assert shown == alone


def test_explaining_uses_every_fourth_of_the_top_twenty_by_default() -> None:
    top = tuple(record("x", float(30 - rank)) for rank in range(22))
    assert explain_records(top) == (top[0], top[4], top[8], top[12], top[16])
    assert explain_records(top, "top5") == top[:5]
    assert explain_records(top[:6]) == (top[0], top[1], top[2], top[3], top[4])
