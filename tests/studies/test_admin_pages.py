"""Admins in their browsers: a study from the form to the downloads, and what researchers may see of it."""

import html
import re

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.studies import export
from app.studies.models import OPEN, Rater, Study, StudyNeuron
from app.studies.queries import study_results
from app.studies.table5 import mean_cell, share_cell
from tests.forms import form_token_of, forms_of, submit
from tests.studies.factories import EXPLAINER, METHODS, make_draft, make_explained_subject
from tests.studies.raters_browser import RunningStudy, add_batch, begin, close, judge_all, judgement, start_study

CONDITIONS = [f"{method}@{EXPLAINER}" for method in METHODS]


def explained_subject(database: Database, name: str = "toy") -> None:
    """Two layers with two neurons each, described by five methods."""
    with database.writing() as session:
        make_explained_subject(session, name)
    add_batch(database, name)


def draft(database: Database, slug: str = "demo") -> str:
    with database.writing() as session:
        make_explained_subject(session, f"toy-{slug}")
        make_draft(session, slug, n_per_layer=2)
    return slug


def judged_and_closed(database: Database, client: TestClient) -> RunningStudy:
    """One rater has judged everything, the other nothing."""
    study = start_study(database)
    judge_all(client, begin(client, study.links[0]))
    close(database, study)
    return study


def text_of(page: httpx2.Response) -> str:
    """The visible words, each run of blanks one blank."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text.split("<main", 1)[1])))


def table_of(page: httpx2.Response) -> list[list[str]]:
    """The cells of the first table's body."""
    body = page.text.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def problem_of(page: httpx2.Response) -> str:
    found = re.search(r'<p class="notice notice-bad"[^>]*>No draft was made: (.*?)</p>', page.text)
    return "" if found is None else html.unescape(found[1])


def n_studies(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(sa.select(sa.func.count(Study.id))) or 0


# The form of a new study --------------------------------------------------------------------------------------------


def test_the_form_offers_the_conditions_that_exist(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    page = admin_client.get("/studies/new")
    assert re.findall(r'name="conditions" value="([^"]*)"', page.text) == CONDITIONS
    titles = re.findall(r'name="conditions"[^>]*>(\w+)</label>', page.text)
    assert titles == ["Original", "Summary", "Highlight", "HS", "AVHS"]


def test_conditions_of_another_subject_are_not_offered(database: Database, admin_client: TestClient) -> None:
    explained_subject(database, "toy")
    with database.writing() as session:
        make_explained_subject(session, "other", n_layers=1, texts=lambda *_: "birds")
    assert 'name="conditions"' not in admin_client.get("/studies/new?subject=other").text
    assert 'name="conditions"' in admin_client.get("/studies/new?subject=toy").text


def test_without_a_recorded_subject_the_form_says_what_to_do(admin_client: TestClient) -> None:
    assert "Run neuronjury record first." in text_of(admin_client.get("/studies/new"))


def test_a_study_is_made_of_neurons_per_layer(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    form = admin_client.get("/studies/new")
    answer = submit(
        admin_client, form, title="Which fits?", slug="fits", conditions=CONDITIONS[:2], n_per_layer="2", layers="1"
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/fits")
    page = text_of(admin_client.get("/studies/fits"))
    assert "Which fits?" in page
    assert f"Original {EXPLAINER} Summary {EXPLAINER}" in page
    assert "draft" in page
    with database.reading() as session:
        neurons = session.scalars(sa.select(StudyNeuron).order_by(StudyNeuron.position)).all()
        assert [(each.neuron.layer, each.neuron.index) for each in neurons] == [(1, 0), (1, 1)]


CSV = "layer,neuron\n1,0\n0,1\n"


@pytest.mark.parametrize("way", ["uploaded", "pasted"])
def test_a_study_is_made_of_listed_neurons(database: Database, admin_client: TestClient, way: str) -> None:
    explained_subject(database)
    form = admin_client.get("/studies/new")
    sent = {"form_token": form_token_of(form), "title": "Listed", "slug": "listed", "subject": "toy", "seed": "1"}
    sent |= {"conditions": CONDITIONS, "neuron_choice": "listed", "csv_text": CSV if way == "pasted" else ""}  # type: ignore[dict-item]
    content = b"\xef\xbb\xbf" + CSV.encode()
    files = {"csv_file": ("neurons.csv", content) if way == "uploaded" else ("", b"")}
    assert admin_client.post("/studies/new", data=sent, files=files).status_code == 303
    with database.reading() as session:
        neurons = session.scalars(sa.select(StudyNeuron)).all()
        assert sorted((each.neuron.layer, each.neuron.index) for each in neurons) == [(0, 1), (1, 0)]


REFUSED = [
    ({"slug": "No Slug"}, 400, "slug 'No Slug'; expected"),
    ({"slug": "taken"}, 409, "there is a study 'taken' already"),
    ({"title": " "}, 400, "a title of 0 characters"),
    ({"conditions": CONDITIONS[:1]}, 400, "1 condition; expected two or more to compare"),
    ({"conditions": [*CONDITIONS[:1], "summary@openai:x"]}, 404, "no explanation of toy by summary@openai:x"),
    ({"n_per_layer": "0"}, 400, "neurons per layer is '0'; expected a whole number from 1 to 10000"),
    ({"n_per_layer": "3"}, 400, "too few neurons have an explanation by every condition"),
    ({"layers": "0-"}, 400, "layers has '0-'; expected numbers and ranges such as 0-11, 14"),
    ({"seed": "x"}, 400, "seed is 'x'; expected a whole number from 0 to"),
    ({"neuron_choice": "listed"}, 400, "the list of neurons is empty"),
    ({"neuron_choice": "listed", "csv_text": "layer,neuron\n0,zero\n"}, 400, "pasted list, line 2"),
]


@pytest.mark.parametrize(("spoilt", "status", "problem"), REFUSED)
def test_a_refused_form_says_why_and_keeps_what_was_typed(
    database: Database, admin_client: TestClient, spoilt: dict[str, object], status: int, problem: str
) -> None:
    explained_subject(database)
    draft(database, "taken")
    form = admin_client.get("/studies/new?subject=toy")
    sent: dict[str, object] = {"title": "Mine", "slug": "mine", "conditions": CONDITIONS, "n_per_layer": "1"}
    answer = submit(admin_client, form, **(sent | spoilt))
    assert answer.status_code == status
    assert problem_of(answer).startswith(problem)
    kept = next(form.values for form in forms_of(answer) if form.method == "post")
    for name in ("slug", "layers", "seed", "csv_text"):
        expected = spoilt.get(name, {"slug": "mine", "seed": "1"}.get(name, ""))
        assert str(kept[name]).strip() == str(expected).strip()
    assert n_studies(database) == 1


def test_a_file_that_is_no_text_is_refused(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    sent = {"form_token": form_token_of(admin_client.get("/studies/new")), "neuron_choice": "listed", "subject": "toy"}
    sent["conditions"] = CONDITIONS  # type: ignore[assignment]
    answer = admin_client.post("/studies/new", data=sent, files={"csv_file": ("neurons.csv", b"\xff\xfe\x00")})
    assert answer.status_code == 400
    assert problem_of(answer) == "neurons.csv is not UTF-8 text (byte 0); expected a CSV file"


# Opening, inviting, watching, closing -------------------------------------------------------------------------------


def test_opening_freezes_a_draft_and_invites_raters(database: Database, admin_client: TestClient) -> None:
    draft(database)
    page = admin_client.get("/studies/demo")
    opened = submit(admin_client, page, "/studies/demo/open")
    assert (opened.status_code, opened.headers["location"]) == (303, "/studies/demo")
    page = admin_client.get("/studies/demo")
    assert "The study is open. Now invite raters." in text_of(page)
    invitations = submit(admin_client, page, "/studies/demo/invite", n_raters="3", n_days="2")
    links = re.findall(r"http://127\.0\.0\.1:8000(/r/[0-9a-f]{32})", invitations.text)
    assert len(set(links)) == 3
    assert "valid for 2 days" in text_of(invitations)
    assert admin_client.get(links[0]).status_code == 200
    with database.reading() as session:
        assert [rater.number for rater in session.scalars(sa.select(Rater).order_by(Rater.number))] == [1, 2, 3]
    assert not re.search(r"/r/[0-9a-f]{32}", admin_client.get("/studies/demo").text)


def test_texts_that_betray_their_origin_block_the_opening(database: Database, admin_client: TestClient) -> None:
    with database.writing() as session:
        make_explained_subject(
            session,
            "toy-demo",
            texts=lambda layer, i, method: "As an AI, I" if layer == i == 0 == METHODS.index(method) else method[::-1],
        )
        make_draft(session, "demo", n_per_layer=2)
    page = admin_client.get("/studies/demo")
    assert [row[:3] for row in table_of(page)] == [["0:0", "Original", EXPLAINER]]
    assert all(form.action != "/studies/demo/open" for form in forms_of(page))
    refused = admin_client.post(
        "/studies/demo/open", data={"form_token": form_token_of(admin_client.get("/studies/new"))}
    )
    assert refused.status_code in (400, 403)


@pytest.mark.parametrize(("n_raters", "n_days"), [("0", "30"), ("many", "30"), ("1", "-1"), ("", "")])
def test_invitations_out_of_range_invite_nobody(
    database: Database, admin_client: TestClient, n_raters: str, n_days: str
) -> None:
    start_study(database, n_raters=1)
    page = admin_client.get("/studies/demo")
    answer = submit(admin_client, page, "/studies/demo/invite", n_raters=n_raters, n_days=n_days)
    assert answer.status_code == 400
    assert "expected a whole number from 1 to" in answer.text
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count(Rater.id))) == 1


def test_progress_is_counts_and_no_judgement(
    database: Database, admin_client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database)
    page = begin(new_client, study.links[0])
    submit(new_client, page, **judgement(page, 5, 4, 3, 2, 1))
    shown = admin_client.get("/studies/demo")
    assert "1 of 4 judgements are in." in text_of(shown)
    assert [(row[0], row[2]) for row in table_of(shown)] == [("rater-1", "1 of 2"), ("rater-2", "0 of 2")]
    assert not re.search(r"\b[1-5]\.\d{3}\b|\d+\.\d\d %", shown.text)


def test_closing_asks_first(database: Database, admin_client: TestClient) -> None:
    study = start_study(database)
    question = admin_client.get("/studies/demo/close")
    assert "0 of 4 judgements by 2 raters are in." in text_of(question)
    with database.reading() as session:
        assert session.scalars(sa.select(Study.status)).one() == OPEN
    answer = submit(admin_client, question)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{study.slug}/results")
    again = admin_client.get("/studies/demo/close")
    assert "This study is closed; only an open study can be closed." in text_of(again)


def test_steps_out_of_order_are_refused(database: Database, admin_client: TestClient) -> None:
    draft(database)
    token = {"form_token": form_token_of(admin_client.get("/studies/demo"))}
    assert admin_client.post("/studies/demo/close", data=token).status_code == 409
    assert admin_client.post("/studies/demo/invite", data=token | {"n_raters": "1", "n_days": "1"}).status_code == 409
    assert admin_client.post("/studies/demo/open", data=token).status_code == 303
    assert admin_client.post("/studies/demo/open", data=token).status_code == 409


# Results ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["draft", "open"])
def test_results_stay_hidden_until_the_closing(database: Database, admin_client: TestClient, status: str) -> None:
    draft(database) if status == "draft" else start_study(database)
    page = admin_client.get("/studies/demo/results")
    assert page.status_code == 200
    assert f"This study is {'a draft' if status == 'draft' else 'open'}." in text_of(page)
    assert "<table" not in page.text
    for name in ("ratings.csv", "table5.csv"):
        assert admin_client.get(f"/studies/demo/{name}").status_code == 409


def test_results_are_table5_and_its_downloads(
    database: Database, admin_client: TestClient, new_client: TestClient
) -> None:
    study = judged_and_closed(database, new_client)
    page = admin_client.get("/studies/demo/results")
    with database.reading() as session:
        rows = study_results(session, study.slug).rows
        ratings, table5 = "".join(export.ratings_csv(session, study.slug)), export.table5_csv(session, study.slug)
    titles = ["Original", "Summary", "Highlight", "HS", "AVHS"]
    expected = [
        [title, EXPLAINER, "2", mean_cell(row), share_cell(row)] for title, row in zip(titles, rows, strict=True)
    ]
    assert [row[:4] + row[5:] for row in table_of(page)] == expected
    for name, content in (("ratings.csv", ratings), ("table5.csv", table5)):
        download = admin_client.get(f"/studies/demo/{name}")
        assert download.text == content
        assert download.headers["content-type"] == "text/csv; charset=utf-8"
        assert download.headers["content-disposition"] == f'attachment; filename="demo-{name}"'


def test_a_study_that_nobody_judged_has_a_table_without_numbers(database: Database, admin_client: TestClient) -> None:
    close(database, start_study(database))
    page = admin_client.get("/studies/demo/results")
    assert [row[2:] for row in table_of(page)] == [["0", "– ± –", "", "–"]] * 5


# Who may see what ---------------------------------------------------------------------------------------------------


def test_the_list_says_what_to_do_next(database: Database, admin_client: TestClient, new_client: TestClient) -> None:
    draft(database, "first")
    waiting = start_study(database, slug="second", n_raters=1)
    assert [row[-1] for row in table_of(admin_client.get("/studies"))] == ["Wait for judgements", "Open it"]
    judge_all(new_client, begin(new_client, waiting.links[0]))
    assert [row[-1] for row in table_of(admin_client.get("/studies"))] == ["Close it", "Open it"]
    close(database, waiting)
    assert [row[-1] for row in table_of(admin_client.get("/studies"))] == ["See the results", "Open it"]


def test_an_empty_list_says_so(admin_client: TestClient) -> None:
    assert "There is no study yet." in text_of(admin_client.get("/studies"))


def test_researchers_see_closed_results_and_manage_nothing(
    database: Database, researcher_client: TestClient, client: TestClient
) -> None:
    judged_and_closed(database, client)
    listing = researcher_client.get("/studies")
    assert "New study" not in listing.text
    assert [row[-1] for row in table_of(listing)] == ["See the results"]
    assert researcher_client.get("/studies/demo/results").status_code == 200
    assert researcher_client.get("/studies/demo/ratings.csv").status_code == 200
    token = {"form_token": form_token_of(researcher_client.get("/account"))}
    for path in ("/studies/new", "/studies/demo", "/studies/demo/close"):
        assert researcher_client.get(path).status_code == 403
    for path in ("/studies/new", "/studies/demo/open", "/studies/demo/invite", "/studies/demo/close"):
        assert researcher_client.post(path, data=token).status_code == 403


def test_without_an_account_everything_leads_to_the_sign_in(database: Database, client: TestClient) -> None:
    start_study(database)
    for path in ("/studies", "/studies/new", "/studies/demo", "/studies/demo/results", "/studies/demo/ratings.csv"):
        answer = client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize("path", ["", "/close", "/results", "/ratings.csv", "/table5.csv"])
def test_an_unknown_study_is_not_found(admin_client: TestClient, path: str) -> None:
    assert admin_client.get(f"/studies/none{path}").status_code == 404
