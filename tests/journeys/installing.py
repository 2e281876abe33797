"""A served installation with an open study, for browsers and for load: explained by hand, everything else real."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.accounts.creating import create_account
from app.batches.planning import plan_batch
from app.database import Database, utc_now
from app.explanations.explainers import ExplainerSettings
from app.jobs import migrate_jobs
from app.migrating import upgrade
from app.neurons.models import Neuron
from app.settings import Settings
from app.studies import lifecycle
from app.studies.drafting.neuron_sets import PerLayer
from app.studies.invitations import invite_raters
from app.studies.protocol import Protocol
from tests.factories import make_explanation, make_neuron, make_records, make_subject
from tests.journeys.server import Server
from tests.studies.factories import PLAIN

METHODS = ("original", "summary", "highlight", "hs", "avhs")
EXPLAINER = "local:toy"
N_NEURONS = 24
PASSWORD = "a long enough password"

SUBJECTS = ("months and seasons", "numbers that end a sentence", "words for colours", "names of rivers", "past tenses")


@dataclass
class Installation:
    """links: the invitations, rater 1 first. folder: where a test may write."""

    server: Server
    database: Database
    links: list[str]
    folder: Path


@contextmanager
def installed(
    folder: Path,
    *,
    n_neurons: int = N_NEURONS,
    n_raters: int = 2,
    protocol: Protocol = PLAIN,
    n_processes: int = 1,
) -> Iterator[Installation]:
    """A running server: an admin `ada`, the open study `demo` with invited raters, on SQLite."""
    server = Server(folder / "data", n_processes)
    settings = Settings(data=folder / "data", public_url=server.url)
    settings.make_secret()
    migrate_jobs(settings.jobs_database_url)
    database = Database(settings.data_database_url)
    upgrade(database)
    codes = _fill(database, n_neurons, n_raters, protocol)
    server.start()
    try:
        yield Installation(server, database, [f"{server.url}/r/{code}" for code in codes], folder)
    finally:
        server.kill()
        database.dispose()


def _fill(database: Database, n_neurons: int, n_raters: int, protocol: Protocol) -> list[str]:
    """One neuron per layer, explained by the five methods; on each sixth neuron two methods say the same."""
    now = utc_now()
    with database.writing() as session:
        create_account(session, "ada", "admin", PASSWORD)
        subject = make_subject(session, "toy", n_layers=n_neurons, n_neurons_per_layer=1)
        for layer in range(n_neurons):
            neuron = make_neuron(session, subject, layer=layer, index=0, maximum=4.0 + layer)
            make_records(session, neuron)
            for number, method in enumerate(METHODS):
                same = layer % 6 == 0 and method == "hs"
                text = f"{SUBJECTS[1 if same else number].capitalize()} in texts about layer {layer}."
                make_explanation(session, neuron, method=method, explainer=EXPLAINER, text=text)
        _order_tokens(session)
        lifecycle.create_study(
            session,
            slug="demo",
            title="Which descriptions hold up?",
            subject_name="toy",
            conditions=[(method, EXPLAINER) for method in METHODS],
            neurons=PerLayer(1),
            seed=0,
            protocol=protocol,
        )
        lifecycle.open_study(session, "demo", now)
        return [each.code for each in invite_raters(session, "demo", n_raters, now, now + timedelta(days=1))]


def _order_tokens(session: Session) -> None:
    """A batch that waits for a worker."""
    neurons = list(session.scalars(sa.select(Neuron.id)))
    settings = ExplainerSettings()
    plan_batch(session, subject_name="toy", neurons=neurons, methods=["tokens"], explainer="none", settings=settings)
