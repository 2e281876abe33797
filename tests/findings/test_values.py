"""Numbers per neuron: restricted, matched and averaged, against numpy, scipy and brute force."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.findings.mean_tables import Heading, difference_table, length_table, mean_table
from app.findings.paired import holm, sign_flip
from app.findings.table import Estimate, Range
from app.findings.values import Block, Condition, Neurons, NeuronValues, blocks, estimate, in_table_order, matched

ALL = Neurons("All neurons", None)
CONDITION = Condition("simulation", "local:toy", "openai:gpt-4", "default@1")
HEADING = Heading("2", "Table 2", "Mean simulation score", "simulation score", "toy", "hint", "command")


def values(of: dict[int, float]) -> NeuronValues:
    return NeuronValues(np.array(sorted(of), dtype=np.int64), np.array([of[key] for key in sorted(of)], dtype=float))


METHODS = {
    "summary": values({1: 0.4, 2: 0.5, 3: 0.9}),
    "original": values({1: 0.1, 2: 0.3, 3: 0.2, 7: 0.6}),
    "hs": values({2: 0.2, 3: 0.8, 9: 0.1}),
}


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50))
def test_an_estimate_is_the_mean_and_its_standard_error(numbers: list[float]) -> None:
    found = estimate(np.array(numbers))
    assert found is not None
    assert (found.value, found.sem) == (pytest.approx(np.mean(numbers)), pytest.approx(stats.sem(numbers)))
    assert found.n == len(numbers)


def test_one_value_has_no_standard_error_and_none_no_mean() -> None:
    assert estimate(np.array([0.5])) == Estimate(0.5, None, 1)
    assert estimate(np.array([])) is None


def test_only_neurons_that_all_methods_have_are_matched() -> None:
    names, table, n_left_out = matched(METHODS)
    assert names == ["original", "summary", "hs"]
    assert table.tolist() == [[0.3, 0.5, 0.2], [0.2, 0.9, 0.8]]
    assert n_left_out == 3, "the neurons 1, 7 and 9"


def test_a_set_takes_its_neurons_alone() -> None:
    sets = [Neurons("All neurons", None), Neurons("few", np.array([3, 1])), Neurons("others", np.array([5]))]
    found = blocks({CONDITION: METHODS}, sets)
    assert [block.neurons for block in found] == ["All neurons", "few"], "a set without values has no row"
    assert found[1].methods["summary"].values.tolist() == [0.4, 0.9]
    assert found[1].methods["hs"].neuron_ids.tolist() == [3]


def test_tokens_of_other_excerpts_are_not_compared() -> None:
    tokens = {"tokens": values({1: 0.5})}
    others = {
        pack: replace(CONDITION, prompt_pack=pack) for pack in ("default@1", "default@1+2shots", "default@1+top5")
    }
    baseline = replace(CONDITION, explainer="none", prompt_pack="none+top5")
    stored = {**dict.fromkeys(others.values(), METHODS), baseline: tokens}
    has_tokens = {block.condition.prompt_pack: "tokens" in block.methods for block in blocks(stored, [ALL])}
    assert has_tokens == {"default@1": False, "default@1+2shots": False, "default@1+top5": True}
    plain = {**stored, replace(baseline, prompt_pack="none"): tokens}
    assert all("tokens" in block.methods for block in blocks(plain, [ALL]))
    assert [block.condition for block in blocks({baseline: tokens}, [ALL])] == [baseline], "alone it has its own row"
    elsewhere = replace(baseline, scorer="another")
    assert len(blocks({**stored, elsewhere: tokens}, [ALL])) == 4


def test_methods_stand_in_the_papers_order() -> None:
    assert in_table_order({"zeta", "avhs", "alpha", "tokens", "original", "hs"}) == [
        "original",
        "hs",
        "avhs",
        "tokens",
        "alpha",
        "zeta",
    ]


def test_a_row_of_means_says_how_many_neurons_it_has() -> None:
    table = mean_table(HEADING, [Block("All neurons", CONDITION, METHODS)], ["A note."])
    (row,) = table.rows
    assert row[:5] == ("All neurons", "local:toy", "openai:gpt-4", "default@1", Range(3, 4))
    assert row[5:] == tuple(estimate(METHODS[name].values) for name in ("original", "summary", "hs"))
    assert [column.title for column in table.columns][5:] == ["Original", "Summary", "HS"]
    assert table.notes == ["A note."]


def test_a_method_that_another_row_has_is_an_empty_cell() -> None:
    other = Block("few", CONDITION, {"avhs": values({1: 0.5})})
    table = mean_table(HEADING, [Block("All neurons", CONDITION, METHODS), other], [])
    assert table.rows[1] == ("few", *table.rows[0][1:4], Range(1, 1), None, None, None, Estimate(0.5, None, 1))


def test_differences_are_on_the_neurons_of_each_pair_and_corrected_within_their_block() -> None:
    one = Block("All neurons", CONDITION, METHODS)
    table = difference_table(HEADING, [one, Block("few", CONDITION, {"hs": METHODS["hs"]})], [])
    assert [row[4:8] for row in table.rows] == [
        ("Summary", "Original", 3, 1),
        ("HS", "Original", 2, 3),
        ("HS", "Summary", 2, 2),
    ]
    each = [np.array([0.3, 0.2, 0.7]), np.array([-0.1, 0.6]), np.array([-0.3, -0.1])]
    assert [row[8] for row in table.rows] == pytest.approx([one.mean() for one in each])
    probabilities = np.array([sign_flip(one[:, None])[0] for one in each])
    assert [row[11] for row in table.rows] == pytest.approx(probabilities.tolist())
    assert [row[12] for row in table.rows] == pytest.approx(holm(probabilities).tolist())
    assert table.name == "2-differences"


def test_a_sparse_method_takes_no_neuron_from_the_others() -> None:
    sparse = METHODS | {"avhs": values({50: 0.5})}
    before, after = (difference_table(HEADING, [Block("All", CONDITION, one)], []).rows for one in (METHODS, sparse))
    assert after == before, "the pairs that share no neuron have no row"


def test_prompt_lengths_are_compared_with_original() -> None:
    """The published averages, each of two neurons that lie around them."""
    published = {"original": 2338, "summary": 959, "highlight": 886, "hs": 1032, "avhs": 1360}
    lengths = {method: values({1: mean - 10, 2: mean + 10}) for method, mean in published.items()}
    table = length_table(HEADING, [Block("All neurons", Condition("", "", "openai:gpt-4", "default@1"), lengths)], [])
    assert [(row[3], row[4], row[5]) for row in table.rows] == [
        ("Original", 2, 2338.0),
        ("Summary", 2, 959.0),
        ("Highlight", 2, 886.0),
        ("HS", 2, 1032.0),
        ("AVHS", 2, 1360.0),
    ]
    assert [f"{row[7]:.2f}" for row in table.rows] == ["1.00", "2.44", "2.64", "2.27", "1.72"]


def test_without_original_there_is_no_ratio() -> None:
    block = Block("All neurons", Condition("", "", "local:toy", "default@1"), {"hs": values({1: 1000.0})})
    assert length_table(HEADING, [block], []).rows == [
        ("All neurons", "local:toy", "default@1", "HS", 1, 1000.0, None, None)
    ]
