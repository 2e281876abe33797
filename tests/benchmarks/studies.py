"""Studies under load and by the numbers: balance of positions, a rush of 200 raters on a served site, key presses.

Everything is real: a server process on SQLite, raters over HTTP, a Chromium for the keyboard.
"""

import asyncio
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import httpx2
import sqlalchemy as sa
from playwright.sync_api import sync_playwright
from scipy.stats import chisquare

from app.studies.models import Assignment
from tests.benchmarks.printed_figures import Figure, print_figures, print_machine
from tests.forms import forms_of
from tests.journeys.chromium import FLAGS, HOW_TO_GET_ONE, find_chromium
from tests.journeys.installing import Installation, installed
from tests.journeys.judging import answers_by_chance, judge_by_keyboard
from tests.studies.positions import METHODS, positions_of_methods

KEY = bytes(range(32))
DESIGNS = {"split": (1, 10_000), "three raters per neuron": (3, 3_334), "crossed, 50 raters": (50, 200)}
"""Raters per neuron and neurons: 10,000 assignments each."""
N_RATERS = 200
SECONDS_PER_NEURON = 5.0
N_SUBMISSIONS = 12
N_NEURONS_BY_KEYBOARD = 48


def main() -> None:
    if find_chromium() is None:
        sys.exit(HOW_TO_GET_ONE)
    print_machine()
    figures = [*balance(), *asyncio_load(), *keyboard()]
    print_figures(figures)


def balance() -> list[Figure]:
    """The largest departure of a method's share of a position from an even one, and the least likely column."""
    figures = []
    for name, (n_raters, n_neurons) in DESIGNS.items():
        counts = positions_of_methods(KEY, n_raters, n_neurons)
        n = n_raters * n_neurons
        worst = max(abs(counts[method, position] / n - 1 / len(METHODS)) for method in METHODS for position in range(5))
        least = min(chisquare([counts[method, position] for position in range(5)]).pvalue for method in METHODS)
        figures.append(Figure(f"{name}: departure from an even share", 100 * worst, "points", 1.0))
        figures.append(Figure(f"{name}: 1 - p of the least even method", 1 - least, "", 0.999))
    return figures


# 200 raters at once ---------------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """seconds: of every submission, from the request to the reply. n_refused: replies other than a redirect."""

    seconds: list[float] = field(default_factory=list)
    n_refused: int = 0


def asyncio_load() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder), n_raters=N_RATERS) as installation:
        measured = asyncio.run(rate_together(installation))
        with installation.database.reading() as session:
            stored = session.scalar(sa.select(sa.func.count(Assignment.submitted_at)))
    cuts = quantiles(measured.seconds, n=100)
    return [
        Figure(f"submission among {N_RATERS} raters, median", 1000 * median(measured.seconds), "ms"),
        Figure(f"submission among {N_RATERS} raters, 95th percentile", 1000 * cuts[94], "ms", 300),
        Figure(f"submission among {N_RATERS} raters, 99th percentile", 1000 * cuts[98], "ms", 1000),
        Figure("refused submissions", measured.n_refused, "", 0),
        Figure("acknowledged and not stored", len(measured.seconds) - measured.n_refused - (stored or 0), "", 0),
    ]


async def rate_together(installation: Installation) -> Measured:
    measured = Measured()
    chance = random.Random(0)
    await asyncio.gather(
        *(rate_alone(link, measured, chance.uniform(0, SECONDS_PER_NEURON)) for link in installation.links)
    )
    return measured


async def rate_alone(link: str, measured: Measured, seconds_later: float) -> None:
    """One rater: enters, then judges a neuron every five seconds."""
    await asyncio.sleep(seconds_later)
    async with httpx2.AsyncClient(follow_redirects=True, timeout=60) as client:
        page = await client.get(link)
        while "descriptions" not in page.text:
            page = await send(client, page, {})
        for _ in range(N_SUBMISSIONS):
            due = time.monotonic() + SECONDS_PER_NEURON
            fields = list(dict.fromkeys(re.findall(r'name="(rating-[0-9a-f]{32})"', page.text)))
            entries = dict.fromkeys(fields, "3") | {"best": fields[0].removeprefix("rating-")}
            started = time.perf_counter()
            page = await send(client, page, entries, measured)
            measured.seconds.append(time.perf_counter() - started)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def send(
    client: httpx2.AsyncClient, page: httpx2.Response, entries: dict[str, str], measured: Measured | None = None
) -> httpx2.Response:
    """Submits the page's form and gives the page that follows."""
    form = next(form for form in forms_of(page) if form.method == "post")
    address = str(page.url.join(form.action)) if form.action else str(page.url)
    headers = {"Origin": f"{page.url.scheme}://{page.url.netloc.decode()}"}
    answer = await client.post(address, data=form.values | entries, headers=headers, follow_redirects=False)
    if measured is not None and answer.status_code != 303:
        measured.n_refused += 1
    return await client.get(str(page.url.join(answer.headers["location"])))


# Keys -----------------------------------------------------------------------------------------------------------------


def keyboard() -> list[Figure]:
    presses = keyboard_presses()
    return [
        Figure("key presses per neuron with five descriptions, median", median(presses), "", 12),
        Figure("key presses per neuron with five descriptions, most", max(presses), ""),
    ]


def keyboard_presses() -> Sequence[int]:
    with (
        tempfile.TemporaryDirectory() as folder,
        installed(Path(folder), n_neurons=N_NEURONS_BY_KEYBOARD) as installation,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        page = browser.new_page()
        chance = random.Random(0)
        installation.enter(page)
        presses = [judge_by_keyboard(page, answers_by_chance(page, chance)) for _ in range(N_NEURONS_BY_KEYBOARD)]
        browser.close()
    return presses


if __name__ == "__main__":
    main()
