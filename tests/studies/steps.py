"""A rater at a certain step, and what a reader reads on a step's page."""

import html
import re

import httpx2
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database, utc_now
from app.studies.dealing.share import deal_share
from app.studies.invitations import make_joining_link
from app.studies.models import Rater
from app.studies.rating.judging import record_judgement
from app.studies.rating.reading import assignment_page, next_assignment
from tests.studies.factories import PLAIN, answers
from tests.studies.raters_browser import RunningStudy, begin, follow, start_study

FULL = PLAIN.model_copy(update={"consent": "I agree.\n\nTo all of it.", "asks_for_guesses": True})
"""With consent and guesses."""


def words(page: httpx2.Response) -> str:
    """What a reader reads, blanks as one."""
    main = page.text.partition("<main")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", main))).replace(" .", ".")


def step_of(page: httpx2.Response) -> str:
    """`Step 1 of 5: Consent`."""
    found = re.search(r"<p>(Step [^<]*)</p>", page.text)
    return found[1] if found else ""


def judge_the_rest(database: Database, number: int = 1) -> None:
    """The rater's neurons, judged without a browser, dealt first where none are."""
    with database.writing() as session:
        rater = session.scalars(sa.select(Rater).where(Rater.number == number)).one()
        deal_share(session, rater, utc_now())
        while (token := next_assignment(session, rater)) is not None:
            shown = assignment_page(session, rater, token)
            ratings = answers(shown, (5, 4, 3, 2, 1))
            record_judgement(session, rater, token, ratings, [shown.cards[0].token], utc_now())


def rater_row(database: Database, number: int = 1) -> Rater:
    """The rater of that number as stored now."""
    with database.reading() as session:
        return session.scalars(sa.select(Rater).where(Rater.number == number)).one()


def at_review(database: Database, client: TestClient, **how: object) -> tuple[RunningStudy, httpx2.Response]:
    """A study, by default FULL, and the page of rater 1, who has judged everything and not finished."""
    study = start_study(database, **({"protocol": FULL} | how))  # type: ignore[arg-type]
    begin(client, study.links[0])
    judge_the_rest(database)
    return study, follow(client, client.get("/rate"))


def joining_link(database: Database, study: RunningStudy, most: int = 2) -> str:
    """The path by which `most` people may join."""
    with database.writing() as session:
        return f"/join/{make_joining_link(session, study.slug, most, utc_now(), 'ada')}"
