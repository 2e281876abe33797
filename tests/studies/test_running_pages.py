"""Admins in their browsers while a study runs: through the real forms, to the stored rows."""

import csv
import html
import io
import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.studies.audit import audit_lines
from app.studies.invitations import dry_run, redeem_invitation
from app.studies.lifecycle import open_study
from app.studies.models import CLOSED, OPEN, Assignment, Rater, Study, StudyNeuron
from app.studies.protocol import Protocol
from app.studies.queries import study_named
from tests.forms import Answer, forms_of, submit
from tests.studies.careful_raters import CHECKED, add_dry_run, fooled, judge, protocol
from tests.studies.factories import (
    NOW,
    PLAIN,
    OpenStudy,
    close,
    make_draft,
    make_explained_subject,
    make_open_study,
)
from tests.studies.raters_browser import start_study

MIXED = PLAIN.model_copy(update={"sharing": "mixed", "shared_percent": 50, "n_raters": 2})


def text_of(page: Answer) -> str:
    """The visible words, each run of blanks one blank."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page.text.split("<main", 1)[1])))


def table_of(page: Answer, label: str) -> list[list[str]]:
    """The cells of the body of the table in the region of that label."""
    part = page.text.split(f'aria-label="{label}"', 1)[1]
    body = part.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in row] for row in cells]


def raters_table(page: Answer) -> list[list[str]]:
    return table_of(page, "Progress of each rater")


def numbers(database: Database) -> list[int]:
    with database.reading() as session:
        return list(session.scalars(sa.select(Rater.number).order_by(Rater.number)))


def running(database: Database, client: TestClient) -> OpenStudy:
    """Two neurons for two planned raters: one judged well, one fell for the checks and stopped after a neuron."""
    study = make_open_study(database, n_neurons=2, n_raters=2, protocol=CHECKED.model_copy(update={"n_raters": 2}))
    judge(database, study, 1)
    judge(database, study, 2, rate=fooled, seconds=3.0, n=1)
    return study


def open_without_raters(database: Database, of: Protocol = PLAIN) -> OpenStudy:
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1)
        make_draft(session, "demo", n_per_layer=2, protocol=of)
        open_study(session, "demo", NOW)
    return OpenStudy("demo", ())


# Watching -------------------------------------------------------------------------------------------------------------


def test_the_page_counts_and_shows_no_rating(database: Database, admin_client: TestClient) -> None:
    running(database, admin_client)
    page = admin_client.get("/studies/demo")
    assert "3 of 4 judgements are in." in text_of(page)
    assert [row[:2] + row[2:3] + row[4:9] for row in raters_table(page)] == [
        ["rater-1", "judging", "2 of 2", "12 s", "0 of 2", "0", "0", "no"],
        ["rater-2", "stalled", "1 of 2", "3 s", "1 of 1", "1", "0", "yes, failed 1 of 1 checks"],
    ]
    assert table_of(page, "Judgements by neuron") == [["1 of 2", "", "1"], ["2 of 2", "", "1"]]
    assert table_of(page, "Judgements by layer") == [["0", "", "3 of 4", "1 of 2"]]
    assert [row[2] for row in table_of(page, "Ratings by condition")] == ["3"] * 5
    assert not re.search(r"\b[1-5]\.\d{3}\b|\d+\.\d\d %", page.text)


def test_dry_runs_are_nowhere_on_the_page(database: Database, admin_client: TestClient) -> None:
    make_open_study(database, n_neurons=2, n_raters=1)
    with database.writing() as session:
        code = dry_run(session, "demo", NOW, "ada").code
    add_dry_run(database, "demo", code)
    page = admin_client.get("/studies/demo")
    assert "0 of 10 judgements are in." in text_of(page)
    assert [row[0] for row in raters_table(page)] == ["rater-1"]


def test_the_counts_refresh_themselves_while_the_study_is_open(database: Database, admin_client: TestClient) -> None:
    study = start_study(database)
    part = admin_client.get("/studies/demo/progress")
    assert "0 of 10 judgements are in." in part.text
    assert 'hx-get="/studies/demo/progress"' in part.text
    assert "<html" not in part.text
    close(database, OpenStudy(study.slug, ()))
    assert "hx-get" not in admin_client.get("/studies/demo/progress").text


def test_the_next_step_follows_the_study(database: Database, admin_client: TestClient) -> None:
    study = open_without_raters(database, protocol(n_raters=1))
    step = re.compile(r'<h2 id="step-heading">([^<]*)</h2>')

    def shown() -> str:
        return step.search(admin_client.get("/studies/demo").text)[1]  # type: ignore[index]

    assert shown() == "Invite raters"
    submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/invite", n_raters="1", n_days="1")
    assert shown() == "Wait for judgements"
    submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/pause")
    assert shown() == "Paused"
    submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/resume")
    assert shown() == "Wait for judgements"
    close(database, study)
    assert shown() == "Read the results"


def test_more_raters_are_asked_for_when_all_have_finished(database: Database, admin_client: TestClient) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1, protocol=protocol(n_raters=2))
    judge(database, study)
    heading = '<h2 id="step-heading">{}</h2>'
    assert heading.format("Wait for judgements") in admin_client.get("/studies/demo").text
    with database.writing() as session:
        session.execute(sa.update(Rater).values(finished_at=NOW))
    page = admin_client.get("/studies/demo")
    assert heading.format("Invite raters") in page.text
    submit(admin_client, page, "/studies/demo/joining-link", most="1")
    assert heading.format("Wait for judgements") in admin_client.get("/studies/demo").text


def test_a_study_with_everything_judged_wants_to_be_closed(database: Database, admin_client: TestClient) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=1, protocol=protocol(n_raters=1))
    judge(database, study)
    assert '<h2 id="step-heading">Close it</h2>' in admin_client.get("/studies/demo").text


def test_the_page_says_what_was_done_and_by_whom(database: Database, admin_client: TestClient) -> None:
    start_study(database, n_raters=2)
    submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/pause")
    words = text_of(admin_client.get("/studies/demo"))
    assert "Invited: 2 raters, first rater-1 by command line" in words
    assert "Paused by ada" in words


# Bringing raters in ---------------------------------------------------------------------------------------------------


def test_links_are_shown_once_and_let_raters_in(database: Database, admin_client: TestClient) -> None:
    start_study(database, n_raters=1)
    page = admin_client.get("/studies/demo")
    shown = submit(admin_client, page, "/studies/demo/invite", n_raters="2", n_days="3")
    links = re.findall(r'value="(http[^"]*/r/[0-9a-f]{32})"', shown.text)
    assert "2 invitations" in text_of(shown)
    assert len(links) == 2
    for link, number in zip(links, (2, 3), strict=True):
        with database.reading() as session:
            rater = redeem_invitation(session, link.rpartition("/")[2], utc_now())
        assert rater.number == number
        assert timedelta(days=2) < rater.expires_at - utc_now() <= timedelta(days=3)
    again = admin_client.get("/studies/demo").text
    assert not any(link.rpartition("/")[2] in again for link in links)


def test_links_come_as_csv_too(database: Database, admin_client: TestClient) -> None:
    open_without_raters(database)
    page = admin_client.get("/studies/demo")
    fields = next(form.values for form in forms_of(page) if form.action == "/studies/demo/invite")
    answer = admin_client.post("/studies/demo/invite", data=fields | {"n_raters": "2", "form": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="demo-links.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["study"], row["rater"]) for row in rows] == [("demo", "rater-1"), ("demo", "rater-2")]
    with database.reading() as session:
        assert [redeem_invitation(session, r["link"].rpartition("/")[2], utc_now()).number for r in rows] == [1, 2]


@pytest.mark.parametrize(("n_raters", "n_days"), [("0", "30"), ("many", "30"), ("1", "-1"), ("", "")])
def test_invitations_out_of_range_invite_nobody(
    database: Database, admin_client: TestClient, n_raters: str, n_days: str
) -> None:
    start_study(database, n_raters=1)
    page = admin_client.get("/studies/demo")
    answer = submit(admin_client, page, "/studies/demo/invite", n_raters=n_raters, n_days=n_days)
    assert answer.status_code == 400
    assert "expected a whole number from 1 to" in answer.text
    assert numbers(database) == [1]


def test_a_joining_link_brings_prolifics_placeholders(database: Database, admin_client: TestClient) -> None:
    start_study(database, n_raters=1)
    shown = submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/joining-link", most="40")
    addresses = [html.unescape(value) for value in re.findall(r'value="(http[^"]*/join/[^"]*)"', shown.text)]
    plain, prolific = addresses
    assert re.fullmatch(r"http://[^/]+/join/[0-9a-f]{32}", plain)
    assert prolific == (
        f"{plain}?PROLIFIC_PID={{{{%PROLIFIC_PID%}}}}&STUDY_ID={{{{%STUDY_ID%}}}}&SESSION_ID={{{{%SESSION_ID%}}}}"
    )
    with database.reading() as session:
        assert study_named(session, "demo").most_joining == 40


def test_quotas_are_extended(database: Database, admin_client: TestClient) -> None:
    make_open_study(database, n_neurons=4, n_raters=1, protocol=MIXED)
    answer = submit(admin_client, admin_client.get("/studies/demo"), "/studies/demo/extend", raters_per_neuron="3")
    assert answer.headers["location"] == "/studies/demo"
    assert "2 neurons can now have 3 raters each." in text_of(admin_client.get("/studies/demo"))
    with database.reading() as session:
        quotas = session.scalars(sa.select(StudyNeuron.quota)).all()
    assert sorted(quotas, key=str) == [3, 3, None, None]


# One rater ------------------------------------------------------------------------------------------------------------


def test_a_stalled_raters_neurons_are_reclaimed(database: Database, admin_client: TestClient) -> None:
    running(database, admin_client)
    page = admin_client.get("/studies/demo")
    assert '<h2 id="step-heading">Some raters have stopped</h2>' in page.text
    submit(admin_client, page, "/studies/demo/raters/2/reclaim")
    with database.reading() as session:
        reclaimed = session.scalars(sa.select(Assignment).where(Assignment.reclaimed_at.is_not(None))).all()
        kinds = [line.kind for line in audit_lines(session, study_named(session, "demo"), "reclaimed")]
    assert (len(reclaimed), kinds) == (1, ["reclaimed"])
    assert [row[2] for row in raters_table(admin_client.get("/studies/demo"))] == ["2 of 2", "1 of 1"]


def test_the_page_of_a_rater_has_everything_but_the_answers(database: Database, admin_client: TestClient) -> None:
    running(database, admin_client)
    with database.writing() as session:
        second = session.scalars(sa.select(Rater).where(Rater.number == 2)).one()
        second.external_id, second.comment = "5f-person", "too long"
    page = admin_client.get("/studies/demo/raters/2")
    words = text_of(page)
    for part in ("5f-person", "too long", "Checks failed 1 of 1", "Median time 3.0 s", "1 of 2 neurons judged"):
        assert part in words
    assert [row[2][:6] for row in table_of(page, "Neurons of rater-2")] == ["judged", "open"]
    assert "words of kind" not in page.text
    assert "Original" not in page.text


def test_revoking_shuts_a_rater_out(database: Database, admin_client: TestClient) -> None:
    running(database, admin_client)
    submit(admin_client, admin_client.get("/studies/demo/raters/2"), "/studies/demo/raters/2/revoke")
    with database.reading() as session:
        assert session.scalars(sa.select(Rater).where(Rater.number == 2)).one().revoked_at is not None
    assert all("revoke" not in form.action for form in forms_of(admin_client.get("/studies/demo/raters/2")))


def test_deleting_tells_first_what_it_changes(database: Database, admin_client: TestClient) -> None:
    running(database, admin_client)
    question = admin_client.get("/studies/demo/raters/2/delete")
    assert table_of(question, "What would change") == [
        ["Judgements", "3", "1", "2"],
        ["Ratings", "15", "5", "10"],
        ["Raters who judged", "2", "1", "1"],
    ]
    submit(admin_client, question)
    page = admin_client.get("/studies/demo")
    assert "rater-2 is deleted, with 1 judgement." in text_of(page)
    assert "2 of 4 judgements are in." in text_of(page)
    assert [row[1] for row in raters_table(page)] == ["judging", "deleted"]
    assert "rater-2 is deleted already." in text_of(admin_client.get("/studies/demo/raters/2/delete"))


@pytest.mark.parametrize("path", ["raters/9", "raters/9/delete", "raters/0", "raters/99999999999"])
def test_an_unknown_rater_is_not_found(database: Database, admin_client: TestClient, path: str) -> None:
    start_study(database)
    assert admin_client.get(f"/studies/demo/{path}").status_code in (404, 422)


# The end --------------------------------------------------------------------------------------------------------------


def test_closing_asks_first(database: Database, admin_client: TestClient) -> None:
    start_study(database)
    question = admin_client.get("/studies/demo/close")
    assert "0 of 10 judgements by 2 raters are in. The other 10 can no longer be given" in text_of(question)
    with database.reading() as session:
        assert session.scalars(sa.select(Study.status)).one() == OPEN
    answer = submit(admin_client, question)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studies/demo/results")
    with database.reading() as session:
        assert session.scalars(sa.select(Study.status)).one() == CLOSED
        assert audit_lines(session, study_named(session, "demo"), "closed")[0].who == "ada"
    again = admin_client.get("/studies/demo/close")
    assert "This study is closed; only an open study can be closed." in text_of(again)


PATHS = ("", "/progress", "/close", "/unmask", "/raters/1", "/raters/1/delete")
ACTS = ("invite", "joining-link", "extend", "pause", "resume", "close", "unmask")


def test_researchers_manage_nothing(database: Database, researcher_client: TestClient) -> None:
    start_study(database)
    account = next(form for form in forms_of(researcher_client.get("/account")) if form.method == "post")
    token = {"form_token": account.values["form_token"]}
    assert [researcher_client.get(f"/studies/demo{path}").status_code for path in PATHS] == [403] * len(PATHS)
    acts = (*ACTS, "raters/1/reclaim", "raters/1/revoke", "raters/1/delete")
    assert [researcher_client.post(f"/studies/demo/{act}", data=token).status_code for act in acts] == [403] * len(acts)
