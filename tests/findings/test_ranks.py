"""Table 6 against the averages that the paper prints."""

import pytest

from app.findings.ranks import Evaluation, average_ranks, rank_table, ranks

METHODS = ("original", "summary", "highlight", "hs", "avhs")
GPT35, GPT4 = "openai:gpt-3.5-turbo", "openai:gpt-4"
AVERAGE_RANKS = {"original": "3.86", "summary": "1.43", "highlight": "3.86", "hs": "2.43", "avhs": "3.43"}
"""As published."""

# The paper's numbers: Table 2, for both of its neuron sets, and the mean ratings of Table 5.
SIMULATION = {
    "Random": {
        GPT35: (0.0962, 0.1249, 0.1129, 0.1239, 0.1093),
        GPT4: (0.1211, 0.1238, 0.1241, 0.1193, 0.1219),
    },
    "Random interpretable": {
        GPT35: (0.2420, 0.2933, 0.2603, 0.2833, 0.2791),
        GPT4: (0.2284, 0.2252, 0.2237, 0.2173, 0.2216),
    },
}
HUMAN = {GPT35: (3.487, 4.308, 4.054, 4.196, 3.842), GPT4: (4.367, 4.396, 4.271, 4.350, 4.312)}

# Not the paper's numbers. We do not have its Tables 3 and 4, and it does not say by which neuron set Table 6 ranks the
# simulation scores: these are ranks by AdaCS, GPT-3.5's puzzles and GPT-4's that are consistent with its averages under
# either reading. The averages leave open which of the three is which.
CONSISTENT = {
    "Random": ((4, 1, 5, 2, 3), (3, 1, 5, 2, 4), (4, 3, 5, 1, 2)),
    "Random interpretable": ((5, 1, 4, 2, 3), (5, 1, 3, 2, 4), (4, 3, 5, 1, 2)),
}


def evaluation(name: str, explainer: str, means: tuple[float, ...], by: str = "paper") -> Evaluation:
    return Evaluation(name, by, explainer, "paper", 48, dict(zip(METHODS, means, strict=True)))


def of_the_paper(neuron_set: str) -> list[Evaluation]:
    scores = [tuple(1 - rank / 10 for rank in each) for each in CONSISTENT[neuron_set]]
    others = zip((("AdaCS", GPT35), ("Puzzles", GPT35), ("Puzzles", GPT4)), scores, strict=True)
    return [
        *(evaluation("Simulation", explainer, means) for explainer, means in SIMULATION[neuron_set].items()),
        *(evaluation(name, explainer, means) for (name, explainer), means in others),
        *(evaluation("Human", explainer, means) for explainer, means in HUMAN.items()),
    ]


@pytest.mark.parametrize("neuron_set", ["Random", "Random interpretable"])
def test_the_papers_tables_give_the_published_average_ranks(neuron_set: str) -> None:
    averages, left_out = average_ranks(of_the_paper(neuron_set))
    assert {method: f"{average:.2f}" for method, average in averages.items()} == AVERAGE_RANKS
    assert left_out == []


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (SIMULATION["Random"][GPT35], [5, 1, 3, 2, 4]),
        (SIMULATION["Random"][GPT4], [4, 2, 1, 5, 3]),
        (SIMULATION["Random interpretable"][GPT35], [5, 1, 4, 2, 3]),
        (SIMULATION["Random interpretable"][GPT4], [1, 2, 3, 5, 4]),
        (HUMAN[GPT35], [5, 1, 3, 2, 4]),
        (HUMAN[GPT4], [2, 1, 5, 3, 4]),
    ],
)
def test_ranks_of_the_papers_own_numbers(means: tuple[float, ...], expected: list[int]) -> None:
    assert list(ranks(dict(zip(METHODS, means, strict=True))).values()) == expected


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert ranks({"original": 0.5, "summary": 0.7, "hs": 0.5, "avhs": 0.1}) == {
        "original": 2.5,
        "summary": 1.0,
        "hs": 2.5,
        "avhs": 4.0,
    }


def test_means_that_differ_by_their_order_of_addition_only_are_tied() -> None:
    assert ranks({"original": 0.1 + 0.2, "summary": 0.3}) == {"original": 1.5, "summary": 1.5}


def test_the_table_has_a_row_per_evaluation_and_the_average() -> None:
    table = rank_table("gpt2-xl", of_the_paper("Random"), [], "hint", "command")
    assert [column.name for column in table.columns] == ["evaluation", "by", "explainer", "prompt_pack", "n", *METHODS]
    assert table.rows[0] == ("Simulation", "paper", GPT35, "paper", 48, 5.0, 1.0, 3.0, 2.0, 4.0)
    assert table.rows[-1][0] == "Average rank"
    assert len(table.rows) == 8
    assert table.notes == []


def test_evaluations_of_other_methods_than_most_are_ranked_but_not_averaged() -> None:
    two = Evaluation("Human", "demo", GPT4, "", 9, {"original": 4.0, "summary": 3.0})
    averages, left_out = average_ranks([*of_the_paper("Random"), two])
    assert {method: f"{average:.2f}" for method, average in averages.items()} == AVERAGE_RANKS
    assert left_out == [two]
    table = rank_table("gpt2-xl", [*of_the_paper("Random"), two], ["Before."], "hint", "command")
    assert table.rows[-2] == ("Human", "demo", GPT4, "", 9, 1.0, 2.0, None, None, None)
    assert table.notes == ["Before.", f"Not in the average: Human by demo, {GPT4}; it lacks Highlight, HS, AVHS."]


def test_where_choices_are_equally_common_the_larger_one_is_averaged() -> None:
    two = Evaluation("Human", "demo", GPT4, "", 9, {"original": 4.0, "summary": 3.0})
    averages, left_out = average_ranks([two, evaluation("AdaCS", GPT4, (1, 2, 3, 4, 5))])
    assert (len(averages), left_out) == (5, [two])


def test_a_single_method_has_no_rank() -> None:
    alone = Evaluation("AdaCS", "imported", GPT4, "", 9, {"original": 4.0})
    assert rank_table("gpt2-xl", [alone], [], "hint", "command").rows == []


def test_an_evaluation_that_was_measured_again_counts_once() -> None:
    good, bad = (0.1, 0.2, 0.3, 0.4, 0.5), (0.5, 0.4, 0.3, 0.2, 0.1)
    once = [evaluation("Simulation", GPT4, good), evaluation("Human", GPT4, bad)]
    again = [evaluation("Simulation", GPT4, good, by=f"calibrated {n}") for n in range(3)]
    assert average_ranks([*once, *again]) == average_ranks(once) == (dict.fromkeys(METHODS, 3.0), [])
    other = evaluation("Simulation", GPT4, bad, by="another scorer")
    assert average_ranks([*once, other])[0]["original"] == (3.0 + 1.0) / 2


def test_many_measurements_of_few_methods_do_not_choose_what_is_averaged() -> None:
    few = [Evaluation("AdaCS", f"scorer {n}", GPT4, "", 9, {"original": 0.1, "hs": 0.2}) for n in range(3)]
    averages, left_out = average_ranks([evaluation("Simulation", GPT4, (1, 2, 3, 4, 5)), *few])
    assert (len(averages), left_out) == (5, few)
