"""The page of tables in the browser: what it shows, what it hands out, and what seeing it costs."""

import json
import re
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.explanations.models import ExplanationView
from app.findings.building import FINDINGS, finding_of
from app.findings.formats import FORMATS
from app.neurons.models import SubjectModel
from tests.factories import make_subject
from tests.findings.stored import EXPLAINER, make_neurons, make_puzzles, make_scored, make_set
from tests.studies.careful_raters import judge
from tests.studies.factories import close, make_open_study
from tests.studies.test_running_pages import table_of, text_of


@pytest.fixture
def scored(database: Database) -> None:
    """The subject `toy 1`: two methods on three neurons, two of them in the set `top & few`; and puzzles."""
    with database.writing() as session:
        subject = make_subject(session, "toy 1")
        neurons = make_neurons(session, subject, 3)
        make_scored(session, neurons, {"original": [0.25, 0.5, None], "summary": [0.5, 0.75, 1.0]})
        make_set(session, subject, "top & few", neurons[1:])
        make_puzzles(session)


@pytest.mark.usefixtures("scored")
def test_table_2_is_shown_with_its_differences(researcher_client: TestClient) -> None:
    page = researcher_client.get("/tables?subject=toy 1&table=2")
    assert table_of(page, "Table 2: Mean simulation score") == [
        ["All neurons", "2–3", "0.3750 ± 0.1250", "0.7500 ± 0.1443"],
        ["top & few", "1–2", "0.5000 ± –", "0.8750 ± 0.1250"],
    ]
    words = text_of(page)
    same = f"Scorer local:toy all-at-once ; Explainer {EXPLAINER} ; Prompt pack default@0123456789ab"
    assert words.count(same) == 2, "what is the same in all rows is said once"
    assert "Table 2, differences: Differences between methods: simulation score" in words
    assert "1 undefined score left out (Original 1)." in words
    assert 'href="/tables?subject=toy+1&amp;table=6"' in page.text


@pytest.mark.usefixtures("scored")
def test_a_set_can_be_chosen(researcher_client: TestClient) -> None:
    page = researcher_client.get(f"/tables?subject=toy 1&table=2&neurons={quote('top & few')}")
    assert [row[0] for row in table_of(page, "Table 2: Mean simulation score")] == ["top & few"]
    assert 'href="/tables/2.csv?subject=toy+1&amp;neurons=top+%26+few"' in page.text


@pytest.mark.usefixtures("scored")
def test_after_a_change_of_the_subject_the_other_s_set_is_dropped(researcher_client: TestClient) -> None:
    page = researcher_client.get(f"/tables?subject=puzzles&table=2&neurons={quote('top & few')}")
    assert page.status_code == 200
    assert "Nothing is stored for it yet." in text_of(page)


@pytest.mark.usefixtures("scored")
def test_the_first_subject_that_is_no_puzzles_is_shown(researcher_client: TestClient) -> None:
    assert "What explanations of toy 1 and their scores add up to." in text_of(researcher_client.get("/tables"))


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("number", FINDINGS)
def test_every_table_has_its_page(researcher_client: TestClient, number: str) -> None:
    page = researcher_client.get(f"/tables?table={number}")
    assert page.status_code == 200
    assert page.text.count('aria-current="page"') == 2, "the section of the site and the table"
    assert page.text.count("<svg") == (2 if number == "figure3" else 0)


def test_without_a_subject_the_page_says_where_one_comes_from(researcher_client: TestClient) -> None:
    assert "neuronjury record --help" in text_of(researcher_client.get("/tables"))
    assert researcher_client.get("/tables/1.csv").status_code == 404


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("name", FORMATS)
def test_the_downloads_are_the_tables(researcher_client: TestClient, database: Database, name: str) -> None:
    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel).where(SubjectModel.name == "toy 1")).one()
        table = finding_of("2-differences").build(session, subject, "top & few")[1]
    ending = FORMATS[name].ending
    file = researcher_client.get(f"/tables/2-differences.{ending}?subject=toy 1&neurons={quote('top & few')}")
    assert file.text == FORMATS[name].write(table)
    assert file.headers["content-disposition"] == f'attachment; filename="table2-differences.{ending}"'
    assert file.headers["content-type"] == FORMATS[name].media_type


@pytest.mark.usefixtures("scored")
def test_the_json_of_the_figure_is_its_numbers(researcher_client: TestClient) -> None:
    file = researcher_client.get("/tables/figure3-layers.json")
    assert file.headers["content-disposition"] == 'attachment; filename="figure3-layers.json"'
    (table,) = json.loads(file.text)
    assert table["rows"] == [{"layer": 0, "n_neurons": 2}, {"layer": 1, "n_neurons": 1}]


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/tables?table=5", "There is no table '5' here"),
        ("/tables?subject=nowhere", "There is no recorded subject model 'nowhere'"),
        ("/tables/5.csv", "There is no table '5' here"),
        ("/tables/2.pdf", "There is no file '2.pdf' of tables"),
        ("/tables/2.csv?neurons=none", "There is no neuron set 'none'"),
        ("/tables/2", "There is no table '' here"),
    ],
)
def test_what_is_not_there_is_named(researcher_client: TestClient, address: str, said: str) -> None:
    answer = researcher_client.get(address)
    assert answer.status_code == 404
    assert said in text_of(answer)


def test_who_has_seen_how_people_ranked_rates_none_of_these_neurons(
    database: Database, researcher_client: TestClient
) -> None:
    def n_seen() -> int:
        with database.reading() as session:
            return session.scalars(sa.select(sa.func.count()).select_from(ExplanationView)).one()

    study = make_open_study(database, n_neurons=2, n_raters=1)
    judge(database, study, 1)
    page = researcher_client.get("/tables?table=6")
    assert "Human" not in text_of(page)
    assert n_seen() == 0, "under the embargo there is nothing of people"
    close(database, study)
    researcher_client.get("/tables?table=2")
    assert n_seen() == 0
    page = researcher_client.get("/tables?table=6")
    assert [row[:2] for row in table_of(page, "Table 6: Rank of each method")] == [
        ["Human", "2"],
        ["Average rank", ""],
    ]
    assert n_seen() == 2
    with database.writing() as session:
        session.execute(sa.delete(ExplanationView))
    researcher_client.get("/tables/6.csv")
    assert n_seen() == 2


def test_rows_about_the_same_thing_stand_under_one_heading(database: Database, researcher_client: TestClient) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neurons = make_neurons(session, subject, 2)
        for explainer in ("local:a", "local:b"):
            values = {"original": [0.25, 0.5], "summary": [0.5, 0.75], "hs": [0.5, 0.25]}
            make_scored(session, neurons, values, explainer=explainer)
    page = researcher_client.get("/tables?table=2")
    means, rest = page.text.split("Table 2, differences", 1)
    assert "body-heading" not in means, "each row of the means is about another explainer"
    assert re.findall(r'class="body-heading"><th scope="rowgroup" colspan="9">([^<]*)<', rest) == [
        "All neurons · local:a",
        "All neurons · local:b",
    ]
    first = table_of(page, "Table 2, differences: Differences between methods: simulation score")
    assert [row[:3] for row in first] == [
        ["All neurons · local:a"],
        ["Summary", "Original", "2"],
        ["HS", "Original", "2"],
        ["HS", "Summary", "2"],
    ]


def test_admins_find_the_form_that_fills_an_empty_table(
    database: Database, researcher_client: TestClient, admin_client: TestClient
) -> None:
    with database.writing() as session:
        make_subject(session)
    link = '<a href="/batches/scores/new">New batch of scores</a>'
    assert link in admin_client.get("/tables?table=2").text
    assert link not in researcher_client.get("/tables?table=2").text


def test_differences_that_there_are_none_of_are_not_shown_beside_means(
    database: Database, researcher_client: TestClient
) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        make_scored(session, make_neurons(session, subject, 2), {"original": [0.25, 0.5]})
    assert "differences" not in text_of(researcher_client.get("/tables?table=2"))
    empty = text_of(researcher_client.get("/tables?table=3"))
    assert empty.count("Nothing is stored for it yet.") == 1
    assert "neuronjury import references FILE.csv --subject toy neuronjury score --subject toy --metric adacs" in empty
