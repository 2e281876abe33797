"""A study that runs now, and what a rater's browser does with it: opens the link, fills in the cards of a page."""

import re
from dataclasses import dataclass
from datetime import timedelta

import httpx2
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.batches.models import Batch
from app.database import Database, utc_now
from app.explanations.models import DONE, Explanation
from app.neurons.models import Neuron, SubjectModel
from app.studies.invitations import invite_raters
from app.studies.lifecycle import close_study, open_study
from app.studies.models import Assignment, Rater
from app.studies.protocol import Protocol
from tests.forms import form_of, forms_of, submit
from tests.studies.factories import (
    EXPLAINER,
    METHODS,
    PLAIN,
    Texts,
    distinct_text,
    make_draft,
    make_explained_subject,
)

VALID_DAYS = 7


@dataclass(frozen=True)
class RunningStudy:
    """links: the paths of the invitations, `/r/...`, rater 1 first."""

    slug: str
    links: tuple[str, ...]


def start_study(
    database: Database,
    *,
    slug: str = "demo",
    n_neurons: int = 2,
    n_raters: int = 2,
    texts: Texts = distinct_text,
    protocol: Protocol = PLAIN,
) -> RunningStudy:
    """An open study of n_neurons (even) with raters invited just now."""
    now = utc_now()
    with database.writing() as session:
        make_explained_subject(session, f"toy-{slug}", n_layers=n_neurons // 2, texts=texts)
        make_draft(session, slug, n_per_layer=2, protocol=protocol)
        open_study(session, slug, now)
        invitations = invite_raters(session, slug, n_raters, now, now + timedelta(days=VALID_DAYS))
    return RunningStudy(slug, tuple(f"/r/{invitation.code}" for invitation in invitations))


def add_batch(database: Database, subject_name: str) -> None:
    """The batch that all explanations of this subject came from; a new study's form reads its choices off batches."""
    with database.writing() as session:
        mine = sa.select(Explanation).join(Explanation.neuron).join(Neuron.subject)
        explanations = session.scalars(mine.where(SubjectModel.name == subject_name)).all()
        batch = Batch(
            subject_id=explanations[0].neuron.subject_id,
            methods=list(METHODS),
            explainer=EXPLAINER,
            settings={},
            status=DONE,
            n_explanations=len(explanations),
            n_shards=1,
        )
        session.add(batch)
        session.flush()
        for explanation in explanations:
            explanation.batch_id = batch.id


def close(database: Database, study: RunningStudy) -> None:
    with database.writing() as session:
        close_study(session, study.slug, utc_now())


def begin(client: TestClient, link: str) -> httpx2.Response:
    """Opens the invitation, presses Begin, agrees, reads the instructions and arrives at what comes next."""
    page = enter(client, link)
    for step in ("/rate/consent", "/rate/instructions"):
        if str(page.url).endswith(step):
            page = take_step(client, page, step, answer="agree")
    return page


def enter(client: TestClient, link: str) -> httpx2.Response:
    """Opens the invitation, presses Begin and arrives at the first step."""
    return follow(client, submit(client, client.get(link)))


def take_step(client: TestClient, page: httpx2.Response, step: str, **fields: str) -> httpx2.Response:
    """Presses the button of a step's form on this page, with the fields it sends, and arrives at what comes next."""
    return follow(client, client.post(step, data=form_of(page, step).values | fields))


def follow(client: TestClient, response: httpx2.Response) -> httpx2.Response:
    """The page at the end of the redirects."""
    while response.is_redirect:
        response = client.get(response.headers["location"])
    return response


def card_fields(page: httpx2.Response) -> list[str]:
    """The names of the cards' ratings, `rating-<token>`, in the order of the page."""
    return list(dict.fromkeys(re.findall(r'name="(rating-[0-9a-f]{32})"', page.text)))


def card_texts(page: httpx2.Response) -> list[str]:
    """The descriptions, in the order of the page."""
    return re.findall(r'<p class="description-text"[^>]*>([^<]*)</p>', page.text)


def chosen(page: httpx2.Response) -> dict[str, str]:
    """What is ticked on a rating page: ratings by field, and `best`."""
    values = next(form.values for form in forms_of(page) if form.method == "post")
    return {name: value for name, value in values.items() if name == "best" or name.startswith("rating-")}


def judgement(page: httpx2.Response, *ratings: int, best: int = 0) -> dict[str, str]:
    """What to send: the ratings for the cards in page order (repeated as needed), and the place of the best one."""
    fields = card_fields(page)
    values = {field: str(ratings[place % len(ratings)]) for place, field in enumerate(fields)}
    return values | {"best": fields[best].removeprefix("rating-")}


def judge_all(client: TestClient, page: httpx2.Response) -> httpx2.Response:
    """Judges every neuron that is open, 5 4 3 2 1 from the first card on, the first one best; gives the last page."""
    while card_fields(page):
        page = follow(client, submit(client, page, **judgement(page, 5, 4, 3, 2, 1)))
    return page


def tokens_of(database: Database, rater_number: int) -> list[str]:
    """The tokens of this rater's assignments in the rater's order."""
    with database.reading() as session:
        query = sa.select(Assignment.token).join(Rater).where(Rater.number == rater_number)
        return list(session.scalars(query.order_by(Assignment.position)))
