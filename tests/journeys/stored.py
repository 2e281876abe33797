"""What a closed study's files say was entered, in the words of the rater's pages; and Table 5 computed from them."""

import csv
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.installing import Installation
from tests.journeys.judging import Answers, Entered

Row = dict[str, str]


@dataclass(frozen=True)
class Stored:
    """One rater's judgement of one neuron.

    ratings: of the real descriptions. best: the text of the best one; empty: it is the false one, or there is none.
    check_rating: of the false description, None where there was none. Others as in `Answers`.
    """

    ratings: dict[str, int]
    best: str
    check_rating: int | None
    is_check_best: bool
    cannot_judge: str
    comment: str


def expected_of(entered: Entered) -> dict[str, Stored]:
    """What should be stored."""
    return {heading: _expected(answers) for heading, answers in entered.items()}


def _expected(answers: Answers) -> Stored:
    # Each text names its neuron's layer; the false one is another neuron's.
    layer = answers.heading.removeprefix("Neuron ").partition(":")[0]
    real = {text: rating for text, rating in answers.ratings.items() if text.endswith(f" layer {layer}.")}
    false = [rating for text, rating in answers.ratings.items() if text not in real]
    return Stored(
        ratings=real,
        best=answers.best if answers.best in real else "",
        check_rating=false[0] if false else None,
        is_check_best=bool(false) and answers.best not in real,
        cannot_judge=answers.cannot_judge,
        comment=answers.comment,
    )


def results_of(installation: Installation, slug: str = "demo") -> Path:
    """Closes the study; the folder with its files."""
    installation.server.command("study", "close", slug)
    folder = installation.folder / "results"
    installation.server.command("study", "results", slug, "--out", str(folder))
    return folder


def stored_in(folder: Path, rater: str = "rater-1") -> dict[str, Stored]:
    """Neuron heading -> what ratings.csv and judgements.csv hold of this rater."""
    ratings: dict[str, dict[str, int]] = defaultdict(dict)
    best: dict[str, str] = {}
    for row in rows_of(folder / "ratings.csv", rater):
        if row["rating"]:
            ratings[_heading(row)][row["explanation"]] = int(row["rating"])
        if row["best"] == "1":
            best[_heading(row)] = row["explanation"]
    return {
        _heading(row): Stored(
            ratings=ratings[_heading(row)],
            best=best.get(_heading(row), ""),
            check_rating=int(row["check_rating"]) if row["check_rating"] else None,
            is_check_best=row["best_on_check"] == "1",
            cannot_judge=row["cannot_judge"],
            comment=row["comment"],
        )
        for row in rows_of(folder / "judgements.csv", rater)
    }


def rows_of(file: Path, rater: str) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["rater"] == rater]


def _heading(row: Row) -> str:
    return f"Neuron {row['layer']}:{row['neuron']}"


def table5_from(ratings_csv: Path) -> dict[str, tuple[str, str]]:
    """Method -> (mean ± SEM, share best), computed from the CSV by nothing of ours."""
    values: dict[str, list[int]] = defaultdict(list)
    shares: dict[str, float] = defaultdict(float)
    with ratings_csv.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["cannot_judge"] == "0" and not row["excluded"]:
                values[row["method"]].append(int(row["rating"]))
                shares[row["method"]] += float(row["best_share"])
    return {
        method: (
            f"{statistics.mean(each):.3f} ± {statistics.stdev(each) / math.sqrt(len(each)):.3f}",
            f"{100 * shares[method] / len(each):.2f} %",
        )
        for method, each in values.items()
    }
