"""The files that analysts get: whole, exact, the same every time, and enough to recompute Table 5 from."""

import csv
import io
import math
import statistics
from collections import defaultdict
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import Conflict, UnknownName
from app.studies.invitations import completion_code, dry_run
from app.studies.models import Rater, Study
from app.studies.results.export import csv_line, judgements_csv, raters_csv, ratings_csv, stream, table5_csv
from app.studies.results.summary import study_results
from tests.studies.careful_raters import A_REASON, CHECKED, add_dry_run, by_place, fooled, judge
from tests.studies.factories import (
    NOW,
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
        if row["cannot_judge"] == "1" or row["excluded"]:
            continue
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
    with database.reading() as session:
        design_hash = session.scalar(sa.select(Study.design_hash)) or ""
    assert exported(database) == expected.replace("DESIGN_HASH", design_hash)


def test_two_exports_are_equal_to_the_byte(database: Database) -> None:
    make_closed_study(database)
    assert exported(database) == exported(database) == "".join(stream(database, "demo", ratings_csv))
    assert "".join(stream(database, "demo", judgements_csv)) == "".join(stream(database, "demo", judgements_csv))
    with database.reading() as session:
        assert table5_csv(session, "demo") == table5_csv(session, "demo")
        assert raters_csv(session, "demo", names_people=True) == raters_csv(session, "demo", names_people=True)


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
        for export in (study_results, ratings_csv, judgements_csv, table5_csv, partial(raters_csv, names_people=True)):
            with pytest.raises(Conflict) as conflict:
                export(session, "demo")
            assert str(conflict.value) == refused
            with pytest.raises(UnknownName, match="there is no study 'other'"):
                export(session, "other")
    with pytest.raises(Conflict, match=refused):
        stream(database, "demo", ratings_csv)


def test_a_study_closed_without_a_judgement_exports_its_headers(database: Database) -> None:
    study = make_open_study(database, n_neurons=2)
    close(database, study)
    with database.reading() as session:
        assert exported(database).count("\n") == 1
        assert table5_csv(session, "demo").splitlines()[1:] == [
            f"local:toy,{method},0,,," for method in ("original", "summary", "highlight", "hs", "avhs")
        ]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def make_mixed_study(database: Database) -> OpenStudy:
    """Rater 1 judges well but for one neuron, rater 2 fails the checks, rater 3 judges nothing; an admin tries it."""
    study = make_open_study(database, n_neurons=2, n_raters=3, order_key=KEY, protocol=CHECKED)
    judge(database, study, 1, cannot_judge=(1,))
    judge(database, study, 2, rate=fooled, seconds=30.0)
    with database.writing() as session:
        code = dry_run(session, "demo", NOW, "ada").code
        first = session.scalars(sa.select(Rater).where(Rater.number == 1)).one()
        first.external_id, first.comment, first.finished_at = "5f-prolific", "fine, thanks", NOW
    add_dry_run(database, "demo", code)
    close(database, study)
    return study


def test_every_rating_row_says_whether_it_is_analysed(database: Database) -> None:
    make_mixed_study(database)
    rows = rows_of(exported(database))
    kinds = {(row["rater"], row["cannot_judge"], row["rating"] == "", row["excluded"]) for row in rows}
    assert kinds == {
        ("rater-1", "0", False, ""),
        ("rater-1", "1", True, ""),
        ("rater-2", "0", False, "failed 2 of 2 checks"),
    }
    assert len(rows) == 20, "five conditions of two neurons by two raters: no check, no dry run"
    unjudged = [row for row in rows if row["cannot_judge"] == "1"]
    assert {(row["best"], row["best_share"]) for row in unjudged} == {("0", "0.0")}


def test_table5_leaves_out_whom_the_rules_leave_out(database: Database) -> None:
    make_mixed_study(database)
    with database.reading() as session:
        results = study_results(session, "demo")
        table = list(csv.reader(io.StringIO(table5_csv(session, "demo"))))[1:]
    assert results.excluded == {2: "failed 2 of 2 checks"}
    assert ({row.n for row in results.rows}, {row.n for row in results.rows_of_all}) == ({1}, {3})
    assert (results.n_raters, results.n_judgements, results.n_cannot_judge) == (2, 3, 1)
    assert (results.n_checks, results.n_checks_failed) == (3, 2)
    of_one = [row for row in rows_of(exported(database)) if row["cannot_judge"] == "0" and not row["excluded"]]
    assert sorted((row[1], float(row[3])) for row in table) == sorted((r["method"], float(r["rating"])) for r in of_one)


def test_a_best_pick_of_a_false_description_gives_no_condition_a_share(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1, protocol=CHECKED)
    judge(database, study, rate=by_place, is_check_best=True)
    close(database, study)
    with database.reading() as session:
        assert {row.share_best for row in study_results(session, "demo").rows_of_all} == {0.0}


def test_judgements_csv_is_the_whole_expected_file(database: Database) -> None:
    make_mixed_study(database)
    with database.reading() as session:
        text = "".join(judgements_csv(session, "demo"))
        design_hash = session.scalar(sa.select(Study.design_hash))
    rows = rows_of(text)
    assert text.splitlines()[0] == (
        "study,rater,subject,layer,neuron,position,submitted_at,seconds,revisions,cannot_judge,comment,check_rating,"
        "check_failed,best_on_check,straight_line,too_fast,evidence,design_hash,app_version"
    )
    assert [(row["rater"], row["position"], row["seconds"]) for row in rows] == [
        ("rater-1", "1", "12.5"),
        ("rater-1", "2", "12.5"),
        ("rater-2", "1", "30.0"),
        ("rater-2", "2", "30.0"),
    ]
    columns = ("cannot_judge", "check_rating", "check_failed", "best_on_check", "straight_line", "too_fast")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("", "1", "0", "0", "0", "0"),
        (A_REASON, "", "", "", "0", "0"),
        ("", "5", "1", "0", "0", "0"),
        ("", "5", "1", "0", "0", "0"),
    ]
    assert {(row["evidence"], row["design_hash"], row["submitted_at"][:19]) for row in rows} == {
        ('{"random": [0], "top": [0, 1]}', design_hash, "2026-03-01T12:00:12"),
        ('{"random": [0], "top": [0, 1]}', design_hash, "2026-03-01T12:00:30"),
    }


def test_raters_csv_names_people_to_admins_alone(database: Database) -> None:
    make_mixed_study(database)
    with database.reading() as session:
        named, unnamed = (rows_of(raters_csv(session, "demo", names_people=names)) for names in (True, False))
        study = session.scalars(sa.select(Study)).one()
        code = completion_code(study, session.scalars(sa.select(Rater).where(Rater.number == 1)).one())
    assert [row["rater"] for row in named] == ["rater-1", "rater-2", "rater-3"]
    assert (named[0]["external_id"], named[0]["completion_code"]) == ("5f-prolific", code)
    assert {(row["external_id"], row["completion_code"]) for row in unnamed} == {("", "")}
    assert [row["comment"] for row in unnamed] == ["fine, thanks", "", ""]
    columns = ("n_judged", "median_seconds", "n_too_fast", "n_checks", "n_checks_failed", "excluded", "finished_at")
    assert [tuple(row[name] for name in columns) for row in unnamed] == [
        ("2", "12.5", "0", "1", "0", "", NOW.isoformat()),
        ("2", "30.0", "0", "2", "2", "failed 2 of 2 checks", ""),
        ("0", "", "0", "0", "0", "", ""),
    ]


def test_cells_are_quoted_where_needed_and_numbers_are_never_rounded() -> None:
    cells = ["a,b", 'say "x"', "two\nlines", None, 0.1 + 0.2, 1 / 3, 12]
    assert csv_line(cells) == '"a,b","say ""x""","two\nlines",,0.30000000000000004,0.3333333333333333,12\n'
