"""Nothing that a rater's browser receives depends on the method, except the texts themselves.

Every page and answer a rater can get is fetched, then everything about the methods is changed in the database (same
texts, same tokens), then it is fetched again: status, headers and body must be equal to the byte.
"""

import re
from collections.abc import Callable

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.database import Database
from app.explanations.models import Explanation
from app.studies.models import BestPick, Card, CardCondition, Condition, FrozenText, Rating
from tests.forms import form_token_of, submit
from tests.studies.factories import EXPLAINER, METHODS
from tests.studies.raters_browser import (
    RunningStudy,
    begin,
    card_fields,
    close,
    judge_all,
    judgement,
    start_study,
    tokens_of,
)

Received = dict[str, tuple[int, list[tuple[str, str]], bytes]]
"""What was asked -> status, headers and body of the answer."""


def birds_twice(layer: int, index: int, method: str) -> str:
    """Two conditions share a card on one neuron: sharing must not show either."""
    return (
        "birds" if index == 1 and method in ("original", "avhs") else f"kind {METHODS.index(method)} at {layer}:{index}"
    )


class Raters:
    """Rater 1 has judged the first of two neurons, rater 2 both."""

    def __init__(self, database: Database, study: RunningStudy, first: TestClient, second: TestClient):
        self.study, self.first, self.second = study, first, second
        page = begin(first, study.links[0])
        self.judged, self.unjudged = tokens_of(database, 1)
        self.judgement = judgement(page, 5, 4, 3, 2, 1, best=1)
        submit(first, page, **self.judgement)
        judge_all(second, begin(second, study.links[1]))
        self.judged_by_second = tokens_of(database, 2)
        first.get(f"/rate/{self.unjudged}")

    def everything(self) -> Received:
        """Every kind of answer that a rater's browser can get."""
        welcome = self.first.get(self.study.links[0])
        unjudged = self.first.get(f"/rate/{self.unjudged}")
        incomplete = {"form_token": form_token_of(unjudged), card_fields(unjudged)[0]: "4"}
        same = self.judgement | {"form_token": incomplete["form_token"]}
        answers = {
            "welcome": welcome,
            "redirect to the next neuron": self.first.get("/rate"),
            "a neuron to judge": unjudged,
            "a refused judgement": self.first.post(f"/rate/{self.unjudged}", data=incomplete),
            "a judged neuron": self.first.get(f"/rate/{self.judged}"),
            "the same judgement again": self.first.post(f"/rate/{self.judged}", data=same),
            "another rater's neuron": self.first.get(f"/rate/{self.judged_by_second[0]}"),
            "an unknown neuron": self.first.get("/rate/" + "0" * 32),
            "the look back": self.second.get("/rate/review"),
        }
        return {asked: received(answer) for asked, answer in answers.items()}


def received(answer: httpx2.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    return answer.status_code, sorted(answer.headers.multi_items()), answer.content


@pytest.fixture
def raters(database: Database, client: TestClient, new_client: TestClient) -> Raters:
    study = start_study(database, n_neurons=2, texts=birds_twice)
    return Raters(database, study, client, new_client)


# What is changed ------------------------------------------------------------------------------------------------------


def relabel(session: Session, labels: dict[str, tuple[str, str]]) -> None:
    """Gives each condition and its explanations the method and explainer in `labels`, by the method it has now."""
    # Two steps, because no two conditions may have the same label in between.
    for step in ("in between ", ""):
        for table in (Condition, Explanation):
            for before, (method, explainer) in labels.items():
                was = before if step else "in between " + method
                values = {"method": step + method, "explainer": explainer}
                session.execute(sa.update(table).where(table.method == was).values(**values))


def reversed_labels(session: Session) -> None:
    relabel(session, {method: (other, EXPLAINER) for method, other in zip(METHODS, reversed(METHODS), strict=True)})


def rotated_labels(session: Session) -> None:
    relabel(session, {method: (METHODS[place - 1], EXPLAINER) for place, method in enumerate(METHODS)})


def two_swapped_labels(session: Session) -> None:
    relabel(session, {"original": ("summary", EXPLAINER), "summary": ("original", EXPLAINER)})


def baseline_among_them(session: Session) -> None:
    relabel(session, {"hs": ("tokens", "none")})


def invented_labels(session: Session) -> None:
    """Names that are nowhere in the code and longer than any: were one on a page, its length alone would tell."""
    relabel(session, {method: (f"quokka-{method}-" * 2, f"openai:wombat-{method}") for method in METHODS})


def other_conditions_on_the_cards(session: Session) -> None:
    """The cards stand for other conditions than they did: the conditions change places, ids included."""
    ids = list(session.scalars(sa.select(Condition.id).order_by(Condition.id)))
    moved = dict(zip(ids, reversed(ids), strict=True))
    rows = session.scalars(sa.select(CardCondition)).all()
    old = [(row.card_id, row.assignment_id, row.condition_id) for row in rows]
    session.execute(sa.delete(CardCondition))
    session.add_all(CardCondition(card_id=c, assignment_id=a, condition_id=moved[condition]) for c, a, condition in old)
    # A condition's frozen text points at its explanation; let all point at the last one.
    session.execute(
        sa.update(FrozenText).values(explanation_id=sa.select(sa.func.max(Explanation.id)).scalar_subquery())
    )


def other_card_ids(session: Session) -> None:
    """Every card gets another database id, in the reverse order, and keeps its token and place."""
    cards = session.execute(sa.select(Card.id, Card.assignment_id, Card.position, Card.token, Card.text)).all()
    highest = max(card.id for card in cards)
    for number, card in enumerate(sorted(cards, key=lambda card: -card.id), start=1):
        new_id = highest + 1000 + number
        in_between = {"position": card.position + 1000, "token": f"in between {number}"}
        session.execute(
            sa.insert(Card).values(id=new_id, assignment_id=card.assignment_id, text=card.text, **in_between)
        )
        for table in (CardCondition, Rating, BestPick):
            session.execute(sa.update(table).where(table.card_id == card.id).values(card_id=new_id))
        session.execute(sa.delete(Card).where(Card.id == card.id))
        session.execute(sa.update(Card).where(Card.id == new_id).values(position=card.position, token=card.token))


CHANGES = [
    reversed_labels,
    rotated_labels,
    two_swapped_labels,
    baseline_among_them,
    invented_labels,
    other_conditions_on_the_cards,
    other_card_ids,
]


# The tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_no_byte_that_a_rater_receives_depends_on_the_method(
    database: Database, raters: Raters, change: Callable[[Session], None]
) -> None:
    before = raters.everything()
    assert {asked: answer[0] for asked, answer in before.items()} == {
        "welcome": 200,
        "redirect to the next neuron": 303,
        "a neuron to judge": 200,
        "a refused judgement": 422,
        "a judged neuron": 200,
        "the same judgement again": 303,
        "another rater's neuron": 404,
        "an unknown neuron": 404,
        "the look back": 200,
    }
    with database.writing() as session:
        labels_before = session.execute(all_about_methods()).all()
        change(session)
        session.expire_all()
        assert session.execute(all_about_methods()).all() != labels_before
    assert raters.everything() == before


def all_about_methods() -> sa.Select[tuple[str, str, str, int]]:
    """Which condition each card stands for, by name and id."""
    query = sa.select(Card.token, Condition.method, Condition.explainer, Card.id)
    joined = query.join(CardCondition, CardCondition.card_id == Card.id).join(Condition)
    return joined.order_by(Card.token, Condition.method)


def test_a_closed_study_shows_the_same_whatever_the_methods(database: Database, raters: Raters) -> None:
    close(database, raters.study)
    before = [received(raters.first.get("/rate")), received(raters.first.get(raters.study.links[0]))]
    with database.writing() as session:
        invented_labels(session)
    assert [received(raters.first.get("/rate")), received(raters.first.get(raters.study.links[0]))] == before


def test_no_answer_may_be_kept_by_the_browser_or_tell_other_sites_where_it_came_from(raters: Raters) -> None:
    for asked, (_, headers, _body) in raters.everything().items():
        assert ("cache-control", "no-store") in headers, asked
        assert dict(headers)["referrer-policy"] == "no-referrer", asked
        assert "etag" not in dict(headers), asked


def test_names_in_the_form_are_random_tokens(database: Database, raters: Raters) -> None:
    page = raters.first.get(f"/rate/{raters.unjudged}").text
    with database.reading() as session:
        tokens = set(session.scalars(sa.select(Card.token)))
    sent = re.findall(r'name="rating-([^"]*)"', page) + re.findall(r'name="best" value="([^"]*)"', page)
    assert sent
    assert set(sent) <= tokens


def test_another_raters_neuron_looks_like_one_that_does_not_exist(raters: Raters) -> None:
    answers = raters.everything()
    assert answers["another rater's neuron"][2].replace(raters.judged_by_second[0].encode(), b"") == (
        answers["an unknown neuron"][2].replace(b"0" * 32, b"")
    )


def test_judging_another_raters_neuron_is_refused_and_changes_nothing(database: Database, raters: Raters) -> None:
    theirs = raters.second.get(f"/rate/{raters.judged_by_second[0]}")
    mine = raters.first.get(f"/rate/{raters.unjudged}")
    sent = judgement(theirs, 1) | {"form_token": form_token_of(mine)}
    assert raters.first.post(f"/rate/{raters.judged_by_second[0]}", data=sent).status_code == 404
    assert received(raters.second.get(f"/rate/{raters.judged_by_second[0]}")) == received(theirs)
