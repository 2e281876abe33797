"""The preview of a prompt: what its page shows is what would be sent, to the character."""

from html.parser import HTMLParser

import pytest
from starlette.testclient import TestClient

from app.database import Database
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import ShownNeuron
from app.explanations.methods.skeleton import Prompt, build_prompt
from app.explanations.methods.splits import explain_records
from app.explanations.prompt_packs.loading import load_pack, with_few_shots
from app.explanations.token_counting import TokenCounter, estimated_tokens
from app.neurons.reading import load_records, neuron_at
from app.neurons.records import ActivationRecord
from tests.factories import make_neuron, make_record, make_subject

ADDRESS = "/neurons/toy/0/3/prompts"
ESTIMATED = TokenCounter("an estimate", estimated_tokens)


class _Messages(HTMLParser):
    """The texts of the page's <pre> elements, as a browser reads them: a line break right after the tag is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "pre":
            self._is_inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._is_inside = False
            self.texts[-1] = self.texts[-1].removeprefix("\n")

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.texts[-1] += data


def messages_on(html: str) -> list[str]:
    parser = _Messages()
    parser.feed(html)
    return parser.texts


@pytest.fixture
def top(database: Database) -> tuple[ActivationRecord, ...]:
    """The top records of neuron 0:3, with characters that pages have to take care of."""
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session), 0, 3)
        for rank in range(20):
            tokens = (f"\ntop{rank}", " <b>", "&amp;", "\t", "\n")
            make_record(session, neuron, "top", rank, tokens=tokens, activations=(0.5, 5.0 - rank / 8, 2.5, 1.0, 0))
    with database.reading() as session:
        return load_records(session, neuron_at(session, "toy", 0, 3)).top


def prompt_of(method: str, top: tuple[ActivationRecord, ...]) -> Prompt:
    return build_prompt(PROMPT_METHODS[method], load_pack("default"), ShownNeuron(explain_records(top), 2.0))


def test_the_messages_are_those_that_would_be_sent(
    researcher_client: TestClient, top: tuple[ActivationRecord, ...]
) -> None:
    for method in PROMPT_METHODS:
        response = researcher_client.get(ADDRESS, params={"method": method, "explainer": "openai:mystery"})
        prompt = prompt_of(method, top)
        assert messages_on(response.text) == [message.content for message in prompt]
        assert f"<strong>{ESTIMATED.n_tokens(prompt):,} tokens</strong> in 8 messages" in response.text
        assert "estimated: no tokenizer of this model is here" in response.text


def test_every_choice_changes_the_prompt_as_it_would_in_a_batch(
    admin_client: TestClient, top: tuple[ActivationRecord, ...]
) -> None:
    chosen = {"method": "summary", "excerpts": "top5", "n_excerpts": "7", "n_few_shots": "1", "cutoff": "share:0.9"}
    html = admin_client.get(ADDRESS, params=chosen).text
    shown = ShownNeuron(top[:7], 0.9 * 5.0)
    prompt = build_prompt(PROMPT_METHODS["summary"], with_few_shots(load_pack("default"), 1), shown)
    assert messages_on(html) == [message.content for message in prompt]
    assert "It shows 7 of the neuron’s excerpts; the cutoff is 4.50." in html
    assert 'value="share:0.9"' in html


def test_the_method_tokens_has_no_prompt_and_the_page_says_so(
    researcher_client: TestClient, top: tuple[ActivationRecord, ...]
) -> None:
    response = researcher_client.get(ADDRESS, params={"method": "tokens"})
    assert response.status_code == 200
    assert "The method Tokens has no prompt" in response.text
    assert messages_on(response.text) == []


MISTAKES = (
    ("method", "rhyme", "unknown method &#39;rhyme&#39;"),
    ("explainer", "oracle", "unknown explainer &#39;oracle&#39;"),
    ("cutoff", "q12", "cutoff &#39;q12&#39;; expected q50, q90"),
    ("n_excerpts", "many", "n_excerpts=&#39;many&#39;"),
    ("n_few_shots", "4", "4 few-shot neurons; expected at most 3"),
    ("prompt_pack", "fancy", "no prompt pack &#39;fancy&#39;"),
)


def test_a_choice_that_makes_no_prompt_is_said_beside_the_form(
    researcher_client: TestClient, top: tuple[ActivationRecord, ...]
) -> None:
    for name, value, problem in MISTAKES:
        response = researcher_client.get(ADDRESS, params={name: value})
        assert response.status_code == 400
        assert problem in response.text
        assert messages_on(response.text) == []
        assert f'name="{name}"' in response.text


def test_a_neuron_without_excerpts_has_a_prompt_that_shows_none(
    researcher_client: TestClient, database: Database
) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session, recording_status=None), 0, 3)
    response = researcher_client.get(ADDRESS)
    assert response.status_code == 200
    assert "It shows 0 of the neuron’s excerpts" in response.text


def test_a_neuron_of_which_texts_alone_are_here_says_so(researcher_client: TestClient, database: Database) -> None:
    with database.writing() as session:
        make_neuron(session, make_subject(session), 0, 3, maximum=0.0).mean = None
    response = researcher_client.get(ADDRESS)
    assert response.status_code == 200
    assert "No activations are here" in response.text
    assert messages_on(response.text) == ["neuronjury import neuron-records --help"]


def test_unknown_neurons_and_visitors_see_no_prompt(
    client: TestClient, top: tuple[ActivationRecord, ...], researcher_client: TestClient
) -> None:
    assert researcher_client.get("/neurons/toy/0/4/prompts").status_code == 404
    assert client.get(ADDRESS).status_code in (303, 401)
