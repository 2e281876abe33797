"""The files that analysts get: whole, exact, the same every time, and enough to recompute Table 5 from."""

import csv
import io
import math
import statistics
from collections import defaultdict
from importlib import metadata
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, UnknownName
from app.studies.export import csv_line, ratings_csv, stream_ratings_csv, table5_csv
from app.studies.models import Study
from app.studies.queries import study_results
from tests.studies.factories import (
    OpenStudy,
    close,
    distinct_text,
    judge_everything,
    make_open_study,
)

GOLDEN = Path(__file__).parent.parent / "golden"
KEY = bytes(range(32))


def texts_with_a_shared_card(layer: int, index: int, method: str) -> str:
    """Of neuron 0:1, `original` and `hs` say the same; commas, quotes and letters beyond ASCII are everywhere."""
    if (layer, index) == (0, 1) and method in ("original", "hs"):
        return 'the same “words”, and "more"'
    return f'{distinct_text(layer, index, method)}, naïve "quotes" inside'


def make_closed_study(database: Database, slug: str = "demo") -> OpenStudy:
    """Two neurons, two raters who judged everything, a third who judged nothing; always with the same orders."""
    study = make_open_study(database, slug=slug, n_neurons=2, n_raters=3, texts=texts_with_a_shared_card, order_key=KEY)
    judge_everything(database, study, 1)
    judge_everything(database, study, 2)
    close(database, study)
    return study


def exported(database: Database, slug: str = "demo") -> str:
    with database.reading() as session:
        return "".join(ratings_csv(session, slug))


def table5_from_ratings_csv(text: str) -> list[list[str]]:
    """Table 5 by another path than the program's: from the file alone, with the csv and statistics modules."""
    ratings: dict[tuple[str, str], list[int]] = defaultdict(list)
    shares: dict[tuple[str, str], float] = defaultdict(float)
    judgements: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in csv.DictReader(io.StringIO(text)):
        condition = (row["explainer"], row["method"])
        ratings[condition].append(int(row["rating"]))
        shares[condition] += float(row["best_share"])
        judgements[row["explainer"]].add((row["rater"], row["subject"], row["layer"], row["neuron"]))
    return [
        [
            explainer,
            method,
            str(len(values)),
            f"{statistics.mean(values):.9f}",
            f"{statistics.stdev(values) / math.sqrt(len(values)):.9f}",
            f"{shares[explainer, method] / len(judgements[explainer]):.9f}",
        ]
        for (explainer, method), values in sorted(ratings.items())
    ]


def test_ratings_csv_is_the_whole_expected_file(database: Database) -> None:
    make_closed_study(database)
    expected = (GOLDEN / "ratings.csv").read_text(encoding="utf-8").replace("VERSION", metadata.version("neuronjury"))
    assert exported(database) == expected


def test_two_exports_are_equal_to_the_byte(database: Database) -> None:
    make_closed_study(database)
    assert exported(database) == exported(database) == "".join(stream_ratings_csv(database, "demo"))
    with database.reading() as session:
        assert table5_csv(session, "demo") == table5_csv(session, "demo")


def test_table5_csv_has_every_digit_of_the_results(database: Database) -> None:
    make_closed_study(database)
    with database.reading() as session:
        rows = study_results(session, "demo").rows
        lines = table5_csv(session, "demo").splitlines()
    assert lines[0] == "explainer,method,n,mean_rating,sem,share_best"
    assert lines[1:] == [
        f"{row.explainer},{row.method},{row.n},{row.mean_rating!r},{row.sem!r},{row.share_best!r}" for row in rows
    ]


def test_table5_recomputed_from_the_ratings_equals_the_results(database: Database) -> None:
    make_closed_study(database)
    with database.reading() as session:
        table = list(csv.reader(io.StringIO(table5_csv(session, "demo"))))[1:]
    rounded = sorted([*row[:3], *(f"{float(cell):.9f}" for cell in row[3:])] for row in table)
    assert table5_from_ratings_csv(exported(database)) == rounded
    assert sum(float(row[5]) for row in table) == pytest.approx(1.0)


def test_the_results_say_what_they_rest_on(database: Database) -> None:
    make_closed_study(database)
    with database.reading() as session:
        results = study_results(session, "demo")
        design_hash = session.scalar(sa.select(Study.design_hash))
    assert (results.slug, results.subject, results.n_neurons) == ("demo", "toy-demo", 2)
    assert (results.n_raters, results.n_judgements, results.n_merged_cards) == (2, 4, 2)
    assert results.design_hash == design_hash
    assert {row.n for row in results.rows} == {4}


def test_another_studys_ratings_stay_out(database: Database) -> None:
    make_closed_study(database, "demo")
    alone = exported(database, "demo")
    make_closed_study(database, "other")
    assert exported(database, "demo") == alone
    assert {row["study"] for row in csv.DictReader(io.StringIO(exported(database, "other")))} == {"other"}
    with database.reading() as session:
        assert study_results(session, "demo").n_judgements == 4
        assert study_results(session, "demo").n_merged_cards == 2


def test_an_open_study_gives_no_results_and_no_file(database: Database) -> None:
    study = make_open_study(database)
    judge_everything(database, study)
    refused = "study demo is open; its results can be seen and exported once it is closed"
    with database.reading() as session:
        for export in (study_results, ratings_csv, table5_csv):
            with pytest.raises(Conflict) as conflict:
                export(session, "demo")
            assert str(conflict.value) == refused
            with pytest.raises(UnknownName, match="there is no study 'other'"):
                export(session, "other")
    with pytest.raises(Conflict, match=refused):
        stream_ratings_csv(database, "demo")


def test_a_study_closed_without_a_judgement_exports_its_headers(database: Database) -> None:
    study = make_open_study(database, n_neurons=2)
    close(database, study)
    with database.reading() as session:
        assert exported(database).count("\n") == 1
        assert table5_csv(session, "demo").splitlines()[1:] == [
            f"local:toy,{method},0,,," for method in ("original", "summary", "highlight", "hs", "avhs")
        ]


def test_cells_are_quoted_where_needed_and_numbers_are_never_rounded() -> None:
    cells = ["a,b", 'say "x"', "two\nlines", None, 0.1 + 0.2, 1 / 3, 12]
    assert csv_line(cells) == '"a,b","say ""x""","two\nlines",,0.30000000000000004,0.3333333333333333,12\n'
