"""A rater's whole way through a study in a browser, with every wrong turn, and all that the browser received on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx2
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.tables import metadata
from tests.forms import form_of, form_token_of, submit
from tests.studies.factories import METHODS, PLAIN
from tests.studies.raters_browser import card_fields, follow, judgement

HIDDEN = PLAIN.model_copy(
    update={
        "consent": "I agree.",
        "n_puzzles": 1,
        "check_percent": 50,
        "names_neurons": False,
        "asks_for_guesses": True,
        "completion_url": "https://example.org/done",
    }
)
"""Every step there is; neurons have no names."""
FIRST_ID = 7_700_000
"""Where `far_ids` begins: a number that is on no page by chance."""
KINDS = ("rain", "prices", "ends of quotations", "verbs of motion", "tea")


def plain_text(layer: int, index: int, method: str) -> str:
    """A text without a digit, another one for each neuron and method."""
    return f"{KINDS[METHODS.index(method)]}, {('seldom', 'often')[index]} {('at night', 'by day', 'at dawn')[layer]}"


@dataclass
class Received:
    """One answer. said: its body. asked: its address, which the rater's browser knows too."""

    asked: str
    status: int
    headers: list[tuple[str, str]]
    said: str


def walk(client: TestClient, link: str, at_the_first_neuron: Callable[[], None] = lambda: None) -> list[Received]:
    """From the invitation of a HIDDEN study to the completion code.

    at_the_first_neuron: called when the neurons are dealt, before the first is judged.
    """
    answers: list[httpx2.Response] = []
    client.event_hooks = {"response": [answers.append]}
    page = follow(client, submit(client, client.get(link)))
    page = follow(
        client, client.post("/rate/consent", data=form_of(page, "/rate/consent").values | {"answer": "agree"})
    )
    page = follow(client, submit(client, page, "/rate/instructions"))
    submit(client, page)
    page = follow(client, submit(client, page, **judgement(page, 1, 2, 3, 4)))
    page = follow(client, client.get("/rate"))
    at_the_first_neuron()
    while card_fields(page):
        _turn_wrong(client, page)
        again = client.get(str(page.url))
        page = follow(client, submit(client, again, **judgement(page, 1, 2, 3, 4, 5), comment="fine"))
    _finish(client, page)
    client.event_hooks = {"response": []}
    return [_received(answer) for answer in answers]


def _turn_wrong(client: TestClient, page: httpx2.Response) -> None:
    """Half an answer, one off the scale, a stale one by form and by script, and pages that are not this rater's."""
    address, field = str(page.url), card_fields(page)[0]
    sent = form_of(page, page.url.path).values
    client.post(f"{address}/save", data=sent | {field: "2"})
    client.post(f"{address}/save", data=sent | {field: "3", "version": "0"})
    client.post(address, data=sent | judgement(page, 4) | {"version": "0"})
    client.post(address, data=sent | {field: "9"})
    client.post(f"{address}/save", data=sent | {"rating-" + "0" * 32: "1"})
    for wrong in ("/rate/" + "0" * 32, "/rate/1", "/rate/practice/1", "/rate/no/such", "/rate/done", "/studies"):
        client.get(wrong)


def _finish(client: TestClient, page: httpx2.Response) -> None:
    judged = [str(value) for value in page.text.split('href="/rate/')[1:]]
    page = follow(client, submit(client, page, "/rate/review"))
    asked = [name for name in form_of(page).names if name.startswith("guess-")]
    page = follow(client, submit(client, page, **dict.fromkeys(asked, "0")))
    finished = client.get(f"/rate/{judged[0][:32]}")
    client.post(str(finished.url), data={"form_token": form_token_of(finished)})
    client.get("/rate/done")


def _received(answer: httpx2.Response) -> Received:
    return Received(str(answer.url), answer.status_code, sorted(answer.headers.multi_items()), answer.text)


def all_text(received: Sequence[Received]) -> str:
    """Addresses, headers and bodies, in small letters."""
    parts = [[one.asked, *(value for _, value in one.headers), one.said] for one in received]
    return "\n".join("\n".join(part) for part in parts).lower()


def far_ids(database: Database) -> None:
    """Moves all database ids beyond FIRST_ID, so that one that reaches a page is known for what it is."""
    with database.writing() as session:
        if database.engine.dialect.name == "sqlite":
            session.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
        else:
            session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for table in metadata.sorted_tables:
            moved = {column.name: column + FIRST_ID for column in table.columns if _is_id(column)}
            if moved:
                session.execute(sa.update(table).values(moved))


def _is_id(column: sa.Column[object]) -> bool:
    return isinstance(column.type, sa.Integer) and (column.name == "id" or bool(column.foreign_keys))
