"""Studies under load and by the numbers: balance of positions, 200 raters at once on a served site, a rush for the last
slots, key presses.

Everything is real: a server process on SQLite, raters over HTTP, a Chromium for the keyboard.
"""

import asyncio
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

import httpx2
import sqlalchemy as sa
from playwright.sync_api import sync_playwright
from scipy.stats import chisquare

from app.database import Database
from app.migrating import upgrade
from app.studies.invitations import invite_raters
from app.studies.models import Assignment, Rater
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from tests.forms import FoundForm, forms_of
from tests.journeys.chromium import FLAGS, HOW_TO_GET_ONE, find_chromium
from tests.journeys.installing import Installation, installed
from tests.journeys.judging import Keyboard, answers_by_chance, judge
from tests.journeys.steps import arrive
from tests.studies.factories import NOW, make_open_study
from tests.studies.positions import METHODS, positions_of_methods
from tests.studies.test_slots import N_NEURONS, OVERLAP, K, finished_per_neuron, most_live, rush

KEY = bytes(range(32))
DESIGNS = {"split": (1, 10_000), "three raters per neuron": (3, 3_334), "crossed, 50 raters": (50, 200)}
"""Raters per neuron and neurons: 10,000 assignments each."""
N_RATERS = 200
N_PROCESSES = 2
N_AT_THE_DOOR = 8
"""Raters who come in at the same time, before the minute begins."""
SECONDS_PER_NEURON = 20.0
"""A quick rater's, for five descriptions."""
N_SUBMISSIONS = 3
"""Of each rater: a minute."""
N_NEURONS_BY_KEYBOARD = 48
MOST_KEYS = 12


def main() -> None:
    if find_chromium() is None:
        sys.exit(HOW_TO_GET_ONE)
    print_machine()
    print_figures([*balance(), *load(), *slots(), *keyboard()])


def balance() -> list[Figure]:
    """The largest departure of a method's share of a position from an even one, and the least likely column."""
    figures = []
    for name, (n_raters, n_neurons) in DESIGNS.items():
        counts = positions_of_methods(KEY, n_raters, n_neurons)
        n = n_raters * n_neurons
        worst = max(abs(counts[method, position] / n - 1 / len(METHODS)) for method in METHODS for position in range(5))
        # Plain numbers: scipy's own kinds of float do not fit into JSON.
        least = min(chisquare([counts[method, position] for position in range(5)]).pvalue for method in METHODS)
        figures.append(Figure(f"{name}: departure from an even share", 100 * worst, "points", 1.0))
        figures.append(Figure(f"{name}: 1 - p of the least even method", float(1 - least), "", 0.999))
    return figures


# 200 raters at once ---------------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """saves, submissions, pages: seconds of each autosave and submission until its reply, and of each next neuron until
    its page is there.

    n_refused: replies other than those that say that it is stored.
    """

    saves: list[float] = field(default_factory=list)
    submissions: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    n_refused: int = 0


def load() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as installation:
        measured = asyncio.run(rate_together(installation))
        with installation.database.reading() as session:
            stored = session.scalar(sa.select(sa.func.count(Assignment.submitted_at))) or 0
    return [
        *times("autosave", measured.saves, 300, 1000),
        *times("submission", measured.submissions, 300, 1000),
        *times("next neuron", measured.pages),
        Figure(f"requests to store, {N_RATERS} raters in a minute", len(measured.saves + measured.submissions), ""),
        Figure("refused", measured.n_refused, "", 0),
        Figure("submitted and not stored", len(measured.submissions) - stored, "", 0),
    ]


def served(folder: Path) -> AbstractContextManager[Installation]:
    """As `neuronjury serve --processes 2` serves it, on as many cores."""
    return installed(folder, n_raters=N_RATERS, n_processes=N_PROCESSES)


def times(name: str, seconds: Sequence[float], p95: float | None = None, p99: float | None = None) -> list[Figure]:
    """p95, p99: the largest that they may be, in milliseconds."""
    cuts = quantiles(seconds, n=100)
    return [
        Figure(f"{name} among {N_RATERS} raters, median", 1000 * median(seconds), "ms"),
        Figure(f"{name} among {N_RATERS} raters, 95th percentile", 1000 * cuts[94], "ms", p95),
        Figure(f"{name} among {N_RATERS} raters, 99th percentile", 1000 * cuts[98], "ms", p99),
    ]


async def rate_together(installation: Installation) -> Measured:
    measured, chance = Measured(), random.Random(0)
    door = asyncio.Semaphore(N_AT_THE_DOOR)
    clients = [browser(number) for number in range(N_RATERS)]
    try:
        pages = await asyncio.gather(
            *(enter(client, link, door) for client, link in zip(clients, installation.links, strict=True))
        )
        await asyncio.gather(
            *(
                rate_for_a_minute(client, page, measured, chance.uniform(0, SECONDS_PER_NEURON))
                for client, page in zip(clients, pages, strict=True)
            )
        )
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))
    return measured


def browser(number: int) -> httpx2.AsyncClient:
    # Each from an address of its own, as 200 people at home have: from one address the site lets in 15 a minute.
    # Connections are not kept over a neuron: the server ends them after five seconds, and unlike a browser this client
    # does not try again when it meets one that is just ending.
    limits = httpx2.Limits(keepalive_expiry=1)
    transport = httpx2.AsyncHTTPTransport(local_address=f"127.0.1.{number + 1}", limits=limits)
    return httpx2.AsyncClient(transport=transport, follow_redirects=True, timeout=60)


async def enter(client: httpx2.AsyncClient, link: str, door: asyncio.Semaphore) -> httpx2.Response:
    """The page of the first neuron."""
    async with door:
        page = await client.get(link)
        while not fields_of(page):
            answer = await send(client, form_on(page), {})
            page = await client.get(str(answer.url.join(answer.headers["location"])))
    return page


async def rate_for_a_minute(
    client: httpx2.AsyncClient, page: httpx2.Response, measured: Measured, seconds_later: float
) -> None:
    """One rater, whose browser saves each of the six answers to a neuron as it is given, then submits them."""
    await asyncio.sleep(seconds_later)
    for _ in range(N_SUBMISSIONS):
        began, fields, form = time.monotonic(), fields_of(page), form_on(page)
        answers = [*((name, "3") for name in fields), ("best", fields[0].removeprefix("rating-"))]
        entries: dict[str, str] = {}
        for number, (name, value) in enumerate(answers, start=1):
            await asyncio.sleep(began + SECONDS_PER_NEURON * number / (len(answers) + 1) - time.monotonic())
            entries |= {name: value}
            started = time.perf_counter()
            answer = await send(client, form, entries, "/save")
            measured.saves.append(time.perf_counter() - started)
            measured.n_refused += answer.status_code != 200
            entries["version"] = str(answer.json().get("version", ""))
        await asyncio.sleep(began + SECONDS_PER_NEURON - time.monotonic())
        started = time.perf_counter()
        answer = await send(client, form, entries)
        replied = time.perf_counter()
        measured.submissions.append(replied - started)
        measured.n_refused += answer.status_code != 303
        page = await client.get(str(answer.url.join(answer.headers.get("location", "/rate"))))
        measured.pages.append(time.perf_counter() - replied)


def fields_of(page: httpx2.Response) -> list[str]:
    """The names of the ratings, `rating-<token>`, in the order of the page."""
    return list(dict.fromkeys(re.findall(r'name="(rating-[0-9a-f]{32})"', page.text)))


def form_on(page: httpx2.Response) -> FoundForm:
    """The page's first form that changes anything, its address in full."""
    form = next(form for form in forms_of(page) if form.method == "post")
    return replace(form, action=str(page.url.join(form.action)) if form.action else str(page.url))


async def send(
    client: httpx2.AsyncClient, form: FoundForm, entries: dict[str, str], below: str = ""
) -> httpx2.Response:
    """Sends the form, to an address below its own where one is given; the reply itself."""
    origin = "/".join(form.action.split("/")[:3])
    address = form.action + below
    return await client.post(address, data=form.values | entries, headers={"Origin": origin}, follow_redirects=False)


# The last slots -------------------------------------------------------------------------------------------------------


def slots() -> list[Figure]:
    """200 raters in 16 threads for 20 neurons that want three each; four of ten leave in the middle, and the others
    come again when the leases of these are over."""
    with empty_database() as database:
        finished, most_at_once, seconds = rushed(database)
    counts = [finished[neuron_id] for neuron_id in finished]
    return [
        Figure("rush for the last slots: neurons judged", len(finished), ""),
        Figure("rush for the last slots: finished raters per neuron, least", min(counts), ""),
        Figure("rush for the last slots: finished raters per neuron, most", max(counts), "", K),
        Figure("rush for the last slots: live slots at a neuron, most", most_at_once, "", K),
        Figure("rush for the last slots: missing judgements", K * N_NEURONS - sum(counts), "", 0),
        Figure("rush for the last slots, all of it", seconds, "s"),
    ]


@contextmanager
def empty_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/neuronjury.sqlite")
        upgrade(database)
        yield database
        database.dispose()


def rushed(database: Database) -> tuple[Counter[int], int, float]:
    """Finished raters by neuron, the most live slots that a neuron ever had, and seconds."""
    study = make_open_study(database, n_neurons=N_NEURONS, n_raters=1, protocol=OVERLAP)
    with database.writing() as session:
        invite_raters(session, study.slug, N_RATERS - 1, NOW, NOW + timedelta(days=7))
        rater_ids = list(session.scalars(sa.select(Rater.id).order_by(Rater.number)))
    chance = random.Random(0)
    stopping = {rater_id for rater_id in rater_ids if chance.random() < 0.4}
    finished: Counter[int] = Counter()
    most_at_once, started = 0, time.perf_counter()
    for n_round in range(5):
        now = NOW + n_round * timedelta(hours=1, minutes=1)
        with ThreadPoolExecutor(16) as threads:
            visits = [
                threads.submit(rush, database, rater_id, now, n_round == 0 and rater_id in stopping)
                for rater_id in rater_ids
            ]
            for visit in visits:
                visit.result()
        most_at_once = max(most_at_once, most_live(database))
        with database.reading() as session:
            finished = finished_per_neuron(session)
        if sum(finished.values()) == K * N_NEURONS:
            break
    return finished, most_at_once, time.perf_counter() - started


# Keys -----------------------------------------------------------------------------------------------------------------


def keyboard() -> list[Figure]:
    presses = keyboard_presses()
    return [
        Figure("key presses per neuron with five descriptions, median", median(presses), "", MOST_KEYS),
        Figure("key presses per neuron with five descriptions, most", max(presses), ""),
    ]


def keyboard_presses() -> Sequence[int]:
    with (
        tempfile.TemporaryDirectory() as folder,
        installed(Path(folder), n_neurons=N_NEURONS_BY_KEYBOARD) as installation,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        page, hand, chance = chromium.new_page(), Keyboard(), random.Random(0)
        arrive(page, installation.links[0], hand)
        presses = []
        while page.locator("#judgement").count():
            answers, before = answers_by_chance(page, chance), hand.n_pressed
            judge(page, hand, answers)
            if len(answers.ratings) == len(METHODS):
                presses.append(hand.n_pressed - before)
        chromium.close()
    return presses


if __name__ == "__main__":
    main()
