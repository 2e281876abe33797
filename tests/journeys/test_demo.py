"""The demo, small: real text, the real bundled model, real explanations, a study that a browser can judge."""

import json
import sqlite3
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.judging import Mouse
from tests.journeys.server import Server
from tests.journeys.steps import arrive

pytestmark = [pytest.mark.browser, pytest.mark.real_model, pytest.mark.long]

PICTURE = Path(__file__).parent / "rating-page.png"
N_NEURONS = 2
DEMO = ("demo", "--no-serve", "--excerpts", "64", "--neurons", str(N_NEURONS))


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(data / "neuronjury.sqlite") as connection:
        return connection.execute(query).fetchall()


def test_the_demo_does_the_whole_job_once_and_can_be_judged(
    bundled_folder: Path,
    tmp_path: Path,
    browser_page: Page,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    data = tmp_path / "data"
    data.mkdir()
    (data / "models").symlink_to(bundled_folder.parent)
    server = Server(data)
    first = server.command(*DEMO)
    assert "Recorded 46080 neurons of smollm2-135m on 64 excerpts of python-docs." in first
    kept = dict(rows(data, "SELECT band, count(*) FROM activation_record GROUP BY band"))
    assert [kept[band] / 46080 for band in ("top", "bottom", "random")] == [20, 20, 10]
    # Of 64 excerpts few lie above the 0.99 quantile; the others are there for every neuron that varies.
    assert kept["q50"] > 46080 * 4
    assert kept["q90"] > 46080 * 4
    assert rows(data, "SELECT count(*) FROM recording_part") == [(0,)]
    methods = [row[0] for row in rows(data, "SELECT DISTINCT method FROM explanation WHERE status = 'done' ORDER BY 1")]
    assert methods == ["avhs", "highlight", "hs", "original", "summary", "tokens"]

    before = rows(data, "SELECT id, status, text FROM explanation")
    access = json.loads((data / "demo-access.json").read_text())
    second = server.command(*DEMO)
    assert "is there already" in second
    assert all(link in second for link in access["links"])
    assert rows(data, "SELECT id, status, text FROM explanation") == before

    server.start()
    try:
        page = browser_page
        arrive(page, access["links"][0], Mouse())
        expect(page.get_by_role("heading", name="Descriptions")).to_be_visible()
        assert page.locator(".heat mark").count() > 10
        if request.config.getoption("--take-picture"):
            page.screenshot(path=PICTURE)
    finally:
        server.kill()
