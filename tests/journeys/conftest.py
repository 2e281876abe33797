"""A served installation with a study of 24 neurons, and a browser whose every complaint fails the test."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy.orm import Session

from app.accounts.creating import create_account
from app.database import Database, utc_now
from app.explanations.explainers import ExplainerSettings
from app.explanations.planning import plan_batch
from app.jobs import migrate_jobs
from app.migrating import upgrade
from app.neurons.models import Neuron
from app.settings import Settings
from app.studies import lifecycle
from app.studies.invitations import invite_raters
from app.studies.neuron_sets import PerLayer
from tests.factories import make_explanation, make_neuron, make_records, make_subject
from tests.journeys.chromium import FLAGS, HOW_TO_GET_ONE, find_chromium
from tests.journeys.server import Server

METHODS = ("original", "summary", "highlight", "hs", "avhs")
EXPLAINER = "local:toy"
N_NEURONS = 24
PASSWORD = "a long enough password"

SUBJECTS = ("months and seasons", "numbers that end a sentence", "words for colours", "names of rivers", "past tenses")


@dataclass
class Installation:
    server: Server
    database: Database
    links: list[str]
    folder: Path
    """Where the test may write."""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running server: an admin `ada`, the open study `demo` with two invited raters, on SQLite."""
    server = Server(tmp_path / "data")
    settings = Settings(data=tmp_path / "data", public_url=server.url)
    settings.make_secret()
    migrate_jobs(settings.jobs_database_url)
    database = Database(settings.data_database_url)
    upgrade(database)
    codes = fill(database)
    server.start()
    yield Installation(server, database, [f"{server.url}/r/{code}" for code in codes], tmp_path)
    server.kill()
    database.dispose()


def fill(database: Database) -> list[str]:
    """One neuron per layer, explained by the five methods; on each sixth neuron two methods say the same."""
    now = utc_now()
    with database.writing() as session:
        create_account(session, "ada", "admin", PASSWORD)
        subject = make_subject(session, "toy", n_layers=N_NEURONS, n_neurons_per_layer=1)
        for layer in range(N_NEURONS):
            neuron = make_neuron(session, subject, layer=layer, index=0, maximum=4.0 + layer)
            make_records(session, neuron)
            for number, method in enumerate(METHODS):
                same = layer % 6 == 0 and method == "hs"
                text = f"{SUBJECTS[1 if same else number].capitalize()} in texts about layer {layer}."
                make_explanation(session, neuron, method=method, explainer=EXPLAINER, text=text)
        order_tokens(session)
        lifecycle.create_study(
            session,
            slug="demo",
            title="Which descriptions hold up?",
            subject_name="toy",
            conditions=[(method, EXPLAINER) for method in METHODS],
            neurons=PerLayer(1),
            seed=0,
        )
        lifecycle.open_study(session, "demo", now)
        return [each.code for each in invite_raters(session, "demo", 2, now, now + timedelta(days=1))]


def order_tokens(session: Session) -> None:
    """A batch that waits for a worker."""
    neurons = list(session.scalars(sa.select(Neuron.id)))
    settings = ExplainerSettings()
    plan_batch(session, subject_name="toy", neurons=neurons, methods=["tokens"], explainer="none", settings=settings)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.fail(HOW_TO_GET_ONE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium: Browser) -> Iterator[Page]:
    """A page in a fresh browser profile. Any complaint of the browser fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/")
