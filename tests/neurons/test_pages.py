"""The pages of neurons as a researcher's browser gets them."""

import re

import numpy as np
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.database import Database
from app.explanations.models import FAILED, QUEUED
from app.neurons.pages import LINES_PER_PAGE
from app.neurons.records import BOTTOM, RANDOM, TOP
from tests.factories import make_explanation, make_neuron, make_record, make_records, make_score, make_subject
from tests.forms import submit


def text_of(html: str) -> str:
    """What is left of a page without tags, blanks run together."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def excerpts_of(html: str) -> list[str]:
    return re.findall(r'<p class="heat">(.*?)</p>', html, re.DOTALL)


@pytest.fixture
def recorded(database: Database) -> None:
    """The subject `toy` with neuron 0:1: 20 top and 10 random records."""
    with database.writing() as session:
        subject = make_subject(session)
        make_records(session, make_neuron(session, subject, 0, 1))


@pytest.mark.usefixtures("recorded")
def test_the_neuron_page_shows_five_top_and_three_random_excerpts_first(admin_client: TestClient) -> None:
    html = admin_client.get("/neurons/toy/0/1").text
    beginnings = [excerpt.split("<")[0] for excerpt in excerpts_of(html)]
    assert beginnings == ["top0", "top1", "top2", "top3", "top4", "random0", "random1", "random2"]
    assert "Show 15 more" in html
    assert "Show 7 more" in html


@pytest.mark.usefixtures("recorded")
def test_an_excerpt_is_a_heatmap_with_its_numbers_beside_the_tokens(admin_client: TestClient) -> None:
    first = excerpts_of(admin_client.get("/neurons/toy/0/1").text)[0]
    assert first == (
        'top0<mark class="a10 peak" tabindex="0"> cat<span class="num"> 5.00</span></mark>'
        '<mark class="a2" tabindex="0"> sat<span class="num"> 1.25</span></mark>'
        ' on<mark class="a5" tabindex="0"> mats<span class="num"> 2.50</span></mark>'
    )


@pytest.mark.usefixtures("recorded")
def test_the_rest_comes_as_a_part_or_as_a_whole_page(admin_client: TestClient) -> None:
    part = admin_client.get("/neurons/toy/0/1/more/random").text
    assert [excerpt.split("<")[0] for excerpt in excerpts_of(part)] == [f"random{rank}" for rank in range(3, 10)]
    assert "<html" not in part
    assert len(excerpts_of(admin_client.get("/neurons/toy/0/1?excerpts=all").text)) == 30


@pytest.mark.usefixtures("recorded")
def test_every_value_is_there_on_demand_negative_ones_too(admin_client: TestClient) -> None:
    assert "−0.250" not in admin_client.get("/neurons/toy/0/1").text
    html = admin_client.get("/neurons/toy/0/1?values=all").text
    first = re.search(r'<p class="heat heat-every">(.*?)</p>', html, re.DOTALL)
    assert first is not None
    assert text_of(first[1]) == "top0 0.000 cat 5.00 sat 1.25 on −0.250 mats 2.50"


def test_token_texts_are_text_and_never_markup(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        tokens = ("<script>", "alert(1)", "\n", "&amp;", " x")
        make_record(session, neuron, TOP, 0, tokens=tokens, activations=[0.0, 5.0, 0.0, 0.0, 0.0])
    excerpt = excerpts_of(admin_client.get("/neurons/toy/0/0").text)[0]
    assert excerpt == (
        '&lt;script&gt;<mark class="a10 peak" tabindex="0">alert(1)<span class="num"> 5.00</span></mark>⏎\n&amp;amp; x'
    )


def test_explanations_stand_by_method_in_the_papers_order(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session)
        neuron, other = make_neuron(session, subject, 0, 0), make_neuron(session, subject, 0, 1)
        make_explanation(session, neuron, "tokens", "none", text="the token “ cat”.")
        make_explanation(session, neuron, "summary", "local:toy", status=FAILED, failure="refusal")
        make_explanation(session, neuron, "original", "openai:gpt-4", text="mentions of pets.")
        make_explanation(session, neuron, "original", "local:toy", text="words for animals.")
        make_explanation(session, neuron, "hs", "local:toy", status=QUEUED)
        make_explanation(session, other, "original", "local:toy", text="another neuron's text.")
    html = admin_client.get("/neurons/toy/0/0").text
    aside = html[html.index("<aside") : html.index("</aside>")]
    assert text_of(aside) == (
        "Explanations Original words for animals. local:toy mentions of pets. openai:gpt-4 "
        "Summary Failed: refusal local:toy HS Queued local:toy Tokens the token “ cat”."
    )


def test_a_neuron_without_records_or_explanations_has_a_page(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session))
    html = admin_client.get("/neurons/toy/0/0").text
    assert html.count("None is kept for this neuron.") == 2
    assert "Nobody has explained this neuron yet." in html


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    "address",
    [
        "/neurons/unknown/0/1",
        "/neurons/toy/0/7",
        "/neurons/toy/0/x",
        "/neurons/toy/0/-1",
        "/neurons/toy/99999999999999999999/1",
        "/neurons/toy/0/1/more/middle",
        "/neurons?subject=unknown",
        "/neurons?subject=toy&after=9-9",
    ],
)
def test_what_is_not_there_is_a_friendly_404(admin_client: TestClient, address: str) -> None:
    response = admin_client.get(address)
    assert response.status_code == 404
    assert "There is nothing here" in response.text
    assert 'href="/"' in response.text


def test_a_half_written_recording_is_invisible(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, recording_status="writing"))
    assert admin_client.get("/neurons/toy/0/0").status_code == 404
    assert admin_client.get("/api/v1/neurons/toy/0/0").status_code == 404
    assert "Nothing is recorded yet" in admin_client.get("/neurons").text


def test_the_list_leads_through_all_neurons_and_back(admin_client: TestClient, database: Database) -> None:
    n_neurons = 2 * LINES_PER_PAGE + 5
    with database.writing() as session:
        subject = make_subject(session, n_layers=1, n_neurons_per_layer=n_neurons)
        for index in range(n_neurons):
            make_neuron(session, subject, 0, index, maximum=float(n_neurons - index))

    def neurons_on(html: str) -> list[int]:
        return [int(index) for index in re.findall(r'href="/neurons/toy/0/(\d+)"', html)]

    def link(html: str, rel: str) -> str | None:
        found = re.search(rf'rel="{rel}" href="([^"]+)"', html)
        return None if found is None else found[1].replace("&amp;", "&")

    pages = [admin_client.get("/neurons?subject=toy&layer=0").text]
    while (later := link(pages[-1], "next")) is not None:
        pages.append(admin_client.get(later).text)
    assert [len(neurons_on(html)) for html in pages] == [50, 50, 5]
    assert [index for html in pages for index in neurons_on(html)] == list(range(n_neurons))
    assert link(pages[0], "prev") is None
    back = admin_client.get(str(link(pages[2], "prev"))).text
    assert neurons_on(back) == neurons_on(pages[1])
    first = admin_client.get(str(link(back, "prev"))).text
    assert neurons_on(first) == neurons_on(pages[0])
    assert link(first, "prev") is None


def test_the_list_shows_the_figures_of_a_neuron(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_records(session, make_neuron(session, make_subject(session), 1, 2, maximum=5.0, q90=2.0), n_top=1)
    html = admin_client.get("/neurons").text
    assert text_of(html[html.index("<tbody>") : html.index("</tbody>")]) == (
        "1:2 5.00 2.00 0.250 12.5 % top0 cat sat on mats"
    )
    assert "toy: 6 neurons in 2 layers" in html


@pytest.mark.usefixtures("recorded")
def test_a_layer_that_the_model_lacks_is_refused_with_its_range(admin_client: TestClient) -> None:
    response = admin_client.get("/neurons?subject=toy&layer=2")
    assert response.status_code == 400
    assert "Layer &#39;2&#39;; toy has the layers 0 to 1." in response.text


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("layer", ["9" * 5000, "²", "٣", "x"])
def test_a_layer_that_is_no_number_of_one_is_refused(admin_client: TestClient, layer: str) -> None:
    response = admin_client.get("/neurons", params={"subject": "toy", "layer": layer})
    assert response.status_code == 400
    assert "toy has the layers 0 to 1." in response.text
    assert "9" * 31 not in re.sub("<a [^>]*>", "", response.text)


def test_one_layer_is_one_layer(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, recording_status=None, n_layers=1))
    for address in ("/neurons", "/"):
        assert "1 neuron in 1 layer<" in admin_client.get(address).text.replace(", strongest", "<")


def test_an_empty_installation_names_both_ways_to_fill_it(admin_client: TestClient) -> None:
    for address in ("/neurons", "/"):
        html = admin_client.get(address).text
        assert "neuronjury record" in html
        assert "neuronjury import" in html


def test_a_neuron_page_does_not_count_the_neurons_of_its_import(admin_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, recording_status=None))
    asked: list[str] = []

    def note(_c: object, _cu: object, statement: str, *_: object) -> None:
        asked.append(" ".join(statement.split()))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    for address, n_counts in (("/neurons/toy/0/0", 0), ("/neurons?subject=toy", 1)):
        asked.clear()
        assert admin_client.get(address).status_code == 200
        assert sum(bool(re.match(r"SELECT count\(\*\) .*FROM neuron ", said)) for said in asked) == n_counts
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("typed", ["0:1", "0 1", " L0 N1", "0/1"])
def test_the_jump_form_leads_to_the_neuron(admin_client: TestClient, typed: str) -> None:
    response = submit(admin_client, admin_client.get("/neurons"), "/neurons/toy/go", neuron=typed)
    assert (response.status_code, response.headers["location"]) == (303, "/neurons/toy/0/1")


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(("typed", "status"), [("", 400), ("seven", 400), ("0:99", 404), ("1", 400)])
def test_the_jump_form_says_what_it_expects(admin_client: TestClient, typed: str, status: int) -> None:
    assert admin_client.get("/neurons/toy/go", params={"neuron": typed}).status_code == status


def test_a_subjects_address_leads_to_its_list(admin_client: TestClient) -> None:
    assert admin_client.get("/neurons/toy").headers["location"] == "/neurons?subject=toy"


def test_a_neuron_as_json_has_raw_values(researcher_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session), 0, 1)
        neuron.maximum_excerpt, neuron.maximum_token = 812, 17
        neuron.minimum, neuron.minimum_excerpt, neuron.minimum_token, neuron.q90_negative = -1.5, 3, 0, 0.75
        neuron.histogram = np.array([3, 1], "<i4").tobytes()
        neuron.histogram_low, neuron.histogram_high = 0.5, 5.0
        make_record(session, neuron, TOP, 0)
        make_record(session, neuron, RANDOM, 0, tokens=("a", "b"), activations=[0.5, 0.0])
        make_record(session, neuron, BOTTOM, 0, tokens=("c", "d"), activations=[0.5, -1.5])
        explanation = make_explanation(session, neuron)
        make_score(session, explanation, "simulation", 0.25)
        make_explanation(session, neuron, text="what it shuns.", side="negative")
    best = {"tokens": ["The", " cat", " sat", " on", " mats"], "activations": [0.0, 5.0, 1.25, -0.25, 2.5]}
    drawn = {"tokens": ["a", "b"], "activations": [0.5, 0.0]}
    assert researcher_client.get("/api/v1/neurons/toy/0/1").json() == {
        "subject": "toy",
        "layer": 0,
        "index": 1,
        "maximum": 5.0,
        "maximum_excerpt": 812,
        "maximum_token": 17,
        "minimum": -1.5,
        "minimum_excerpt": 3,
        "minimum_token": 0,
        "q50": None,
        "q90": 2.0,
        "q99": None,
        "q999": None,
        "q90_negative": 0.75,
        "histogram": {"low": 0.5, "high": 5.0, "counts": [3, 1]},
        "mean": 0.25,
        "standard_deviation": 0.7071067811865476,
        "share_active": 0.125,
        "skewness": 1.5,
        "kurtosis": 3.5,
        "top": [best],
        "random": [drawn],
        "bands": {
            "top": [best],
            "q999": [],
            "q99": [],
            "q90": [],
            "q50": [],
            "random": [drawn],
            "bottom": [{"tokens": ["c", "d"], "activations": [0.5, -1.5]}],
        },
        "explanations": [
            {
                "method": "original",
                "explainer": "local:toy",
                "prompt_pack": "default@0123456789ab",
                "side": side,
                "sample_number": 0,
                "text": text,
                "failure": None,
                "scores": scores,
            }
            for side, text, scores in (
                (
                    "positive",
                    "words for animals.",
                    [{"metric": "simulation", "scorer": "imported", "value": 0.25, "reason": None}],
                ),
                ("negative", "what it shuns.", []),
            )
        ],
    }


@pytest.mark.usefixtures("recorded")
def test_a_page_that_has_not_changed_is_not_sent_twice(admin_client: TestClient) -> None:
    first = admin_client.get("/neurons/toy/0/1")
    assert first.headers["cache-control"] == "private, no-cache"
    again = admin_client.get("/neurons/toy/0/1", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    admin_client.cookies.clear()
    assert admin_client.get("/neurons/toy/0/1", headers={"If-None-Match": first.headers["etag"]}).status_code == 303
