"""A class that saves at the same moment: nobody is refused, and the site does not stand still."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.forms import forms_of
from tests.journeys.installing import installed

pytestmark = pytest.mark.browser

N_AT_ONCE = 120
SECONDS = 20
"""Far longer than they take, shorter than SQLite waits for a lock that is not given back."""


@pytest.mark.parametrize("n_processes", [1, 2])
def test_120_saves_at_the_same_moment_are_all_stored_in_good_time(tmp_path: Path, n_processes: int) -> None:
    with installed(tmp_path, n_neurons=1, n_raters=1, n_processes=n_processes) as installation:
        started = time.monotonic()
        # In a thread of its own: the browser of other tests here keeps its loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            statuses = thread.submit(lambda: asyncio.run(save_at_once(installation.links[0]))).result()
        assert statuses == [200] * N_AT_ONCE
        assert time.monotonic() - started < SECONDS


async def save_at_once(link: str) -> list[int]:
    """The statuses of so many different answers to the first neuron, sent together."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(follow_redirects=True, timeout=60, limits=limits) as client:
        page = await client.get(link)
        while not (fields := re.findall(r'name="(rating-[0-9a-f]{32})"', page.text)):
            page = await client.post(**sent_by(page))
        untouched = sent_by(page)
        untouched["data"].pop("version")
        answers = [{fields[0]: str(1 + n % 5), "comment": str(n)} for n in range(N_AT_ONCE)]
        replies = [
            client.post(f"{untouched['url']}/save", data=untouched["data"] | answer, headers=untouched["headers"])
            for answer in answers
        ]
        return [reply.status_code for reply in await asyncio.gather(*replies)]


def sent_by(page: httpx2.Response) -> dict[str, Any]:
    """What the page's first form sends untouched, as arguments of a post."""
    form = next(form for form in forms_of(page) if form.method == "post")
    origin = f"{page.url.scheme}://{page.url.netloc.decode()}"
    return {"url": str(page.url.join(form.action or page.url.path)), "data": form.values, "headers": {"Origin": origin}}
