"""Permutation invariance over random studies: whoever wrote which text, every rater receives the same bytes.

A study is drawn: conditions, texts (some of them equal), protocol, answers. Raters stand at every step. Everything that
they can get is fetched, the methods change places among the texts, and it is fetched again.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as how
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts.sessions import start_session
from app.database import Database, utc_now
from app.explanations.models import Explanation
from app.neurons.models import Neuron
from app.settings import Settings
from app.studies.conditions import Conditions
from app.studies.dealing.share import deal_share
from app.studies.drafting.lint import waive_all
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.invitations import invite_raters
from app.studies.lifecycle import create_study, open_study
from app.studies.models import Assignment, Card, Condition, Rater, Study
from app.studies.protocol import Protocol
from app.studies.rating.entries import Entries
from app.studies.rating.judging import record_judgement, save_entries
from app.studies.rating.practising import next_puzzle
from app.studies.rating.reading import assignment_page, next_assignment
from app.studies.rating.stages import finish
from app.web.cookies import SESSION_COOKIE
from tests.factories import make_explanation, make_neuron, make_records, make_subject
from tests.forms import forms_of
from tests.studies.factories import METHODS, PLAIN, answers
from tests.studies.raters_browser import card_fields

pytestmark = pytest.mark.long

N_STUDIES = 200
N_LAYERS = 2
N_NEURONS_PER_LAYER = 1
LABELS = [(method, by) for method in METHODS for by in ("openai:a", "local:b")]
WORDS = (
    "rain",
    "prices",
    "months in a list",
    "French articles",
    "ends of quotations",
    "verbs of motion",
    "tea",
    "'if'",
)
KEY = bytes(range(32))
numbers = itertools.count()

Received = dict[str, tuple[int, list[tuple[str, str]], bytes]]


@dataclass(frozen=True)
class DrawnStudy:
    """texts: for each neuron the number of the word of each condition. labels: of the conditions. moved: the labels
    after the change, a permutation. value: what raters answer everywhere."""

    protocol: Protocol
    labels: Sequence[tuple[str, str]]
    moved: Sequence[tuple[str, str]]
    texts: Sequence[Sequence[int]]
    value: int


@st.composite
def drawn_studies(draw: st.DrawFn) -> DrawnStudy:
    n = draw(st.integers(2, 6))
    labels = draw(st.permutations(LABELS))[:n]
    word = st.integers(0, len(WORDS) - 1)
    n_neurons = N_LAYERS * N_NEURONS_PER_LAYER
    return DrawnStudy(
        protocol=PLAIN.model_copy(
            update={
                "consent": draw(st.sampled_from(["", "I agree."])),
                "n_puzzles": draw(st.integers(0, 1)),
                "check_percent": draw(st.sampled_from([0, 50, 100])),
                "check_source": draw(st.sampled_from(["neurons", "puzzles"])),
                "names_neurons": draw(st.booleans()),
                "asks_for_guesses": draw(st.booleans()),
                "shows_explained": draw(st.booleans()),
                "completion_url": draw(st.sampled_from(["", "https://example.org/done"])),
            }
        ),
        labels=labels,
        moved=draw(st.permutations(labels)),
        texts=draw(st.lists(st.lists(word, min_size=n, max_size=n), min_size=n_neurons, max_size=n_neurons)),
        value=draw(st.integers(1, 5)),
    )


def make_study(session: Session, drawn: DrawnStudy, labels: Conditions, key: bytes = KEY) -> Study:
    """The drawn study, opened, its conditions labelled so."""
    slug = f"study-{next(numbers)}"
    subject = make_subject(session, f"toy-{slug}", n_layers=N_LAYERS, n_neurons_per_layer=N_NEURONS_PER_LAYER)
    for layer, texts in enumerate(drawn.texts):
        neuron = make_neuron(session, subject, layer=layer, index=0)
        make_records(session, neuron, n_top=2, n_random=1)
        for (method, explainer), word in zip(labels, texts, strict=True):
            make_explanation(session, neuron, method, explainer, text=f"{WORDS[word]}, seen often")
    study = create_study(
        session,
        slug=slug,
        title="Which hold up?",
        subject_name=subject.name,
        conditions=labels,
        neurons=PerLayer(1),
        seed=0,
        protocol=drawn.protocol,
    )
    study.order_key = key
    waive_all(session, slug, utc_now(), "ada")
    return open_study(session, slug, utc_now())


# Raters at every step -------------------------------------------------------------------------------------------------

STEPS = ("new", "instructed", "judging", "reviewing", "finished", "surveyed")


def bring_raters(session: Session, study: Study, drawn: DrawnStudy, *steps: str) -> list[Rater]:
    """A rater at each of these steps, in their order."""
    now = utc_now()
    invite_raters(session, study.slug, len(steps), now, now + timedelta(days=1))
    raters = list(session.scalars(sa.select(Rater).where(Rater.study_id == study.id).order_by(Rater.number)))
    for step, rater in zip(map(STEPS.index, steps), raters, strict=True):
        if step >= STEPS.index("instructed"):
            rater.consented_at = rater.instructed_at = now
        if step >= STEPS.index("judging"):
            rater.passed_practice_at = now
            session.flush()
            deal_share(session, rater, now)
            judge(session, rater, drawn.value, all_of_them=step >= STEPS.index("reviewing"))
        if step >= STEPS.index("finished"):
            finish(session, rater, now)
        if step >= STEPS.index("surveyed"):
            rater.surveyed_at = now
    session.flush()
    return raters


def judge(session: Session, rater: Rater, value: int, *, all_of_them: bool) -> None:
    """Submits the first neuron or all; of the next one, if there is one, the first card is rated."""
    now = utc_now()
    while (token := next_assignment(session, rater)) is not None:
        page = assignment_page(session, rater, token)
        record_judgement(session, rater, token, answers(page, (value,)), [page.cards[0].token], now)
        if not all_of_them:
            break
    if (token := next_assignment(session, rater)) is not None:
        page = assignment_page(session, rater, token)
        save_entries(session, rater, token, Entries({page.cards[0].token: value}), None, now)


# What they receive ----------------------------------------------------------------------------------------------------


STEP_PAGES = ("/rate/consent", "/rate/instructions", "/rate/practice", "/rate/review", "/rate/survey", "/rate/done")


def everything(client: TestClient, judging: str, other: str, tokens: Sequence[str]) -> Received:
    """Every kind of answer to two browsers, named by their cookies: to one in the middle of the judging what the pages
    of its neurons answer, also to entries that change nothing; to the other all pages there are, another's and none."""
    got: dict[str, httpx2.Response] = {}
    client.cookies.set(SESSION_COOKIE, judging)
    for token in tokens:
        page = client.get(f"/rate/{token}")
        if page.status_code == 200:
            got |= {f"{token} {what}": answer for what, answer in sent_from(client, page, token)}
    client.cookies.set(SESSION_COOKIE, other)
    paths = ["/rate", *STEP_PAGES, *(f"/rate/{token}" for token in tokens), "/rate/" + "0" * 32, "/studies"]
    got |= {path: client.get(path) for path in paths}
    return {asked: received(answer) for asked, answer in got.items()}


def start_clocks(client: TestClient, cookies: Sequence[str], tokens: Sequence[str]) -> None:
    """The first visit of a neuron's page is noted, and the next one is told so."""
    for cookie in cookies:
        client.cookies.set(SESSION_COOKIE, cookie)
        for token in tokens:
            client.get(f"/rate/{token}")


def received(answer: httpx2.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status_code, sorted(answer.headers.multi_items()), answer.content


def sent_from(client: TestClient, page: httpx2.Response, token: str) -> Iterator[tuple[str, httpx2.Response]]:
    """The page itself and entries that change nothing: what is stored, a value off the scale, a stale one, a foreign
    card."""
    form = next(form for form in forms_of(page) if form.action == f"/rate/{token}")
    field = card_fields(page)[-1]
    yield "page", page
    yield "the same saved again", client.post(f"/rate/{token}/save", data=form.values)
    yield "off the scale", client.post(f"/rate/{token}", data=form.values | {field: "6"})
    yield "another's card", client.post(f"/rate/{token}", data=form.values | {"rating-" + "0" * 32: "3"})
    if form.values["version"] != "0":
        late = form.values | {field: "1", "comment": "late", "version": "0"}
        yield "stale, by the script", client.post(f"/rate/{token}/save", data=late)
        yield "stale, by the form", client.post(f"/rate/{token}", data=late)


def relabel(session: Session, study: Study, drawn: DrawnStudy) -> None:
    """The labels change places among the conditions and among the explanations behind the texts."""
    conditions = session.scalars(
        sa.select(Condition).where(Condition.study_id == study.id).order_by(Condition.position)
    )
    rows = list(conditions)
    for step in ("in between ", ""):
        for row, (method, explainer) in zip(rows, drawn.moved, strict=True):
            row.method, row.explainer = step + method, explainer
        session.flush()
    new = dict(zip(drawn.labels, drawn.moved, strict=True))
    of_subject = sa.select(Explanation).join(Neuron).where(Neuron.subject_id == study.subject_id)
    explanations = session.scalars(of_subject).all()
    before = {explanation.id: (explanation.method, explanation.explainer) for explanation in explanations}
    for step in ("in between ", ""):
        for explanation in explanations:
            method, explainer = new[before[explanation.id]]
            explanation.method, explanation.explainer = step + method, explainer
        session.flush()


@pytest.fixture
def study_site(site: FastAPI, settings: Settings) -> Iterator[TestClient]:
    headers = {"Origin": settings.public_url}
    with TestClient(site, base_url=settings.public_url, headers=headers, follow_redirects=False) as client:
        yield client


def test_no_byte_depends_on_who_wrote_which_text(
    database: Database, study_site: TestClient, settings: Settings
) -> None:
    """Over 200 random studies on SQLite, 20 on PostgreSQL."""
    statuses: set[int] = set()

    @given(drawn_studies(), st.sampled_from(STEPS))
    @repeatable(database)
    def check(drawn: DrawnStudy, step: str) -> None:
        with database.writing() as session:
            study = make_study(session, drawn, drawn.labels)
            raters = bring_raters(session, study, drawn, "judging", step)
            cookies = [start_session(session, settings, rater_id=rater.id) for rater in raters]
            mine = sa.select(Assignment.token).join(Rater).where(Rater.study_id == study.id)
            tokens = session.scalars(mine.order_by(Assignment.id)).all()
            if step == "instructed" and (puzzle := next_puzzle(session, raters[1])) is not None:
                tokens = [*tokens, f"practice/{puzzle.token}"]
        start_clocks(study_site, cookies, tokens)
        before = everything(study_site, *cookies, tokens)
        with database.writing() as session:
            relabel(session, session.get_one(Study, study.id), drawn)
        after = everything(study_site, *cookies, tokens)
        assert {asked: answer for asked, answer in after.items() if answer != before[asked]} == {}
        statuses.update(status for status, _, _ in before.values())

    check()
    assert {200, 303, 403, 404, 409, 422} <= statuses


def test_the_same_texts_by_other_methods_are_dealt_as_the_same_cards(database: Database) -> None:
    """Here the methods change places before anything is dealt."""

    @given(drawn_studies())
    @repeatable(database, 40)
    def check(drawn: DrawnStudy) -> None:
        with database.writing() as session:
            hands = []
            for labels in (drawn.labels, drawn.moved):
                study = make_study(session, drawn, labels)
                # The study lists its conditions in one order, whichever text each has.
                bring_raters(session, study, drawn, *STEPS)
                hands.append(dealt(session, study))
            assert hands[0] == hands[1]
            assert len(hands[0]) > 0

    check()


def dealt(session: Session, study: Study) -> list[tuple[Any, ...]]:
    """Rater, place, layer, card place, text and whether it is a check, of every card."""
    columns = (Rater.number, Assignment.position, Neuron.layer, Card.position, Card.text, Card.is_check)
    query = sa.select(*columns).join(Assignment, Assignment.rater_id == Rater.id).join(Card).join(Assignment.neuron)
    mine = query.where(Rater.study_id == study.id).order_by(Rater.number, Assignment.position, Card.position)
    return [tuple(row) for row in session.execute(mine)]


def repeatable(database: Database, n_studies: int = N_STUDIES) -> Any:
    n = n_studies if database.engine.dialect.name == "sqlite" else n_studies // 10
    # Shortening a failure takes many minutes of a run that has failed anyway.
    return how(max_examples=n, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
