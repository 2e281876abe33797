"""Results in the browser: hidden until the closing, complete afterwards, and what seeing them early costs."""

import html
import re

import pytest
from starlette.testclient import TestClient

from app.database import Database
from app.studies.queries import study_named
from app.studies.results import export
from app.studies.results.summary import study_results
from app.studies.results.table5 import mean_cell, share_cell
from app.studies.running.seeing import barred_account
from tests.forms import submit
from tests.studies.careful_raters import CHECKED, fooled, guess, judge
from tests.studies.factories import EXPLAINER, OpenStudy, close, make_draft, make_explained_subject, make_open_study
from tests.studies.test_running_pages import table_of, text_of

FILES = ("ratings.csv", "judgements.csv", "raters.csv", "table5.csv")


def judged(database: Database) -> OpenStudy:
    """Rater 1 judges well, rater 2 falls for every check; rater 1 guesses."""
    study = make_open_study(database, n_neurons=2, n_raters=2, protocol=CHECKED)
    judge(database, study, 1)
    judge(database, study, 2, rate=fooled)
    guess(database, "demo", 1, "hs")
    return study


@pytest.mark.parametrize("status", ["draft", "open"])
def test_results_stay_hidden_until_the_closing(
    database: Database, admin_client: TestClient, researcher_client: TestClient, status: str
) -> None:
    if status == "open":
        judged(database)
    else:
        with database.writing() as session:
            make_explained_subject(session, "toy-demo")
            make_draft(session, "demo", n_per_layer=1)
    for client in (admin_client, researcher_client):
        page = client.get("/studies/demo/results")
        assert f"This study is {'a draft' if status == 'draft' else 'open'}." in text_of(page)
        assert "<table" not in page.text
        assert [client.get(f"/studies/demo/{name}").status_code for name in FILES] == [409] * 4


def test_results_are_table5_with_and_without_those_left_out(database: Database, admin_client: TestClient) -> None:
    close(database, judged(database))
    page = admin_client.get("/studies/demo/results")
    with database.reading() as session:
        results = study_results(session, "demo")
    titles = ["Original", "Summary", "Highlight", "HS", "AVHS"]
    for label, rows, n in (("Results", results.rows, "2"), ("Results with everybody", results.rows_of_all, "4")):
        expected = [
            [title, EXPLAINER, n, mean_cell(row), share_cell(row)] for title, row in zip(titles, rows, strict=True)
        ]
        assert [row[:4] + row[5:] for row in table_of(page, label)] == expected
    words = text_of(page)
    assert "rater-2 is left out: failed 2 of 2 checks." in words
    assert "Raters who failed more than 50 % of their attention checks are left out." in words
    assert "Checks failed 2 of 4" in words
    assert "2 of 10 guesses were right: 20.0 %" in words
    assert "chance gives 20.0 %" in words
    assert (
        "2 raters judged descriptions of 2 neurons of toy-demo blindly, every neuron by every rater, under 5" in words
    )
    assert results.design_hash in words


def test_the_downloads_are_the_exports(database: Database, admin_client: TestClient) -> None:
    close(database, judged(database))
    with database.reading() as session:
        contents = (
            "".join(export.ratings_csv(session, "demo")),
            "".join(export.judgements_csv(session, "demo")),
            export.raters_csv(session, "demo", names_people=True),
            export.table5_csv(session, "demo"),
        )
    page = admin_client.get("/studies/demo/results")
    for name, content in zip(FILES, contents, strict=True):
        assert f'href="/studies/demo/{name}"' in page.text
        download = admin_client.get(f"/studies/demo/{name}")
        assert download.text == content
        assert download.headers["content-type"] == "text/csv; charset=utf-8"
        assert download.headers["content-disposition"] == f'attachment; filename="demo-{name}"'


def test_researchers_get_raters_without_names(database: Database, researcher_client: TestClient) -> None:
    close(database, judged(database))
    with database.reading() as session:
        expected = export.raters_csv(session, "demo", names_people=False)
    assert researcher_client.get("/studies/demo/raters.csv").text == expected


def test_a_study_that_nobody_judged_has_a_table_without_numbers(database: Database, admin_client: TestClient) -> None:
    close(database, make_open_study(database, n_neurons=2, n_raters=1))
    page = admin_client.get("/studies/demo/results")
    assert [row[2:] for row in table_of(page, "Results")] == [["0", "– ± –", "", "–"]] * 5
    assert "No rule was declared before the opening, so nobody is left out." in text_of(page)
    assert "Nobody guessed where a description came from." in text_of(page)


@pytest.mark.parametrize("path", ["/results", "/progress", "/close", "/unmask", *(f"/{name}" for name in FILES)])
def test_an_unknown_study_is_not_found(admin_client: TestClient, path: str) -> None:
    assert admin_client.get(f"/studies/none{path}").status_code == 404


# Early ----------------------------------------------------------------------------------------------------------------


def test_unmasking_asks_for_a_reason_and_stays_on_the_page_for_ever(
    database: Database, admin_client: TestClient
) -> None:
    study = judged(database)
    refused = submit(admin_client, admin_client.get("/studies/demo/unmask"), reason="  ")
    assert refused.status_code == 400
    assert "Nothing was unmasked: a reason of 0 characters" in text_of(refused)
    assert "<table" not in admin_client.get("/studies/demo/results").text
    answer = submit(admin_client, admin_client.get("/studies/demo/unmask"), reason="an interim report")
    assert answer.headers["location"] == "/studies/demo/results"
    notice = r'<p class="notice notice-bad">These results were seen before the closing\..*?</p>'
    for is_open in (True, False):
        page = admin_client.get("/studies/demo/results")
        shown = html.unescape(re.sub(r"<[^>]+>", "", re.findall(notice, page.text, re.DOTALL)[0]))
        assert "Unmasked: “an interim report”, 4 judgements, by ada." in shown
        assert ("The study is still open: they will change." in shown) is is_open
        if is_open:
            close(database, study)


def test_the_page_of_an_unmasked_study_leads_to_the_results(database: Database, admin_client: TestClient) -> None:
    judged(database)
    submit(admin_client, admin_client.get("/studies/demo/unmask"), reason="curious")
    page = admin_client.get("/studies/demo")
    assert "results unmasked" in text_of(page)
    assert 'href="/studies/demo/unmask"' not in page.text
    again = admin_client.get("/studies/demo/unmask")
    assert "The results of this study can be seen already." in text_of(again)


@pytest.mark.parametrize("path", ["results", "ratings.csv", "table5.csv", "judgements.csv"])
def test_whoever_saw_results_is_barred_from_rating(
    database: Database, admin_client: TestClient, researcher_client: TestClient, path: str
) -> None:
    judged(database)

    def barred() -> str | None:
        with database.reading() as session:
            return barred_account(session, study_named(session, "demo"), [1, 2])

    researcher_client.get(f"/studies/demo/{path}")
    assert barred() is None, "hidden results bar nobody"
    submit(admin_client, admin_client.get("/studies/demo/unmask"), reason="curious")
    assert barred() is None, "unmasking alone shows nothing"
    assert researcher_client.get(f"/studies/demo/{path}").status_code == 200
    assert barred() == "grace"
