"""An admin and a draft in the browser: what the lint found, the wording, a dry run, the file, the opening."""

import html
import json
import re
from collections.abc import Callable

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.explanations.models import Explanation, ExplanationView
from app.neurons.models import Neuron
from app.studies.audit import WAIVED, audit_lines
from app.studies.drafting.design_file import export_design
from app.studies.models import DRAFT, OPEN, LintWaiver, Rater, Study, StudyNeuron
from tests.forms import Answer, form_token_of, forms_of, submit
from tests.studies.factories import EXPLAINER, distinct_text, make_draft, make_explained_subject
from tests.studies.raters_browser import start_study

BAD = {(0, 0, "original"): "As an AI, I", (0, 1, "hs"): "...", (1, 0, "hs"): "cats", (1, 1, "hs"): "cats"}


def draft(database: Database, texts: dict[tuple[int, int, str], str] | None = None) -> None:
    """The draft `demo` over four neurons, with these texts among distinct ones."""
    with database.writing() as session:
        known = texts or {}
        make_explained_subject(session, "toy-demo", texts=lambda *place: known.get(place) or distinct_text(*place))
        make_draft(session, "demo", n_per_layer=2)


def text_of(page: Answer) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text.split("<main", 1)[1])))


def found(page: Answer) -> list[str]:
    """The lint's findings as shown, one text each."""
    if '<ol class="findings"' not in page.text:
        return []
    listed = page.text.split('<ol class="findings"', 1)[1].split("</ol>", 1)[0]
    parts = re.findall(r"<li>(.*?)</li>", listed, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split()) for part in parts]


def press(client: TestClient, page: Answer, action: str, **wanted: str) -> httpx2.Response:
    """Sends the first form of the page with that action and these hidden values."""
    forms = [form for form in forms_of(page) if form.action == action and wanted.items() <= form.values.items()]
    return client.post(action, data=forms[0].values)


def may_open(page: Answer) -> bool:
    return any(form.action == "/studies/demo/open" for form in forms_of(page))


def status(database: Database) -> str:
    with database.reading() as session:
        return session.scalars(sa.select(Study.status)).one()


def test_a_draft_says_what_will_happen_and_what_it_can_tell(database: Database, admin_client: TestClient) -> None:
    draft(database)
    words = text_of(admin_client.get("/studies/demo"))
    assert "Each of 5 raters judges all 4 neurons. That makes 20 judgements of each condition." in words
    assert "With these numbers it can detect a difference of 0.58 in mean rating, four times out of five." in words
    assert "counting each neuron once, it is 1.29." in words
    assert "Opening freezes the texts, the neurons, the wording and everything else on this page for good." in words
    assert "Raters are not asked for consent." in words


def test_the_assumptions_of_the_power_can_be_changed(database: Database, admin_client: TestClient) -> None:
    draft(database)
    page = admin_client.get("/studies/demo")
    changed = submit(admin_client, page, "/studies/demo#power-heading", sd="0,5", correlation="0")
    assert "it can detect a difference of 0.44 in mean rating" in text_of(changed)
    assert 'name="sd" value="0,5"' in changed.text
    for sd, problem in (
        ("none", "'none' is no number; expected one such as 0.78."),
        ("9", "a standard deviation of 9;"),
    ):
        refused = admin_client.get("/studies/demo", params={"sd": sd})
        assert refused.status_code == 200
        assert problem in text_of(refused)
        assert "The table uses 0.78 and 0.3." in text_of(refused)


def test_texts_that_betray_their_origin_block_the_opening(database: Database, admin_client: TestClient) -> None:
    draft(database, BAD)
    page = admin_client.get("/studies/demo")
    assert [each.split(" Let it pass")[0] for each in found(page)] == [
        f"Neuron 0:0 · Original {EXPLAINER} As an AI, I. The text speaks as an assistant ('As an AI').",
        f"Neuron 0:1 · HS {EXPLAINER} ... The text is empty. Leave the neuron out : 0:1",
        f"Neuron 1:0 · HS {EXPLAINER} cats. The text says the same of 1 other neuron.",
        f"Neuron 1:1 · HS {EXPLAINER} cats. The text says the same of 1 other neuron.",
    ]
    assert "4 texts may betray where they come from, or tell raters nothing." in text_of(page)
    assert not may_open(page)
    refused = admin_client.post("/studies/demo/open", data={"form_token": form_token_of(page)})
    assert refused.status_code == 400
    assert status(database) == DRAFT


def test_findings_are_waived_by_name_and_neurons_left_out_until_it_opens(
    database: Database, admin_client: TestClient
) -> None:
    draft(database, BAD)
    page = admin_client.get("/studies/demo")
    assert press(admin_client, page, "/studies/demo/waive", layer="0", index="0").status_code == 303
    page = admin_client.get("/studies/demo")
    assert "The text of neuron 0:0 is let pass, by ada." in text_of(page)
    assert found(page)[-1].endswith("('As an AI'). Let pass by ada.")
    assert press(admin_client, page, "/studies/demo/leave-out", layer="0", index="1").status_code == 303
    page = admin_client.get("/studies/demo")
    assert press(admin_client, page, "/studies/demo/waive-all").status_code == 303
    page = admin_client.get("/studies/demo")
    assert "2 texts let pass, by ada." in text_of(page)
    assert may_open(page)
    assert submit(admin_client, page, "/studies/demo/open").status_code == 303
    assert status(database) == OPEN
    with database.reading() as session:
        study = session.scalars(sa.select(Study)).one()
        assert [line.who for line in audit_lines(session, study, WAIVED)] == ["ada"] * 3
        assert session.scalar(sa.select(sa.func.count()).select_from(StudyNeuron)) == 3


def test_a_text_that_changed_since_it_was_read_is_not_waived(database: Database, admin_client: TestClient) -> None:
    draft(database, BAD)
    page = admin_client.get("/studies/demo")
    with database.writing() as session:
        session.execute(sa.update(Explanation).where(Explanation.text == "As an AI, I").values(text="As an AI, we"))
    refused = press(admin_client, page, "/studies/demo/waive", layer="0", index="0")
    assert refused.status_code == 409
    assert "text of neuron 0:0 has changed since; go back and read it again" in html.unescape(refused.text)
    with database.reading() as session:
        assert session.scalars(sa.select(LintWaiver)).all() == []


def test_names_in_the_wording_are_edited_away(database: Database, admin_client: TestClient) -> None:
    draft(database)
    page = admin_client.get("/studies/demo")
    submit(admin_client, page, "/studies/demo/wording", title="HS or not?", consent="You may stop.")
    page = admin_client.get("/studies/demo")
    assert "Your own words say what is compared." in text_of(page)
    assert "The title names a method ('HS')." in text_of(page)
    assert not may_open(page)
    submit(admin_client, page, "/studies/demo/wording", title="Which one?")
    page = admin_client.get("/studies/demo")
    assert "Which one?" in text_of(page)
    assert "You may stop." in text_of(page)
    assert may_open(page)


def test_a_dry_run_is_a_link_shown_once(database: Database, admin_client: TestClient, new_client: TestClient) -> None:
    draft(database)
    shown = submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/dry-run")
    links = re.findall(r'value="http://127\.0\.0\.1:8000(/r/[0-9a-f]{32})"', shown.text)
    assert len(links) == 1
    assert new_client.get(links[0]).status_code == 200
    assert links[0] not in admin_client.get("/studies/demo").text
    with database.reading() as session:
        assert session.scalars(sa.select(Rater.is_dry_run)).all() == [True]


def test_reading_the_findings_is_noted_as_having_seen_the_methods(database: Database, admin_client: TestClient) -> None:
    draft(database, {(0, 1, "hs"): "As an AI, I"})
    admin_client.get("/studies/demo")
    with database.reading() as session:
        seen = sa.select(Neuron.layer, Neuron.index).join(ExplanationView, ExplanationView.neuron_id == Neuron.id)
        assert [tuple(row) for row in session.execute(seen)] == [(0, 1)]


def test_the_design_is_downloaded_and_imported_as_a_draft(database: Database, admin_client: TestClient) -> None:
    draft(database)
    submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/open")
    download = admin_client.get("/studies/demo/design.json")
    assert download.headers["content-disposition"] == 'attachment; filename="demo-design.json"'
    with database.reading() as session:
        assert download.text == export_design(session, "demo")
    answer = upload(admin_client, download.content, "again")
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/again")
    page = admin_client.get("/studies/again")
    assert "The design is here as a draft. It will open under the same design hash." in text_of(page)
    changed = json.loads(download.text) | {"title": "Another title"}
    upload(admin_client, json.dumps(changed).encode(), "changed")
    assert "but it is not the one that the file’s design hash names." in text_of(
        admin_client.get("/studies/changed")
    ).replace("'", "’")


def upload(client: TestClient, content: bytes, slug: str) -> httpx2.Response:
    page = client.get("/studies/import")
    files = {"design": ("design.json", content)} if content else {"design": ("", b"")}
    return client.post("/studies/import", data={"form_token": form_token_of(page), "slug": slug}, files=files)


REFUSED: dict[str, tuple[Callable[[bytes], bytes], int, str]] = {
    "no file": (lambda _: b"", 400, "no file was chosen; expected one made by export-design"),
    "no text": (lambda _: b"\xff", 400, "design.json is not UTF-8 text (byte 0); expected a design"),
    "no design": (lambda _: b"{}", 400, "this is no design: format_version: Field required"),
    "taken": (lambda content: content, 409, "there is a study 'demo' already; choose another slug"),
    "too large": (lambda content: content + b" " * 2**20, 413, "The request is larger than 1024 KiB."),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_file_that_cannot_be_imported_is_refused_in_one_sentence(
    database: Database, admin_client: TestClient, why: str
) -> None:
    change, code, problem = REFUSED[why]
    draft(database)
    content = admin_client.get("/studies/demo/design.json").content
    answer = upload(admin_client, change(content), "demo")
    assert answer.status_code == code
    assert problem in html.unescape(answer.text)
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Study)) == 1


@pytest.mark.parametrize("path", ["waive", "waive-all", "leave-out", "wording", "open"])
def test_an_open_study_has_no_draft_to_change(database: Database, admin_client: TestClient, path: str) -> None:
    start_study(database)
    token = {"form_token": form_token_of(admin_client.get("/studies/import"))}
    fields = {"layer": "0", "index": "0", "method": "hs", "explainer": EXPLAINER, "title": "Late"}
    assert admin_client.post(f"/studies/demo/{path}", data=token | fields).status_code == 409


def test_only_admins_come_near_a_draft(database: Database, researcher_client: TestClient) -> None:
    draft(database)
    for path in ("demo", "demo/design.json", "import", "new"):
        assert researcher_client.get(f"/studies/{path}").status_code == 403
