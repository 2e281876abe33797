"""The twenty leaks by which a rater could learn what blinding hides, and the tests that watch each. Leaks that are
watched here have a test of their number; the others name the tests that watch them, and those that see more of it.

 1 ids in values, names, data-*, JSON
 2 fixed or guessable order
     test_design.py::test_over_10000_assignments_each_method_is_at_each_position_equally_often
     test_rating_page.py::test_a_rater_who_comes_back_is_at_the_same_place_with_the_same_cards
     test_invitations.py::test_the_stored_cards_are_those_of_the_design_with_their_conditions
 3 URL, referrer, redirect, ETag
     test_rating_page.py::test_another_raters_page_is_unknown
 4 sequential ids, creation times
     test_invitations.py::test_tokens_are_random_and_all_different
 5 size and timing by card
     test_blind_studies.py::test_no_byte_depends_on_who_wrote_which_text
 6 API documents, other routes
     ../web/test_permissions.py::test_a_rater_gets_nothing_of_admins_and_researchers
     ../web/test_security.py::test_the_api_description_is_for_researchers
 7 identical texts
     test_blinding.py::test_a_shared_card_has_one_place_on_the_page_and_all_its_members
     test_rating_pages.py::test_conditions_with_the_same_text_share_a_card
     test_export.py::test_ratings_csv_is_the_whole_expected_file
 8 style of the texts
     test_blinding.py::test_texts_are_shown_in_one_shape
     test_blinding_index.py::test_stored_guesses_of_one_study_with_shared_cards
 9 artefacts of models
     test_lint.py::test_texts_that_raters_must_not_see_keep_a_study_from_opening
     test_blinding.py::test_texts_that_betray_their_origin_are_found
10 live results and exports
     test_results_pages.py::test_results_stay_hidden_until_the_closing
     test_unmasking.py::test_an_unmasked_study_shows_its_results_and_says_so_for_ever
11 an admin who rates
     test_entrance.py::test_whoever_has_seen_the_methods_is_told_kindly_and_kept_out
     test_seeing.py::test_signing_out_does_not_help
     test_draft_pages.py::test_reading_the_findings_is_noted_as_having_seen_the_methods
12 the viewer beside the form
13 the neuron looked up elsewhere
     test_rating_pages.py::test_a_hidden_name_is_nowhere_on_the_page
14 browser cache, shared computer
     test_steps.py::test_leaving_ends_this_browsers_session_and_clears_it
15 error pages, logs
     ../web/test_security.py::test_an_unexpected_error_tells_nothing_and_keeps_the_headers
16 told after one item
     test_steps.py::test_no_byte_of_the_last_questions_depends_on_which_condition_wrote_what
17 other raters' answers and counts
     test_saving.py::test_what_a_rater_enters_is_on_nobody_elses_page
18 order of the neurons
     test_dealing.py::test_crossed_every_rater_judges_every_neuron_in_another_order
     test_design.py::test_raters_meet_the_neurons_in_different_orders
19 the key of the orders
     test_design_file.py::test_the_file_has_neither_the_key_nor_raters_nor_answers
20 text of the invitation
"""

import base64
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.explanations.methods import METHOD_TITLES
from app.explanations.models import ExplanationView
from app.neurons.models import Neuron
from app.studies.drafting.lint import waive_all
from app.studies.lifecycle import open_study
from app.studies.models import Assignment, BestPick, Card, Rater, Rating, Study, StudyNeuron
from tests.conftest import SignIn
from tests.factories import make_account, make_explanation
from tests.forms import submit
from tests.studies.factories import (
    EXPLAINER,
    METHODS,
    PLAIN,
    judge_everything,
    make_draft,
    make_explained_subject,
    make_open_study,
)
from tests.studies.raters_browser import (
    RunningStudy,
    begin,
    card_fields,
    card_texts,
    close,
    follow,
    judge_all,
    judgement,
    start_study,
)
from tests.studies.steps import joining_link
from tests.studies.whole_way import FIRST_ID, HIDDEN, Received, all_text, far_ids, plain_text, walk
from tests.web.test_permissions import ACCOUNTS, ADMINS_ALONE, VALUES

pytestmark = pytest.mark.long

N_NEURONS = 4
RATE_PAGE = re.compile(r"/rate/[0-9a-f]{32}$")


@pytest.fixture
def study(database: Database) -> RunningStudy:
    return start_study(database, n_neurons=N_NEURONS, texts=plain_text, protocol=HIDDEN)


@pytest.fixture
def way(database: Database, client: TestClient, study: RunningStudy) -> list[Received]:
    """All that rater 1 received on the whole way, with the database ids far away from any number of a page."""
    received = walk(client, study.links[0], at_the_first_neuron=lambda: far_ids(database))
    assert {200, 303, 403, 404, 409, 422} <= {one.status for one in received}
    assert str(received[-1].asked).endswith("/rate/done")
    return received


def neuron_pages(way: list[Received]) -> list[Received]:
    return [one for one in way if one.status == 200 and RATE_PAGE.search(one.asked)]


def words_of(received: list[Received]) -> str:
    """All of it but the HTML elements that are called like a method."""
    return re.sub(r"</?summary>", "", all_text(received))


def test_every_leak_is_in_the_table_and_every_test_in_the_table_exists() -> None:
    table = __doc__ or ""
    assert [int(number) for number in re.findall(r"^ ?(\d+) ", table, re.MULTILINE)] == list(range(1, 21))
    here = Path(__file__)
    for file, test in re.findall(r"(\S+\.py)::(\w+)", table):
        assert f"def {test}(" in (here.parent / file).read_text(), (file, test)
    tested_here = {int(number) for number in re.findall(r"def test_(\d\d)_", here.read_text())}
    pointed = {int(number) for number in re.findall(r"^ ?(\d+) [^\n]*\n +\S+::", table, re.MULTILINE)}
    assert tested_here | pointed == set(range(1, 21))


def test_01_no_database_id_and_no_name_of_a_method_is_in_any_answer(database: Database, way: list[Received]) -> None:
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.min(Card.id))) > FIRST_ID
    assert str(FIRST_ID)[:4] not in all_text(way)
    # The last questions name the conditions, after the answers stand.
    before_the_end = words_of([one for one in way if not one.asked.endswith("/rate/survey")])
    for name in (EXPLAINER, "local:", "toy-demo", *(title.lower() for title in METHOD_TITLES.values())):
        assert not re.search(rf"\b{re.escape(name)}\b", before_the_end), name


def test_03_addresses_tell_nothing_and_lead_nowhere_else(way: list[Received]) -> None:
    """Words, files, and 128 random bits; besides the wrong addresses that were tried."""
    text = "\n".join(one.said for one in way)
    found = set(re.findall(r'(?:href|action|formaction)="([^"#]+)', text))
    static = r"/static/[\w./-]+(\?v=[0-9a-f]+)?"
    own = r"/rate(/practice)?(/[a-z]+|/[0-9a-f]{32})?"
    unknown = {address for address in found if not re.fullmatch(f"{static}|{own}|/r/[0-9a-f]{{32}}", address)}
    assert unknown == {"https://example.org/done"}
    assert {dict(one.headers)["referrer-policy"] for one in way} == {"no-referrer"}
    assert [one.asked for one in way if {"etag", "last-modified"} & {name for name, _ in one.headers}] == []


def test_03_ids_cannot_be_tried_out(client: TestClient, way: list[Received]) -> None:
    for number in (0, 1, 2, FIRST_ID + 1, "demo", "0:1"):
        assert client.get(f"/rate/{number}").status_code == 404
        assert client.get(f"/r/{number}").status_code == 403


def test_04_no_answer_holds_a_time(way: list[Received]) -> None:
    year = utc_now().year
    assert not re.search(rf"<time|{year}-\d\d|\d\d:\d\d|\butc\b", all_text(way))
    assert [one.asked for one in way if dict(one.headers).keys() & {"last-modified", "server-timing"}] == []


def test_05_every_description_is_there_from_the_start(way: list[Received]) -> None:
    for one in neuron_pages(way):
        assert len(re.findall('class="description-text"', one.said)) in (5, 6)
        assert not re.search(r"hx-|data-src|loading=|<iframe|<object|<img|srcset", one.said)


def one_text_twice(layer: int, index: int, method: str) -> str:
    return f"kind {max(METHODS.index(method), 1)} at {layer}:{index}"


def test_07_a_shared_card_looks_like_any_other(database: Database, client: TestClient) -> None:
    study = start_study(database, texts=one_text_twice)
    page = begin(client, study.links[0])
    shapes = re.findall(r'<fieldset class="description.*?</fieldset>', page.text, re.DOTALL)
    neutral = [re.sub(r"[0-9a-f]{32}|kind \d at \d:\d|\b[A-E]\b", "", shape) for shape in shapes]
    assert (len(neutral), len(set(neutral))) == (4, 1)


# Those with an account ------------------------------------------------------------------------------------------------


def test_10_under_the_embargo_no_page_or_file_depends_on_a_rating(
    database: Database, admin_client: TestClient, researcher_client: TestClient
) -> None:
    study = make_open_study(database)
    judge_everything(database, study, 1)

    def everything() -> dict[tuple[str, str], tuple[int, str]]:
        answers = {}
        for who, browser, paths in (
            ("ada", admin_client, ADMINS_ALONE | ACCOUNTS),
            ("grace", researcher_client, ACCOUNTS),
        ):
            for method, path in sorted(paths):
                if method == "GET":
                    answer = browser.get(path.format(**VALUES))
                    answers[who, path] = answer.status_code, answer.text
        return answers

    before = everything()
    with database.writing() as session:
        session.execute(sa.update(Rating).values(value=6 - Rating.value))
        for pick in session.scalars(sa.select(BestPick)):
            mine = sa.select(Card.id).where(Card.assignment_id == pick.assignment_id, Card.id != pick.card_id)
            pick.card_id = session.scalars(mine).first() or 0
    assert {asked: answer for asked, answer in everything().items() if answer != before[asked]} == {}
    assert before["ada", "/studies/{slug}"][0] == 200
    assert {before["grace", f"/studies/{{slug}}/{name}.csv"][0] for name in ("ratings", "judgements", "raters")} == {
        409
    }


def seen_by(database: Database, name: str) -> int:
    """Of how many neurons this account is noted as knowing the methods."""
    query = sa.select(sa.func.count()).select_from(ExplanationView)
    with database.reading() as session:
        account_id = session.scalar(sa.text("SELECT id FROM account WHERE name = :name"), {"name": name})
        return session.scalar(query.where(ExplanationView.account_id == account_id)) or 0


def test_11_the_file_of_a_design_tells_the_methods_and_is_noted(database: Database, admin_client: TestClient) -> None:
    study = start_study(database, n_neurons=N_NEURONS)
    assert "words of kind 0" in admin_client.get(f"/studies/{study.slug}/design.json").text
    assert seen_by(database, "ada") == N_NEURONS
    assert admin_client.get(study.links[0]).status_code == 403


def test_11_the_history_of_waived_texts_tells_their_methods_and_is_noted(
    database: Database, admin_client: TestClient
) -> None:
    def texts(layer: int, index: int, method: str) -> str:
        return "As an AI, I see rain" if (index, method) == (1, "hs") else plain_text(layer, index, method)

    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1, texts=texts)
        make_draft(session, "demo", n_per_layer=2)
        waive_all(session, "demo", utc_now(), "grace")
        open_study(session, "demo", utc_now())
    assert "As an AI, I see rain" in admin_client.get("/studies/demo").text
    assert seen_by(database, "ada") == 1


def test_11_whoever_learns_the_methods_while_rating_rates_no_more(
    database: Database, client: TestClient, sign_in: SignIn
) -> None:
    """Ada once signed in on this browser, came in as a rater, and reads a description's page elsewhere."""
    study = start_study(database)
    with database.writing() as session:
        ada = make_account(session, "ada").id
    sign_in(client, account_id=ada)
    submit(client, client.get("/account"), "/logout")
    page = begin(client, study.links[0])
    with database.writing() as session:
        neuron_id = session.scalars(sa.select(StudyNeuron.neuron_id)).first()
        session.add(ExplanationView(account_id=ada, neuron_id=neuron_id))
    assert client.get(str(page.url)).status_code == 403
    assert submit(client, page, f"/rate/{str(page.url)[-32:]}", **judgement(page, 1)).status_code == 403
    letter = client.get("/rate")
    assert (letter.status_code, "It was signed in to the account ada" in letter.text) == (403, True)
    with database.reading() as session:
        assert session.scalars(sa.select(Rating)).all() == []
    assert submit(client, letter, "/rate/leave").status_code == 303


# The rater's pages ----------------------------------------------------------------------------------------------------


def test_12_beside_the_form_is_no_explanation_but_the_cards(database: Database, client: TestClient) -> None:
    study = start_study(database, texts=plain_text)
    with database.writing() as session:
        for neuron in session.scalars(sa.select(Neuron)):
            make_explanation(session, neuron, "original", "openai:other", text="not of this study")
            make_explanation(session, neuron, "original", EXPLAINER, text="a second sample", sample_number=1)
    page = begin(client, study.links[0])
    for text in card_texts(page):
        assert page.text.count(text.removesuffix(".")) == 1
    assert not re.search(r"not of this study|a second sample|simulat|score|predict", page.text, re.IGNORECASE)


def test_13_a_hidden_neuron_is_named_nowhere_on_the_whole_way(way: list[Received]) -> None:
    text = all_text(way)
    assert not re.search(r"\b\d{1,3}:\d{1,5}\b(?!\d)", text.replace("127.0.0.1:8000", ""))
    assert not re.search(r"\blayer\b|toy-demo", text)
    survey = next(one.said for one in way if one.asked.endswith("/rate/survey") and one.status == 200)
    assert set(re.findall(r"<h3>Neuron ([^<]*)</h3>", survey)) <= {str(number) for number in range(1, N_NEURONS + 1)}


def test_14_no_answer_may_be_kept_by_the_browser(client: TestClient, way: list[Received]) -> None:
    assert {dict(one.headers)["cache-control"] for one in way} == {"no-store"}
    left = submit(client, client.get("/rate/done"), "/rate/leave")
    assert left.headers["clear-site-data"] == '"storage"'
    assert client.get("/rate/done").status_code == 403


def test_15_what_went_wrong_is_said_in_general_words(way: list[Received]) -> None:
    for one in way:
        if one.status >= 400:
            assert not re.search(r"traceback|sqlalchemy|app/|\.py|select |condition|explainer", one.said.lower()), (
                one.asked
            )


def test_16_nothing_is_told_before_or_after_the_end(
    database: Database, client: TestClient, study: RunningStudy, way: list[Received]
) -> None:
    close(database, study)
    judged = [one.asked for one in neuron_pages(way)]
    after = [client.get(path) for path in ("/rate", "/rate/done", *judged)]
    assert {answer.status_code for answer in after} == {200, 303}
    said = "".join(answer.text for answer in after).lower() + words_of(neuron_pages(way)[-1:])
    titles = [title.lower() for title in METHOD_TITLES.values()]
    assert [title for title in titles if re.search(rf"\b{re.escape(title)}\b", said)] == []


def test_17_what_another_rater_does_changes_not_one_byte(
    database: Database, client: TestClient, new_client: TestClient
) -> None:
    study = start_study(database, n_neurons=N_NEURONS, protocol=PLAIN.model_copy(update={"asks_for_guesses": True}))
    page = begin(client, study.links[0])
    submit(client, page, **judgement(page, 4))
    with database.reading() as session:
        mine = session.scalars(sa.select(Assignment.token).join(Rater).where(Rater.number == 1)).all()
    paths = [study.links[0], "/rate", *(f"/rate/{token}" for token in mine)]
    before = [
        (answer.status_code, answer.headers.multi_items(), answer.text) for answer in map(client.get, paths + paths)
    ]
    review = judge_all(new_client, begin(new_client, study.links[1]))
    survey = follow(new_client, submit(new_client, review, "/rate/review"))
    submit(new_client, survey, comment="I was here")
    after = [(answer.status_code, answer.headers.multi_items(), answer.text) for answer in map(client.get, paths)]
    assert after == before[len(paths) :]


def test_19_the_key_of_the_orders_is_in_no_answer(database: Database, way: list[Received]) -> None:
    with database.reading() as session:
        key = session.scalars(sa.select(Study.order_key)).one()
    text = all_text(way)
    for form in (key.hex(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()):
        assert form[:12].lower() not in text


def test_20_a_link_tells_nothing_but_how_to_come_in(
    database: Database, client: TestClient, study: RunningStudy
) -> None:
    links = [*study.links, joining_link(database, study)]
    assert len(set(links)) == 3
    for link in links:
        assert re.fullmatch(r"/(r|join)/[0-9a-f]{32}", link)
        welcome = client.get(link)
        assert not re.search(r"rater-\d|\bmethods?\b(?!=)|\bdemo\b|explainer|condition", welcome.text)
        assert card_fields(welcome) == []
