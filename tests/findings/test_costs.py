"""Table 7: what is unknown never looks cheap."""

from dataclasses import replace

from app.findings.costs import BatchCost, cost_table
from app.findings.formats import as_csv

FIVE = frozenset({"original", "summary", "highlight", "hs", "avhs"})
BATCH = BatchCost("Explain", "openai:gpt-4", "default@1", FIVE, 100, 1.0, 20.0, 650_000, 4320.0)


def rows(*batches: BatchCost) -> list[str]:
    return as_csv(cost_table("toy", batches, [], "hint", "command")).splitlines()[1:]


def test_the_table_is_per_thousand_neurons() -> None:
    assert as_csv(cost_table("toy", [BATCH], [], "hint", "command")) == (
        "work,model,settings,methods,n_batches,n_neurons,usd,tokens,hours\n"
        'Explain,openai:gpt-4,default@1,"Original, Summary, Highlight, HS, AVHS",1,100,200.0,6500000.0,12.0\n'
    )


def test_batches_of_the_same_work_are_added_up_before_they_are_divided() -> None:
    larger = replace(BATCH, n_neurons=300, usd=20.0, tokens=0, seconds=0.0)
    assert rows(BATCH, larger) == [
        'Explain,openai:gpt-4,default@1,"Original, Summary, Highlight, HS, AVHS",2,400,100.0,1625000.0,3.0'
    ]


def test_other_work_models_settings_and_methods_have_rows_of_their_own() -> None:
    others = (
        BATCH,
        replace(BATCH, work="Score: Simulation", settings="all-at-once"),
        replace(BATCH, work="Score: Simulation", settings="one-at-a-time"),
        replace(BATCH, model="local:toy"),
        replace(BATCH, methods=frozenset({"summary"})),
    )
    assert [line.rsplit(",", 5)[0] for line in rows(*others)] == [
        'Explain,local:toy,default@1,"Original, Summary, Highlight, HS, AVHS"',
        'Explain,openai:gpt-4,default@1,"Original, Summary, Highlight, HS, AVHS"',
        "Explain,openai:gpt-4,default@1,Summary",
        'Score: Simulation,openai:gpt-4,all-at-once,"Original, Summary, Highlight, HS, AVHS"',
        'Score: Simulation,openai:gpt-4,one-at-a-time,"Original, Summary, Highlight, HS, AVHS"',
    ]


def test_samples_are_divided_by() -> None:
    assert rows(replace(BATCH, n_each=2.0))[0].endswith(",1,100,100.0,3250000.0,6.0")


def test_one_unknown_figure_makes_the_sum_unknown() -> None:
    unknown = replace(BATCH, usd=None, tokens=None, seconds=None)
    assert rows(BATCH, unknown) == ['Explain,openai:gpt-4,default@1,"Original, Summary, Highlight, HS, AVHS",2,200,,,']


def test_a_cost_of_nothing_is_a_figure() -> None:
    assert rows(replace(BATCH, usd=0.0))[0].endswith(",100,0.0,6500000.0,12.0")


def test_a_batch_without_neurons_is_left_out() -> None:
    assert rows(replace(BATCH, n_neurons=0)) == []
