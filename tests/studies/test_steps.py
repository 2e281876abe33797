"""The steps around the judging in a rater's browser: through their real forms, from consent to the completion code."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.studies.invitations import revoke_rater
from app.studies.models import Assignment, Condition, Guess, Rater, Study
from app.web.cookies import SESSION_COOKIE
from tests.forms import form_of, submit
from tests.studies.factories import PLAIN
from tests.studies.raters_browser import (
    begin,
    close,
    enter,
    follow,
    start_study,
    take_step,
)
from tests.studies.steps import FULL, at_review, joining_link, rater_row, step_of, words

# Consent and instructions ---------------------------------------------------------------------------------------------


def test_a_rater_agrees_reads_and_comes_to_the_first_neuron(database: Database, client: TestClient) -> None:
    study = start_study(database, protocol=FULL)
    consent = enter(client, study.links[0])
    assert step_of(consent) == "Step 1 of 5: Consent"
    assert '<p class="letter-text">I agree.</p>' in consent.text
    assert '<p class="letter-text">To all of it.</p>' in consent.text
    instructions = take_step(client, consent, "/rate/consent", answer="agree")
    assert step_of(instructions) == "Step 2 of 5: Instructions"
    assert "Judge by the activations." in words(instructions)
    assert "3 Neither Agree nor Disagree" in words(instructions)
    neuron = take_step(client, instructions, "/rate/instructions")
    assert re.search(r"/rate/[0-9a-f]{32}$", str(neuron.url))
    rater = rater_row(database)
    assert None not in (rater.consented_at, rater.instructed_at, rater.passed_practice_at, rater.lease_until)


def test_a_second_click_is_harmless(database: Database, client: TestClient) -> None:
    study = start_study(database, protocol=FULL)
    consent = enter(client, study.links[0])
    token = form_of(consent, "/rate/consent").values["form_token"]
    for step in ("/rate/consent", "/rate/consent", "/rate/instructions", "/rate/instructions", "/rate/consent"):
        answer = client.post(step, data={"form_token": token, "answer": "agree"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/rate")


def test_a_step_cannot_be_skipped(database: Database, client: TestClient) -> None:
    study = start_study(database, protocol=FULL)
    consent = enter(client, study.links[0])
    token = form_of(consent, "/rate/consent").values["form_token"]
    for step in ("instructions", "practice", "review", "survey", "done"):
        assert client.get(f"/rate/{step}").headers["location"] == "/rate", step
    for step in ("instructions", "review", "survey"):
        assert client.post(f"/rate/{step}", data={"form_token": token}).status_code == 409, step
    assert rater_row(database).instructed_at is None
    assert follow(client, client.get("/rate")).text == consent.text


def test_a_step_that_is_over_leads_on(database: Database, client: TestClient) -> None:
    at_review(database, client)
    for step in ("consent", "instructions", "practice", "survey", "done"):
        assert client.get(f"/rate/{step}").headers["location"] == "/rate", step


def test_not_agreeing_ends_the_session_and_the_link_works_again(database: Database, client: TestClient) -> None:
    study = start_study(database, protocol=FULL)
    declined = take_step(client, enter(client, study.links[0]), "/rate/consent", answer="decline")
    assert "You are not taking part." in words(declined)
    assert SESSION_COOKIE not in client.cookies
    assert client.get("/rate").status_code == 403
    assert (rater_row(database).consented_at, rater_row(database).revoked_at) == (None, None)
    assert step_of(enter(client, study.links[0])) == "Step 1 of 5: Consent"


# The end --------------------------------------------------------------------------------------------------------------


def test_the_review_lists_every_neuron_with_a_way_back(database: Database, client: TestClient) -> None:
    _, review = at_review(database, client)
    assert step_of(review) == "Step 4 of 5: Review"
    assert "Your judgements of all 2 neurons are saved." in words(review)
    with database.reading() as session:
        tokens = session.scalars(sa.select(Assignment.token).order_by(Assignment.position)).all()
    assert re.findall(r'href="/rate/([0-9a-f]{32})"', review.text) == tokens


def test_the_review_marks_what_could_not_be_judged_and_tells_what_others_took(
    database: Database, client: TestClient
) -> None:
    _, review = at_review(database, client)
    assert "not judged" not in review.text
    with database.writing() as session:
        first, second = session.scalars(sa.select(Assignment).order_by(Assignment.position)).all()
        first.cannot_judge = "no_pattern"
        second.submitted_at, second.reclaimed_at = None, utc_now()
    review = client.get("/rate/review")
    assert review.text.count('<span class="judged-note">not judged</span>') == 1
    assert "One neuron that you had not judged went to other raters" in words(review)


def test_neurons_without_names_are_numbered(database: Database, client: TestClient) -> None:
    _, review = at_review(database, client, protocol=FULL.model_copy(update={"names_neurons": False}))
    assert "Neuron 1 Neuron 2 When you finish" in words(review)
    survey = take_step(client, review, "/rate/review")
    assert re.findall(r"<h3>([^<]*)</h3>", survey.text) == ["Neuron 1", "Neuron 2"]
    assert re.search(r"\d:\d", words(review)) is None


def test_from_review_to_the_completion_code(database: Database, client: TestClient) -> None:
    _, review = at_review(database, client)
    survey = take_step(client, review, "/rate/review")
    assert step_of(survey) == "Step 5 of 5: Last questions"
    assert rater_row(database).finished_at is not None
    fields = [field for field in form_of(survey, "/rate/survey").names if field.startswith("guess-")]
    assert len(fields) == 10
    assert form_of(survey, "/rate/survey").values.keys() == {"form_token", "comment"}, "nothing is preselected"
    guesses = {fields[0]: "0", fields[1]: "none"}
    done = take_step(client, survey, "/rate/survey", **guesses, comment="All clear.")
    assert "Thank you. You are done." in words(done)
    assert "Your judgements of 2 neurons are saved" in words(done)
    code = re.search(r'id="code" class="completion-code" value="([^"]*)" readonly', done.text)
    assert code is not None
    assert re.fullmatch(r"[A-Z2-9]{8}", code[1])
    assert rater_row(database).comment == "All clear."
    with database.reading() as session:
        methods = sa.select(Condition.method).select_from(Guess).join(Condition, isouter=True)
        assert set(session.scalars(methods)) == {"avhs", None}
    assert follow(client, client.get("/rate")).text == done.text


def test_the_recruiting_sites_code_and_address_stand_on_the_last_page_only(
    database: Database, client: TestClient
) -> None:
    site = {"completion_code": "C0FFEE", "completion_url": "https://recruiting.example/done?cc=C0FFEE"}
    study, review = at_review(database, client, protocol=FULL.model_copy(update=site))
    survey = take_step(client, review, "/rate/review")
    for page in (client.get(study.links[0]), review, survey):
        assert "C0FFEE" not in page.text
    done = take_step(client, survey, "/rate/survey", skip="yes")
    assert 'value="C0FFEE" readonly' in done.text
    assert 'href="https://recruiting.example/done?cc=C0FFEE" rel="noreferrer"' in done.text


def test_skipping_stores_nothing_of_what_was_ticked(database: Database, client: TestClient) -> None:
    _, review = at_review(database, client)
    survey = take_step(client, review, "/rate/review")
    field = next(field for field in form_of(survey, "/rate/survey").names if field.startswith("guess-"))
    done = take_step(client, survey, "/rate/survey", **{field: "1"}, comment="Never mind.", skip="yes")
    assert "You are done." in words(done)
    with database.reading() as session:
        assert session.scalars(sa.select(Guess.card_id)).all() == []
    assert (rater_row(database).comment, rater_row(database).surveyed_at is None) == (None, False)


@pytest.mark.parametrize("value", ["5", "-1", "x", "1e3"])
def test_a_refused_survey_keeps_what_was_entered(database: Database, client: TestClient, value: str) -> None:
    _, review = at_review(database, client)
    survey = take_step(client, review, "/rate/review")
    fields = sorted(field for field in form_of(survey, "/rate/survey").names if field.startswith("guess-"))
    sent = form_of(survey, "/rate/survey").values | {fields[0]: value, fields[1]: "2", "comment": "<b>Fine"}
    refused = client.post("/rate/survey", data=sent)
    assert refused.status_code == 400
    assert "Not saved yet." in words(refused)
    kept = form_of(refused, "/rate/survey").values
    assert (kept[fields[1]], kept["comment"], fields[0] in kept) == ("2", "<b>Fine", False)
    assert rater_row(database).surveyed_at is None


def test_a_study_that_asks_for_no_guesses_names_no_method(database: Database, client: TestClient) -> None:
    _, review = at_review(database, client, protocol=FULL.model_copy(update={"asks_for_guesses": False}))
    survey = take_step(client, review, "/rate/review")
    assert form_of(survey, "/rate/survey").names == {"form_token", "comment"}
    assert "AVHS" not in survey.text


def test_no_byte_of_the_last_questions_depends_on_which_condition_wrote_what(
    database: Database, client: TestClient
) -> None:
    _, review = at_review(database, client)
    survey = take_step(client, review, "/rate/review")
    with database.writing() as session:
        conditions = session.scalars(sa.select(Condition).order_by(Condition.id)).all()
        methods = [condition.method for condition in conditions]
        for step in ("in between ", ""):
            for condition, method in zip(conditions, methods[1:] + methods[:1], strict=True):
                condition.method = step + method
            session.flush()
    again = client.get("/rate/survey")
    assert (again.content, again.headers) == (survey.content, survey.headers)


# Pauses, closing, leaving ---------------------------------------------------------------------------------------------


def pause(database: Database) -> None:
    with database.writing() as session:
        session.execute(sa.update(Study).values(paused_at=utc_now()))


def test_a_paused_study_lets_nobody_begin_or_go_on(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database, protocol=FULL)
    enter(client, study.links[0])
    welcome, link = new_client.get(study.links[1]), joining_link(database, study)
    pause(database)
    for page in (client.get("/rate"), new_client.get(study.links[1]), new_client.get(link)):
        assert (page.status_code, "This study is paused." in words(page)) == (200, True)
    assert "This study is paused." in words(submit(new_client, welcome))
    assert SESSION_COOKIE not in new_client.cookies


def test_a_closed_study_says_so_and_lets_the_finished_reach_their_code(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study, review = at_review(database, client)
    begin(new_client, study.links[1])
    take_step(client, review, "/rate/review")
    close(database, study)
    assert "This study is closed." in words(new_client.get("/rate"))
    assert "You are done." in words(follow(client, client.get("/rate")))


def test_a_withdrawn_rater_reads_so(database: Database, client: TestClient) -> None:
    study = start_study(database)
    begin(client, study.links[0])
    with database.writing() as session:
        revoke_rater(session, study.slug, 1, utc_now())
    answer = client.get("/rate")
    assert answer.status_code == 403
    assert "This invitation has been withdrawn." in words(answer)


def test_without_a_free_neuron_a_rater_waits_and_gets_one_later(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    split = PLAIN.model_copy(update={"sharing": "split", "n_raters": 1})
    study = start_study(database, protocol=split)
    begin(client, study.links[0])
    waiting = begin(new_client, study.links[1])
    assert "No neuron is free right now." in words(waiting)
    with database.writing() as session:
        session.execute(sa.update(Rater).where(Rater.number == 1).values(lease_until=utc_now() - timedelta(hours=1)))
    assert re.fullmatch(r"/rate/[0-9a-f]{32}", new_client.get("/rate").headers["location"])


def test_leaving_ends_this_browsers_session_and_clears_it(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database, protocol=FULL)
    consent = enter(client, study.links[0])
    enter(new_client, study.links[0])
    instructions = take_step(client, consent, "/rate/consent", answer="agree")
    answer = submit(client, instructions, "/rate/leave")
    assert answer.headers["clear-site-data"] == '"storage"'
    assert "You can come back by the same link" in words(follow(client, answer))
    assert client.get("/rate").status_code == 403
    assert new_client.get("/rate").status_code == 303, "only this browser"
    assert step_of(enter(client, study.links[0])) == "Step 2 of 5: Instructions"
