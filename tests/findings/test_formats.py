"""One table in every format, compared whole."""

import csv
import io
import json
from dataclasses import replace

import pytest

from app.findings.formats import as_csv, as_json, as_latex, as_text, escaped
from app.findings.table import UNKNOWN, Column, Estimate, Range, Table, shown

TABLE = Table(
    name="2",
    number="Table 2",
    title="Mean simulation score",
    subject="toy_1",
    caption="Mean ± SEM.",
    columns=(
        Column("neurons", "Neurons"),
        Column("explainer", "Explainer", "code"),
        Column("n", "n", "count"),
        Column("original", "Original", "estimate"),
        Column("hs", "HS", "estimate"),
        Column("usd", "US$", "number", 2, UNKNOWN),
        Column("p", "p", "p"),
    ),
    rows=(
        ("Top, 5 %", "openai:gpt_4", 1200, Estimate(-0.1235, 0.25, 1200), None, 0.0, 0.0004),
        ("All", "local:toy", 1, Estimate(1 / 3, None, 1), Estimate(0.5, 0.125, 3), None, 0.25),
    ),
    notes=("2 undefined scores left out.",),
    hint="Do this.",
    command="neuronjury run",
)


def test_the_csv_keeps_every_digit() -> None:
    assert as_csv(TABLE) == (
        "neurons,explainer,n,original,original_sem,original_n,hs,hs_sem,hs_n,usd,p\n"
        '"Top, 5 %",openai:gpt_4,1200,-0.1235,0.25,1200,,,,0.0,0.0004\n'
        "All,local:toy,1,0.3333333333333333,,1,0.5,0.125,3,,0.25\n"
    )
    lines = list(csv.reader(io.StringIO(as_csv(TABLE))))
    assert {len(line) for line in lines} == {11}


def test_the_json_names_every_cell() -> None:
    assert json.loads(as_json([TABLE])) == [
        {
            "name": "2",
            "number": "Table 2",
            "title": "Mean simulation score",
            "subject": "toy_1",
            "caption": "Mean ± SEM.",
            "columns": {
                "neurons": "Neurons",
                "explainer": "Explainer",
                "n": "n",
                "original": "Original",
                "hs": "HS",
                "usd": "US$",
                "p": "p",
            },
            "rows": [
                {
                    "neurons": "Top, 5 %",
                    "explainer": "openai:gpt_4",
                    "n": 1200,
                    "original": {"value": -0.1235, "sem": 0.25, "n": 1200},
                    "hs": None,
                    "usd": 0.0,
                    "p": 0.0004,
                },
                {
                    "neurons": "All",
                    "explainer": "local:toy",
                    "n": 1,
                    "original": {"value": 1 / 3, "sem": None, "n": 1},
                    "hs": {"value": 0.5, "sem": 0.125, "n": 3},
                    "usd": None,
                    "p": 0.25,
                },
            ],
            "notes": ["2 undefined scores left out."],
        }
    ]


def test_the_latex_is_one_table() -> None:
    assert as_latex(TABLE) == (
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{Mean simulation score, toy\\_1. Mean $\\pm$ SEM.}\n"
        "\\label{tab:2}\n"
        "\\begin{tabular}{llrrrrr}\n"
        "\\toprule\n"
        "Neurons & Explainer & n & Original & HS & US\\$ & p \\\\\n"
        "\\midrule\n"
        "Top, 5 \\% & openai:gpt\\_4 & 1,200 & $-$0.123 $\\pm$ 0.250 & -- & 0.00 & $<$ 0.001 \\\\\n"
        "All & local:toy & 1 & 0.333 $\\pm$ -- & 0.500 $\\pm$ 0.125 & unknown & 0.250 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\end{table}\n"
        "% 2 undefined scores left out.\n"
    )


def test_nothing_that_people_named_is_a_command_of_latex() -> None:
    assert escaped(r"a\b & 5 % $x_1^2 #{~}" + "\nnext") == (
        r"a\textbackslash{}b \& 5 \% \$x\_1\textasciicircum{}2 \#\{\textasciitilde{}\} next"
    )


def test_the_terminal_gets_aligned_columns() -> None:
    assert as_text(TABLE) == (
        "Table 2: Mean simulation score (toy_1)\n"
        "Mean ± SEM.\n"
        "\n"
        "Neurons   Explainer         n        Original             HS      US$        p\n"
        "Top, 5 %  openai:gpt_4  1,200  −0.123 ± 0.250              –     0.00  < 0.001\n"
        "All       local:toy         1       0.333 ± –  0.500 ± 0.125  unknown    0.250\n"
        "\n"
        "2 undefined scores left out.\n"
    )


def test_an_empty_table_says_what_to_do() -> None:
    empty = Table(
        "2", "Table 2", "Mean simulation score", "toy", "", TABLE.columns, (), (), "Do this.", "neuronjury run"
    )
    assert as_text(empty) == (
        "Table 2: Mean simulation score (toy)\nNothing is stored for it yet. Do this.\nneuronjury run\n"
    )
    assert as_csv(empty).count("\n") == 1


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (1.0, "1.000")]
)
def test_small_probabilities_are_shown_as_a_bound(probability: float, expected: str) -> None:
    assert shown(Column("p", "p", "p"), probability) == expected


def test_a_method_may_be_called_like_a_column() -> None:
    names = ("n", "hs", "hs_n", "scorer")
    methods = tuple(Column(name, name.upper(), "estimate", is_method=True) for name in names)
    estimates = tuple(Estimate(index / 2, None, index) for index in range(len(names)))
    columns = (Column("scorer", "Scorer", "code"), Column("n_n", "N"), Column("n", "n", "range"), *methods)
    clashing = replace(TABLE, columns=columns, rows=[("toy", "x", Range(3, 1500), *estimates)])
    (table,) = json.loads(as_json([clashing]))
    assert table["columns"]["methods"] == {"n": "N", "hs": "HS", "hs_n": "HS_N", "scorer": "SCORER"}
    (row,) = table["rows"]
    assert (row["scorer"], row["n"]) == ("toy", {"min": 3, "max": 1500})
    assert {name: cell["n"] for name, cell in row["methods"].items()} == {"n": 0, "hs": 1, "hs_n": 2, "scorer": 3}
    header, cells = csv.reader(io.StringIO(as_csv(clashing)))
    assert len(set(header)) == len(header) == len(cells)
    by_name = dict(zip(header, cells, strict=True))
    assert (by_name["scorer"], by_name["n_min"], by_name["n_max"]) == ("toy", "3", "1500")
    assert [by_name[name] for name in ("method_n_n", "hs_n", "method_hs_n_n", "method_scorer_n")] == list("0123")
    assert shown(columns[2], Range(3, 1500)) == "3–1,500"
    assert shown(columns[2], Range(3, 3)) == "3"
