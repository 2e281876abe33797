"""Admins in their browsers: a study from the form to the downloads, and what researchers may see of it."""

import html
import re
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.neurons.models import Neuron
from app.neurons.sets import save_set
from app.studies.audit import audit_lines
from app.studies.models import Rater, Study, StudyNeuron
from app.studies.protocol import Protocol
from tests.factories import make_subject
from tests.forms import Answer, form_token_of, forms_of, submit
from tests.studies.factories import EXPLAINER, METHODS, PLAIN, make_draft, make_explained_subject
from tests.studies.raters_browser import RunningStudy, add_batch, begin, close, judge_all, start_study

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


def text_of(page: Answer) -> str:
    """The visible words, each run of blanks one blank."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text.split("<main", 1)[1])))


def table_of(page: Answer) -> list[list[str]]:
    """The cells of the first table's body."""
    body = page.text.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def problem_of(page: Answer) -> str:
    found = re.search(r'<p class="notice notice-bad"[^>]*>No draft was made: (.*?)(?: <a .*)?</p>', page.text)
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
        make_subject(session, "other")
    assert 'name="conditions"' not in admin_client.get("/studies/new?subject=other").text
    assert 'name="conditions"' in admin_client.get("/studies/new?subject=toy").text


def test_without_a_recorded_subject_the_form_says_what_to_do(admin_client: TestClient) -> None:
    assert "Run neuronjury record first, or import a design" in text_of(admin_client.get("/studies/new"))


TWO_OF_LAYER_1 = {"neuron_choice": "per_layer", "n_per_layer": "2", "layers": "1"}


def test_a_study_is_made_of_neurons_per_layer(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    form = admin_client.get("/studies/new")
    answer = submit(admin_client, form, title="Which fits?", slug="fits", conditions=CONDITIONS[:2], **TWO_OF_LAYER_1)
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


def test_a_study_is_made_of_a_saved_set_where_there_is_one(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    assert 'value="saved"' not in admin_client.get("/studies/new").text
    with database.writing() as session:
        neuron = session.scalars(sa.select(Neuron).where(Neuron.layer == 1, Neuron.index == 0)).one()
        save_set(session, neuron.subject, "kept", [neuron.id], {})
    form = admin_client.get("/studies/new")
    sent = {"title": "Saved", "slug": "saved", "conditions": CONDITIONS, "neuron_choice": "saved"}
    assert submit(admin_client, form, **sent, saved_set="kept").status_code == 303
    assert "Chosen saved set Name kept" in text_of(admin_client.get("/studies/saved"))
    with database.reading() as session:
        assert [each.neuron_id for each in session.scalars(sa.select(StudyNeuron))] == [neuron.id]


REFUSED = [
    ({"slug": "No Slug"}, 400, "slug 'No Slug'; expected"),
    ({"slug": "taken"}, 409, "there is a study 'taken' already"),
    ({"title": " "}, 400, "a title of 0 characters"),
    ({"conditions": CONDITIONS[:1]}, 400, "1 condition; expected two or more to compare"),
    ({"conditions": [*CONDITIONS[:1], "summary@openai:x"]}, 404, "no explanation of toy by summary@openai:x"),
    ({"neuron_choice": "per_layer", "n_per_layer": "0"}, 400, "neurons per layer is '0'; expected a whole number"),
    ({"neuron_choice": "per_layer", "n_per_layer": "3"}, 400, "too few neurons have an explanation by every"),
    ({"n_neurons": "0"}, 400, "number of neurons is '0'; expected a whole number from 1 to 100000"),
    ({"n_neurons": "5"}, 400, "4 neurons have an explanation by every condition; expected 5 or more"),
    ({"n_raters": "none"}, 400, "Raters planned is 'none'; expected a whole number from 1 to 10000"),
    ({"n_right_to_pass": "4"}, 400, "4 puzzles right to pass of 3; expected at most all"),
    ({"completion_url": "http://x.org"}, 400, "completion address 'http://x.org'; expected one that begins with"),
    ({"layers": "0-"}, 400, "layers has '0-'; expected numbers and ranges such as 0-11, 14"),
    ({"seed": "x"}, 400, "seed is 'x'; expected a whole number from 0 to"),
    ({"neuron_choice": "saved"}, 400, "no saved set is chosen; expected the name of one"),
    ({"neuron_choice": "listed"}, 400, "the list of neurons is empty"),
    ({"neuron_choice": "listed", "csv_text": "layer,neuron\n0,zero\n"}, 400, "pasted list, line 2"),
]


@pytest.mark.parametrize(("spoilt", "status", "problem"), REFUSED)
def test_a_refused_form_says_why_and_keeps_what_was_typed(
    database: Database, admin_client: TestClient, spoilt: dict[str, Any], status: int, problem: str
) -> None:
    explained_subject(database)
    draft(database, "taken")
    form = admin_client.get("/studies/new?subject=toy")
    sent: dict[str, Any] = {"title": "Mine", "slug": "mine", "conditions": CONDITIONS, "n_neurons": "4"}
    answer = submit(admin_client, form, **(sent | spoilt))
    assert answer.status_code == status
    assert problem_of(answer).startswith(problem)
    kept = next(form.values for form in forms_of(answer) if form.method == "post")
    for name in ("slug", "layers", "seed", "csv_text"):
        expected = spoilt.get(name, {"slug": "mine", "seed": "1"}.get(name, ""))
        assert str(kept[name]).strip() == str(expected).strip()
    assert n_studies(database) == 1


def test_what_a_study_comes_to_is_shown_before_it_is_made(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    form = admin_client.get("/studies/new")
    sent = next(each.values for each in forms_of(form) if each.method == "post")
    sent |= {"title": "Mine", "slug": "mine", "conditions": CONDITIONS, "n_neurons": "4", "n_raters": "2"}
    shown = admin_client.post("/studies/new", data=sent | {"step": "try"})
    assert shown.status_code == 200
    assert (
        "Each of 2 raters judges 3 neurons, 1 of them shared by all. The other 3 are judged once. "
        "That makes 5 judgements of each condition."
    ) in text_of(shown)
    assert table_of(shown)[0] == ["0.1", "5.7 %", "669", "no"]
    assert n_studies(database) == 0
    assert submit(admin_client, shown, conditions=CONDITIONS).status_code == 303
    assert n_studies(database) == 1


def test_the_protocol_is_chosen_on_the_form(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    chosen = {
        "sharing": "overlap", "n_raters": "7", "raters_per_neuron": "4", "neurons_per_rater": "", "evidence_top": "6",
        "check_percent": "0", "exclude_failed_checks_percent": "", "consent": "You may stop.", "n_puzzles": "2",
        "too_fast_seconds": "2,5", "completion_url": "https://example.org/done",
    }  # fmt: skip
    form = admin_client.get("/studies/new")
    fields = {"title": "Mine", "slug": "mine", "conditions": CONDITIONS, "n_neurons": "4"}
    sent = next(each.values for each in forms_of(form) if each.method == "post") | fields | chosen
    del sent["names_neurons"]
    assert admin_client.post("/studies/new", data=sent).status_code == 303
    with database.reading() as session:
        study = session.scalars(sa.select(Study)).one()
        assert Protocol.model_validate(study.protocol) == Protocol(
            sharing="overlap",
            n_raters=7,
            raters_per_neuron=4,
            evidence={"top": 6, "random": 10},
            check_percent=0,
            exclude_failed_checks_percent=None,
            consent="You may stop.",
            n_puzzles=2,
            too_fast_seconds=2.5,
            completion_url="https://example.org/done",
            names_neurons=False,
        )
        assert [(line.who, line.kind) for line in audit_lines(session, study)] == [("ada", "created")]


def test_the_field_in_error_is_marked_and_its_part_unfolded(database: Database, admin_client: TestClient) -> None:
    explained_subject(database)
    form = admin_client.get("/studies/new")
    fields: dict[str, Any] = {
        "title": "Mine",
        "slug": "mine",
        "conditions": CONDITIONS,
        "exclude_too_fast_percent": "101",
    }
    answer = submit(admin_client, form, **fields)
    assert answer.status_code == 400
    assert re.findall(r'id="(\w+)"[^>]*aria-invalid="true"', answer.text) == ["exclude_too_fast_percent"]
    assert '<a href="#exclude_too_fast_percent">' in answer.text
    unfolded = re.findall(r"<details open><summary>(.*?)</summary>", answer.text)
    assert unfolded == ["Who is left out of the analysis"]


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


def test_steps_out_of_order_are_refused(database: Database, admin_client: TestClient) -> None:
    draft(database)
    token = {"form_token": form_token_of(admin_client.get("/studies/demo"))}
    assert admin_client.post("/studies/demo/close", data=token).status_code == 409
    assert admin_client.post("/studies/demo/invite", data=token | {"n_raters": "1", "n_days": "1"}).status_code == 409
    assert admin_client.post("/studies/demo/open", data=token).status_code == 303
    assert admin_client.post("/studies/demo/open", data=token).status_code == 409


# Results ------------------------------------------------------------------------------------------------------------


# Who may see what ---------------------------------------------------------------------------------------------------


def test_the_list_says_what_to_do_next(database: Database, admin_client: TestClient, new_client: TestClient) -> None:
    draft(database, "first")
    one = PLAIN.model_copy(update={"n_raters": 1})
    waiting = start_study(database, slug="second", n_raters=1, protocol=one)
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
