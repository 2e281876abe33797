"""How long the site takes for a page, on the demo's database: `make demo SERVE=0`, then `make bench-pages`.

Each page is asked for in this process, through the whole stack of the site: routing, session, queries, template.
"""

import random
import sys
import time
from statistics import median

import sqlalchemy as sa
from starlette.testclient import TestClient

from app.accounts.models import Account
from app.accounts.sessions import end_session, start_session
from app.database import Database
from app.errors import Conflict
from app.main import create_app
from app.migrating import check_is_current
from app.neurons.models import Neuron, SubjectModel
from app.settings import Settings
from app.web.cookies import SESSION_COOKIE
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine

N_REQUESTS = 200
LONGEST_MS = 20.0


def main() -> None:
    settings = Settings()
    database = Database(settings.data_database_url)
    try:
        check_is_current(database)
    except Conflict:
        sys.exit(f"there is no database in {settings.data}; make one first: make demo SERVE=0")
    print_machine()
    with database.writing() as session:
        account_id = session.scalars(sa.select(Account.id)).first()
        cookie = start_session(session, settings, account_id=account_id)
    with TestClient(create_app(settings), base_url=settings.public_url, cookies={SESSION_COOKIE: cookie}) as client:
        pages = neuron_pages(database)
        figures = [
            Figure("neuron page, median", median_ms(client, pages), "ms", LONGEST_MS),
            Figure("neuron list, median", median_ms(client, ["/neurons"] * N_REQUESTS), "ms"),
        ]
    with database.writing() as session:
        end_session(session, cookie)
    print_figures(figures)


def neuron_pages(database: Database) -> list[str]:
    """Addresses of neurons of the whole model, drawn by chance, and never the same twice in a row."""
    with database.reading() as session:
        subject = session.scalars(sa.select(SubjectModel)).first()
        if subject is None:
            sys.exit("no subject model is recorded; make one first: make demo SERVE=0")
        places = session.execute(sa.select(Neuron.layer, Neuron.index).where(Neuron.subject_id == subject.id)).all()
    chance = random.Random(0)
    return [f"/neurons/{subject.name}/{layer}/{index}" for layer, index in chance.sample(places, N_REQUESTS)]


def median_ms(client: TestClient, paths: list[str]) -> float:
    client.get(paths[0])
    return median(milliseconds(client, path) for path in paths)


def milliseconds(client: TestClient, path: str) -> float:
    started = time.perf_counter()
    status = client.get(path).status_code
    took = 1000 * (time.perf_counter() - started)
    if status != 200:
        sys.exit(f"{path} answered {status}")
    return took


if __name__ == "__main__":
    main()
