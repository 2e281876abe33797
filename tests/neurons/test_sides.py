"""The page of a neuron that was recorded on both sides, and the figures it shows."""

import re

import numpy as np
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.neurons.contexts import NeuronView
from app.neurons.models import Neuron
from tests.factories import (
    make_bottom_records,
    make_explanation,
    make_neuron,
    make_record,
    make_records,
    make_score,
    make_subject,
)
from tests.neurons.test_pages import text_of

ADDRESS = "/neurons/toy/0/1"


@pytest.fixture
def recorded(database: Database) -> None:
    """Neuron 0:1 with every band, its neighbours 0:0 and 1:2, and an explanation of each side."""
    with database.writing() as session:
        subject = make_subject(session, polarity="both")
        neuron = make_neuron(session, subject, 0, 1)
        make_neuron(session, subject, 0, 0)
        make_neuron(session, subject, 1, 2)
        make_records(session, neuron)
        make_bottom_records(session, neuron)
        for band in ("q999", "q99", "q90", "q50"):
            for rank in range(5):
                make_record(session, neuron, band, rank, tokens=(f"{band}-{rank}", *"abcd"))
        make_explanation(session, neuron, text="what it likes.")
        make_explanation(session, neuron, text="what it shuns.", side="negative")


def beginnings(html: str) -> list[str]:
    """The first word of every excerpt; those of the negative scale after a minus sign."""
    found = re.findall(r'<p class="heat( negative)?">(.*?)</p>', html, re.DOTALL)
    return [("-" if negative else "") + re.split(r"[< ]", excerpt)[0] for negative, excerpt in found]


def bands_of(html: str) -> list[str]:
    return re.findall(r'<h2 id="band-(\w+)"', html)


@pytest.mark.usefixtures("recorded")
def test_the_positive_side_shows_all_bands_and_the_negative_excerpts_last(admin_client: TestClient) -> None:
    html = admin_client.get(ADDRESS).text
    assert bands_of(html) == ["top", "q999", "q99", "q90", "q50", "random", "bottom"]
    assert beginnings(html) == [
        *(f"top{rank}" for rank in range(5)),
        *(f"{band}-{rank}" for band in ("q999", "q99", "q90", "q50") for rank in range(2)),
        *(f"random{rank}" for rank in range(3)),
        *(f"-bottom{rank}" for rank in range(3)),
    ]
    assert "what it likes." in html
    assert "what it shuns." not in html


@pytest.mark.usefixtures("recorded")
def test_the_negative_side_shows_what_was_looked_for_there(admin_client: TestClient) -> None:
    html = admin_client.get(f"{ADDRESS}?side=negative").text
    assert bands_of(html) == ["bottom", "random"]
    assert beginnings(html) == [f"-bottom{rank}" for rank in range(5)] + [f"-random{rank}" for rank in range(3)]
    assert "what it shuns." in html
    assert "what it likes." not in html
    first = re.search(r'<li class="excerpt">(.*?)</li>', html, re.DOTALL)
    assert first is not None
    assert text_of(first[1]) == "Smallest activation −4.00 bottom0 cat −4.00 sat −1.00 on mats −2.00"


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("band", "side", "expected"),
    [
        ("q99", "positive", [f"q99-{rank}" for rank in range(2, 5)]),
        ("bottom", "positive", [f"-bottom{rank}" for rank in range(3, 20)]),
        ("bottom", "negative", [f"-bottom{rank}" for rank in range(5, 20)]),
        ("random", "negative", [f"-random{rank}" for rank in range(3, 10)]),
    ],
)
def test_more_of_a_band_goes_on_where_the_page_stopped(
    admin_client: TestClient, band: str, side: str, expected: list[str]
) -> None:
    page = admin_client.get(f"{ADDRESS}?side={side}").text
    query = "?side=negative" if side == "negative" else ""
    assert f'hx-get="{ADDRESS}/more/{band}{query}"' in page
    assert beginnings(admin_client.get(f"{ADDRESS}/more/{band}{query}").text) == expected


@pytest.mark.usefixtures("recorded")
def test_what_was_chosen_stays_chosen_when_the_side_is_changed(admin_client: TestClient) -> None:
    html = admin_client.get(f"{ADDRESS}?side=negative&excerpts=all&values=all").text
    assert f'href="{ADDRESS}?excerpts=all&amp;values=all">Positive side' in html
    assert f'href="{ADDRESS}?side=negative&amp;excerpts=all">Only the values' in html
    assert 'rel="prev" href="/neurons/toy/0/0?side=negative"' in html
    assert 'rel="next" href="/neurons/toy/1/2?side=negative"' in html
    assert "more/" not in html


def test_a_neuron_of_one_side_has_no_switch(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_records(session, make_neuron(session, make_subject(session), 0, 1))
    html = admin_client.get(ADDRESS).text
    assert "Negative side" not in html
    assert bands_of(html) == ["top", "random"]
    assert admin_client.get(f"{ADDRESS}?side=negative").text.count("None is kept for this neuron.") == 1


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("address", [f"{ADDRESS}?side=left", f"{ADDRESS}/more/q42", f"{ADDRESS}/more/top?side=x"])
def test_an_unknown_side_or_band_is_not_there(admin_client: TestClient, address: str) -> None:
    assert admin_client.get(address).status_code in (400, 404, 422)


def test_the_query_of_a_view_names_only_what_is_chosen() -> None:
    assert NeuronView().query() == ""
    assert NeuronView(side="negative").query(excerpts=True) == "?side=negative&excerpts=all"
    assert NeuronView(side="negative").query(values=True, side="positive") == "?values=all"


def test_figures_say_where_the_extremes_were(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session), 0, 1)
        neuron.maximum_excerpt, neuron.maximum_token = 1812, 17
        neuron.minimum, neuron.minimum_excerpt, neuron.minimum_token = -0.5, 3, 0
        neuron.q50, neuron.q99, neuron.q999 = 1.0, 3.0, 4.0
        neuron.histogram = np.array([6, *[0] * 62, 2], "<i4").tobytes()
        neuron.histogram_low, neuron.histogram_high = 0.25, 5.0
    html = admin_client.get(ADDRESS).text
    figures = text_of(html[html.index('<div class="figures">') : html.index("<figure")])
    assert figures == (
        "Strongest activation 5.00 in excerpt 1,812, token 17 Smallest activation −0.500 in excerpt 3, token 0 "
        "Tokens that activate it 12.5 % Mean over all tokens 0.250 Standard deviation 0.707 Skewness 1.50 "
        "Kurtosis 3.50 Half of excerpts below 1.00 "
        "9 of 10 excerpts below 2.00 99 of 100 below 3.00 999 of 1,000 below 4.00"
    )
    described = re.search(r'<svg[^>]*role="img" aria-label="([^"]*)"', html)
    assert described is not None
    assert described[1] == (
        "Histogram of 8 excerpts by their largest activation, from 0.250 to 5.00. 50 % stay below 1.00, "
        "90 % stay below 2.00, 99 % stay below 3.00, 99.9 % stay below 4.00."
    )
    assert html.count("<rect") == 2


def test_an_imported_neuron_shows_a_dash_for_what_is_unknown(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status=None)
        session.add(Neuron(subject_id=subject.id, layer=0, index=1, maximum=3.0))
    html = admin_client.get(ADDRESS).text
    figures = text_of(html[html.index('<div class="figures">') : html.index('<div class="beside">')])
    assert figures == (
        "Strongest activation 3.00 Smallest activation – Tokens that activate it – Mean over all tokens – "
        "Standard deviation – Skewness – Kurtosis – 9 of 10 excerpts below –"
    )
    assert "<svg" not in html
    listed = admin_client.get("/neurons").text
    assert text_of(listed[listed.index("<tbody>") : listed.index("</tbody>")]) == "0:1 3.00 – – – –"
    assert "toy: 1 neurons" not in listed
    assert "toy: 1 neuron in 2 layers" in listed
    assert admin_client.get("/api/v1/neurons/toy/0/1").json()["standard_deviation"] is None


def test_scores_stand_below_their_explanation(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neuron, other = make_neuron(session, subject, 0, 1), make_neuron(session, subject, 0, 0)
        first = make_explanation(session, neuron, "original", "local:toy", text="words for animals.")
        second = make_explanation(session, neuron, "original", "openai:gpt-4", text="mentions of pets.")
        make_score(session, first, "simulation", 0.4567)
        make_score(session, first, "detection", None, scorer="local:toy", reason="all predictions are missing")
        make_score(session, second, "simulation", -0.25)
        make_score(session, make_explanation(session, other), "simulation", 0.99)
    html = admin_client.get(ADDRESS).text
    assert text_of(html[html.index("<aside") : html.index("</aside>")]) == (
        "Explanations Original words for animals. local:toy Detection – all predictions are missing local:toy "
        "Simulate and score 0.46 imported mentions of pets. openai:gpt-4 Simulate and score −0.25 imported"
    )


# On SQLite alone: both databases are asked the same.
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("recorded")
def test_a_page_asks_no_more_questions_for_more_excerpts(admin_client: TestClient, database: Database) -> None:
    def n_questions(address: str) -> int:
        asked: list[str] = []
        admin_client.get(address)

        def note(_c: object, _cu: object, statement: str, *_: object) -> None:
            asked.append(statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        assert admin_client.get(address).status_code == 200
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        return sum(statement.startswith("SELECT") for statement in asked)

    assert n_questions(f"{ADDRESS}?excerpts=all") == n_questions(ADDRESS) <= 14


def test_the_negative_view_of_a_neuron_without_such_records_leads_back(
    admin_client: TestClient, database: Database
) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session))
    assert 'aria-label="Side"' not in admin_client.get("/neurons/toy/0/0").text
    assert '<a href="/neurons/toy/0/0">Positive side</a>' in admin_client.get("/neurons/toy/0/0?side=negative").text
