"""What a hostile or unlucky visitor tries: broken forms, somebody else's name, two things at the same moment."""

import csv
import html
import io
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlencode

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.sessions import start_session
from app.database import Database, utc_now
from app.errors import NeuronJuryError
from app.settings import Settings
from app.studies.drafting.power import detectable_difference
from app.studies.invitations import (
    ExternalIds,
    dry_run,
    invite_raters,
    join,
    make_joining_link,
    note_external_ids,
    redeem_invitation,
)
from app.studies.lifecycle import open_study
from app.studies.models import Assignment, Guess, PracticeAnswer, Rater, Study
from app.studies.rating.practising import answer_puzzle, next_puzzle
from app.studies.rating.stages import decline_consent, finish
from app.studies.rating.survey import guess_neurons, store_survey
from app.studies.results.export import judgements_csv, raters_csv
from app.studies.results.unmasking import unmask
from app.studies.running.deletion import delete_rater
from tests.conftest import SignIn
from tests.factories import make_account
from tests.forms import form_token_of, submit
from tests.studies.factories import (
    METHODS,
    NOW,
    PLAIN,
    judge_everything,
    make_draft,
    make_explained_subject,
    make_open_study,
    rater_of,
)
from tests.studies.raters_browser import begin, close, follow, judge_all, judgement, start_study
from tests.studies.steps import joining_link, rater_row
from tests.web.test_permissions import ACCOUNTS, ADMINS_ALONE, VALUES

N = 12
"""How often each pair is tried: on PostgreSQL, where the two really run at once, a defect shows in most of them."""
EVIL = """"><img src=x onerror="alert(1)">'"""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

# Broken forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [[("comment", "a\0"), ("comment", "b")], [("a\0b", "x")]])
def test_a_nul_character_is_found_in_every_value_and_name(
    database: Database, client: TestClient, fields: list[tuple[str, str]]
) -> None:
    page = begin(client, start_study(database).links[0])
    body = urlencode([("form_token", form_token_of(page)), *fields])
    answer = client.post(f"{page.url}/save", content=body, headers=FORM)
    assert (answer.status_code, "NUL character" in answer.text) == (400, True)
    with database.reading() as session:
        assert session.scalars(sa.select(Assignment.comment)).all() == [None, None]


def test_a_nul_character_is_found_in_every_parameter_of_an_address(database: Database, client: TestClient) -> None:
    link = joining_link(database, start_study(database))
    assert client.get(f"{link}?SESSION_ID=a%00&SESSION_ID=b").status_code == 400


def test_an_old_line_end_in_a_comment_or_a_name_breaks_no_row_of_a_file(database: Database, client: TestClient) -> None:
    study = start_study(database, n_neurons=2, n_raters=1)
    page = begin(client, study.links[0] + "?PROLIFIC_PID=a%0Db")
    page = submit(client, page, **judgement(page, 3), comment="one\rtwo")
    submit(client, client.get(study.links[0], params={"PROLIFIC_PID": "a\rb"}))
    page = judge_all(client, follow(client, client.get("/rate")))
    submit(client, follow(client, submit(client, page, "/rate/review")), comment="three\rfour")
    close(database, study)
    with database.reading() as session:
        judgements = "".join(judgements_csv(session, "demo"))
        raters = raters_csv(session, "demo", names_people=True)
    rows = list(csv.DictReader(io.StringIO(judgements, newline="")))
    assert sorted(row["comment"] for row in rows) == ["", "one\ntwo"]
    (row,) = csv.DictReader(io.StringIO(raters, newline=""))
    assert (row["external_id"], row["comment"]) == ("a\rb", "three\nfour")


def test_a_file_in_place_of_a_comment_is_no_comment(database: Database, client: TestClient) -> None:
    page = judge_all(client, begin(client, start_study(database).links[0]))
    survey = follow(client, submit(client, page, "/rate/review"))
    token = {"form_token": form_token_of(survey)}
    answer = client.post("/rate/survey", data=token, files={"comment": ("notes.txt", b"hello", "text/plain")})
    assert answer.status_code == 303
    assert rater_row(database).comment is None


def test_a_standard_deviation_whose_square_vanishes_is_refused(database: Database) -> None:
    with pytest.raises(NeuronJuryError, match=r"a standard deviation of 1e-200; expected one from 0\.01 to 4"):
        detectable_difference(10, 1e-200, 0.3)


def test_whatever_people_write_is_text_on_every_page(
    database: Database, client: TestClient, researcher_client: TestClient, sign_in: SignIn
) -> None:
    """Titles, texts, comments, outside names and reasons: on the pages of raters, researchers and admins."""
    words = {"consent": f"c{EVIL}", "completion_code": f"d{EVIL}", "completion_url": f"https://e.org/{EVIL}"}
    study = start_study(
        database,
        texts=lambda layer, index, method: f"t{EVIL} {METHODS.index(method)} {layer} {index}",
        protocol=PLAIN.model_copy(update={**words, "asks_for_guesses": True}),
    )
    with database.writing() as session:
        stored = session.scalars(sa.select(Study)).one()
        stored.title, stored.instructions = f"s{EVIL}", f"i{EVIL}"
        account_id = make_account(session, "ada").id
    received: list[httpx2.Response] = []
    client.event_hooks = researcher_client.event_hooks = {"response": [received.append]}
    page = begin(client, f"{study.links[0]}?{urlencode({'PROLIFIC_PID': EVIL, 'STUDY_ID': EVIL})}")
    submit(client, client.get(study.links[0], params={"PROLIFIC_PID": EVIL, "STUDY_ID": EVIL}))
    stale = {"form_token": form_token_of(client.get(str(page.url))), "comment": f"k{EVIL}"}
    client.post(str(page.url), data=stale)
    submit(client, client.get(str(page.url)), **judgement(page, 3), comment=f"k{EVIL}")
    page = judge_all(client, follow(client, client.get("/rate")))
    page = follow(client, submit(client, page, "/rate/review"))
    follow(client, submit(client, page, comment=f"k{EVIL}"))
    client.cookies.clear()
    sign_in(client, account_id=account_id)
    with database.writing() as session:
        unmask(session, "demo", f"r{EVIL}", utc_now(), f"ada{EVIL}")
    for browser, paths in ((client, ADMINS_ALONE | ACCOUNTS), (researcher_client, ACCOUNTS)):
        for method, path in sorted(paths):
            if method == "GET":
                browser.get(path.format(**VALUES))
    for answer in received:
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert "<img" not in answer.text, answer.url
    shown = "".join(answer.text for answer in received)
    for first in "scditkr":
        assert html.escape(f"{first}{EVIL}").replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in shown, first


# Somebody else's name and place ---------------------------------------------------------------------------------------


def test_a_dry_run_takes_nobodys_name(database: Database) -> None:
    """Else the person of that name would come in as one who is never counted."""
    study = make_open_study(database, n_raters=1)
    with database.writing() as session:
        tried = redeem_invitation(session, dry_run(session, study.slug, NOW, "ada").code, NOW)
        note_external_ids(session, tried, ExternalIds("person-1"))
        assert tried.external_id is None
        code = make_joining_link(session, study.slug, 1, NOW, "ada")
        joined = join(session, code, ExternalIds("person-1"), NOW)
        assert (joined.is_dry_run, joined.number) == (False, 2)


def test_a_new_joining_link_has_places_of_its_own(database: Database) -> None:
    study = make_open_study(database, n_raters=1)
    with database.writing() as session:
        first = make_joining_link(session, study.slug, 2, NOW, "ada")
        join(session, first, ExternalIds("a"), NOW)
        second = make_joining_link(session, study.slug, 1, NOW, "ada")
        join(session, second, ExternalIds("b"), NOW)
        for code, name in ((first, "c"), (second, "c")):
            with pytest.raises(NeuronJuryError):
                join(session, code, ExternalIds(name), NOW)


# At the same moment ---------------------------------------------------------------------------------------------------


def at_once(database: Database, *acts: Callable[[Session], object]) -> list[str]:
    """What became of each, all begun at the same moment in transactions of their own: `done` or `refused`. Anything
    else, a deadlock or a broken rule of the database, raises here."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[Session], object]) -> str:
        start.wait()
        try:
            with database.writing() as session:
                act(session)
        except NeuronJuryError:
            return "refused"
        return "done"

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))


def rater_numbered(session: Session, number: int) -> Rater:
    return session.scalars(sa.select(Rater).where(Rater.number == number)).one()


def count(database: Database, query: sa.Select[tuple[int]]) -> int:
    with database.reading() as session:
        return session.scalar(query) or 0


def delete(number: int) -> Callable[[Session], object]:
    return lambda session: delete_rater(session, "demo", number, NOW, "ada")


def open_with_raters(database: Database, **protocol: object) -> list[str]:
    """The codes of N raters of an open study who have only been invited."""
    with database.writing() as session:
        make_explained_subject(session, "toy-demo", n_layers=1)
        make_draft(session, "demo", 2, PLAIN.model_copy(update=protocol))
        open_study(session, "demo", NOW)
        invited = invite_raters(session, "demo", N, utc_now(), utc_now() + timedelta(days=1))
    return [invitation.code for invitation in invited]


def test_a_rater_is_deleted_while_answering_the_last_questions(database: Database) -> None:
    asking = PLAIN.model_copy(update={"asks_for_guesses": True})
    study = make_open_study(database, n_neurons=2, n_raters=N, protocol=asking)
    for number in range(1, N + 1):
        judge_everything(database, study, number)
        with database.writing() as session:
            rater = rater_of(session, study, number)
            finish(session, rater, NOW)
            asked = {card.token: 0 for neuron in guess_neurons(session, rater) for card in neuron.cards}

        def answer(session: Session, number: int = number, guesses: dict[str, int] = asked) -> None:
            store_survey(session, rater_numbered(session, number), dict(guesses), "me", NOW)

        assert at_once(database, answer, delete(number))[1] == "done"
    assert count(database, sa.select(sa.func.count()).select_from(Guess)) == 0
    assert count(database, sa.select(sa.func.count(Rater.comment))) == 0


def test_a_rater_is_deleted_while_practising(database: Database) -> None:
    open_with_raters(database, n_puzzles=1)
    with database.writing() as session:
        session.execute(sa.update(Rater).values(instructed_at=NOW))
    for number in range(1, N + 1):
        with database.reading() as session:
            step = next_puzzle(session, rater_numbered(session, number))
        assert step is not None
        ratings, best = {card.token: 3 for card in step.cards}, [step.cards[0].token]

        def answer(
            session: Session,
            number: int = number,
            token: str = step.token,
            ratings: dict[str, int] = ratings,
            best: list[str] = best,
        ) -> None:
            answer_puzzle(session, rater_numbered(session, number), token, dict(ratings), best, NOW)

        assert at_once(database, answer, delete(number))[1] == "done"
    assert count(database, sa.select(sa.func.count()).select_from(PracticeAnswer)) == 0


def test_a_deleted_rater_gets_no_name_any_more(database: Database) -> None:
    codes = open_with_raters(database)
    for number, code in enumerate(codes, start=1):

        def come(session: Session, code: str = code, number: int = number) -> None:
            rater = redeem_invitation(session, code, utc_now())
            note_external_ids(session, rater, ExternalIds(f"person-{number}"))

        assert at_once(database, come, delete(number))[1] == "done"
    assert count(database, sa.select(sa.func.count(Rater.external_id))) == 0


def test_two_raters_who_bring_the_same_name_both_come_in_and_one_has_it(database: Database) -> None:
    codes = open_with_raters(database)

    def come(code: str, name: str) -> Callable[[Session], object]:
        return lambda session: note_external_ids(
            session, redeem_invitation(session, code, utc_now()), ExternalIds(name)
        )

    for first, second in zip(codes[::2], codes[1::2], strict=True):
        assert at_once(database, come(first, first), come(second, first)) == ["done", "done"]
    assert count(database, sa.select(sa.func.count(Rater.external_id))) == N // 2


def test_declining_in_one_tab_and_beginning_in_another_leaves_both_answered(
    database: Database, settings: Settings
) -> None:
    codes = open_with_raters(database, consent="I agree.")
    outcomes: Counter[str] = Counter()
    for number, code in enumerate(codes, start=1):
        with database.writing() as session:
            rater_id = redeem_invitation(session, code, utc_now()).id
            cookie = start_session(session, settings, rater_id=rater_id)

        def decline(session: Session, number: int = number) -> None:
            decline_consent(session, rater_numbered(session, number))

        def enter(session: Session, rater_id: int = rater_id, cookie: str = cookie) -> None:
            start_session(session, settings, rater_id=rater_id, replaces=cookie)

        outcomes.update(at_once(database, decline, enter))
    assert outcomes == {"done": 2 * N}
