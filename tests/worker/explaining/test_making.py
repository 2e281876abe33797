"""Making the explanations of a batch: from stored neurons and a chat model to what is stored. On both databases."""

import asyncio
import re
from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from app.batches import life
from app.batches.models import Batch
from app.batches.planning import plan_batch
from app.database import Database
from app.errors import Unavailable
from app.explanations import failures
from app.explanations.explainers import Explainer, ExplainerSettings
from app.explanations.models import Explanation
from tests.explanations.fakes import Answer, ScriptedChat
from tests.factories import make_bottom_records, make_neuron, make_records_of_its_own, make_subject
from tests.worker.batches.makers import batch_status, stored
from worker.batches.making import Maker
from worker.batches.open_batches import AskedBatch, OpenBatches
from worker.batches.shards import work_shard
from worker.explaining.chat import CallFailed, ChatModel
from worker.explaining.making import SEEDS_PER_ATTEMPT, ExplanationMaker

SERVER = "http://127.0.0.1:9/v1"
"""Never asked: the chat is a script."""
PRICED = ExplainerSettings(
    base_url=SERVER, usd_per_million_prompt_tokens=10, usd_per_million_completion_tokens=100, seed=40
)


def planned(
    database: Database,
    methods: Sequence[str] = ("summary",),
    *,
    n_neurons: int = 3,
    explainer: str = "openai:gpt-x",
    settings: ExplainerSettings = PRICED,
    samples: int = 1,
) -> int:
    """A running batch on neurons with records; its id."""
    with database.writing() as session:
        subject = make_subject(session, n_neurons_per_layer=n_neurons, polarity="both")
        neurons = [make_neuron(session, subject, index=index) for index in range(n_neurons)]
        for neuron in neurons:
            make_records_of_its_own(session, neuron, 17)
            make_bottom_records(session, neuron, n=17)
        batch = plan_batch(
            session,
            subject_name="toy",
            neurons=[neuron.id for neuron in neurons],
            methods=methods,
            explainer=explainer,
            settings=settings,
            samples=samples,
        )
        life.start_batch(session, batch.id)
        return batch.id


def made(database: Database, batch_id: int, chat: ChatModel | None, submission: int = 0) -> None:
    def chat_for(explainer: Explainer, settings: object) -> ChatModel:
        if chat is None:
            raise Unavailable("nobody should be asked")
        return chat

    def maker_for(batch: AskedBatch) -> Maker:
        return ExplanationMaker.of_batch(database, batch, chat_for)

    asyncio.run(work_shard(database, batch_id, 0, submission, OpenBatches(maker_for)))


def explanations(database: Database, batch_id: int) -> list[Explanation]:
    return [row for row in stored(database, batch_id) if isinstance(row, Explanation)]


def answering(text: str) -> ScriptedChat:
    return ScriptedChat(lambda _: text)


def test_stores_each_explanation_with_what_it_took(database: Database) -> None:
    batch_id = planned(database, ["summary", "tokens"], n_neurons=1)
    chat = answering(" words about cats")
    made(database, batch_id, chat)
    by_summary, by_tokens = explanations(database, batch_id)
    assert (by_summary.status, by_summary.text, by_summary.text_received) == (
        "done",
        "Words about cats.",
        " words about cats",
    )
    assert (by_summary.n_prompt_tokens, by_summary.n_completion_tokens) == (100, 10)
    assert by_summary.cost_usd == pytest.approx(0.002)
    assert by_summary.seconds is not None
    assert (by_tokens.text, by_tokens.cost_usd, by_tokens.n_prompt_tokens) == ('The tokens "cat" and "mats".', 0.0, 0)
    with database.reading() as session:
        batch = session.get_one(Batch, batch_id)
        assert (batch.status, batch.n_calls, batch.spent_tokens) == ("done", 1, 110)
        assert batch.spent_usd == pytest.approx(0.002)
    assert chat.is_closed


def test_shows_the_explaining_excerpts_of_this_neuron(database: Database) -> None:
    batch_id = planned(database, n_neurons=1)
    chat = answering("cats")
    made(database, batch_id, chat)
    question = chat.asked[0][-1].content
    first_tokens = [line.partition(" ")[0] for line in question.splitlines() if line.startswith("<start>")]
    assert first_tokens == ["<start>top0", "<start>top4", "<start>top8", "<start>top12", "<start>top16"]


def test_shows_what_the_batch_asks_for(database: Database) -> None:
    settings = ExplainerSettings(base_url=SERVER, excerpts="top5", n_excerpts=3, n_few_shots=1, cutoff="share:0.9")
    batch_id = planned(database, ["hs"], n_neurons=1, settings=settings)
    chat = answering("cats")
    made(database, batch_id, chat)
    question = chat.asked[0][-1].content
    assert re.findall(r"top\d+", question) == ["top0", "top1", "top2"]
    assert "[ cat] sat on mats" in question
    assert [message.role for message in chat.asked[0]] == ["system", "user", "assistant", "user"]


def test_shows_the_most_negative_excerpts_with_their_sign_turned(database: Database) -> None:
    batch_id = planned(
        database, ["original"], n_neurons=1, settings=ExplainerSettings(base_url=SERVER, side="negative")
    )
    chat = answering("cats")
    made(database, batch_id, chat)
    question = chat.asked[0][-1].content
    assert re.findall(r"bottom\d+|top\d+", question)[:5] == ["bottom0", "bottom4", "bottom8", "bottom12", "bottom16"]
    assert re.search(r" cat\t10$", question, re.MULTILINE)
    (row,) = explanations(database, batch_id)
    assert (row.side, row.status) == ("negative", "done")


def test_failures_are_statuses_without_text(database: Database) -> None:
    answers: list[Answer] = [CallFailed(failures.RATE_LIMIT, "slow down"), "I cannot say.", "words about cats"]
    batch_id = planned(database)
    made(database, batch_id, ScriptedChat(lambda _: answers.pop(0)))
    assert [(row.status, row.text, row.failure, row.text_received) for row in explanations(database, batch_id)] == [
        ("failed", None, "rate limit", None),
        ("failed", None, "refusal", "I cannot say."),
        ("done", "Words about cats.", None, "words about cats"),
    ]
    assert batch_status(database, batch_id) == ("done", None)


def test_an_answer_that_was_paid_for_is_not_paid_again(database: Database) -> None:
    batch_id = planned(database, n_neurons=1)
    made(database, batch_id, answering("cats"))
    with database.writing() as session:
        # As after a crash between the answer and the explanation.
        session.execute(sa.update(Explanation).values(status="queued", text=None, text_received=None, cost_usd=None))
        session.execute(sa.update(Batch).values(status="running", finished_at=None))
    chat = answering("dogs")
    made(database, batch_id, chat)
    (row,) = explanations(database, batch_id)
    assert (row.text, row.cost_usd, chat.asked) == ("Cats.", 0.0, [])


def test_a_retried_failure_is_asked_anew_with_another_seed(database: Database) -> None:
    batch_id = planned(database, n_neurons=1)
    made(database, batch_id, answering("I cannot say."))
    with database.writing() as session:
        life.retry_failed(session, batch_id)
        life.start_batch(session, batch_id, 1)
    chat = answering("cats")
    made(database, batch_id, chat, submission=1)
    (row,) = explanations(database, batch_id)
    assert (row.text, row.failure, row.attempt, chat.seeds) == ("Cats.", None, 1, [40 + SEEDS_PER_ATTEMPT])


def test_a_budget_pauses_the_batch_and_a_raised_one_lets_it_go_on(database: Database) -> None:
    batch_id = planned(database)
    with database.writing() as session:
        session.get_one(Batch, batch_id).budget_usd = 1e-9
    chat = answering("cats")
    made(database, batch_id, chat)
    status, failure = batch_status(database, batch_id)
    assert (status, chat.asked) == ("paused", [])
    assert "budget" in (failure or "")
    with database.writing() as session:
        life.raise_budget(session, batch_id, 1.0, None)
        life.start_batch(session, batch_id, life.resume_batch(session, batch_id))
    made(database, batch_id, chat, submission=1)
    assert batch_status(database, batch_id) == ("done", None)


def test_an_explainer_that_cannot_be_had_fails_the_batch_and_no_explanation(database: Database) -> None:
    batch_id = planned(database)
    made(database, batch_id, None)
    assert batch_status(database, batch_id) == ("failed", "nobody should be asked")
    assert {row.status for row in explanations(database, batch_id)} == {"queued"}


def test_tokens_alone_need_no_explainer(database: Database) -> None:
    batch_id = planned(database, ["tokens"])
    made(database, batch_id, None)
    assert {row.text for row in explanations(database, batch_id)} == {'The tokens "cat" and "mats".'}


def test_methods_come_one_after_another_and_samples_with_seeds_of_their_own(database: Database) -> None:
    batch_id = planned(database, ["original", "highlight"], n_neurons=2, samples=2)
    chat = answering("cats")
    made(database, batch_id, chat)
    assert ["Text excerpt" in prompt[-1].content for prompt in chat.asked] == [True] * 4 + [False] * 4
    assert chat.seeds == [40, 41] * 4
