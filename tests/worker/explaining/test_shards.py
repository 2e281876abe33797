"""Making a shard: every result stored by itself, safe to repeat, to interrupt and to cancel. On both databases."""

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
from app.explanations.methods.prompt import ChatMessage
from app.explanations.models import Explanation
from tests.explanations.fakes import Answer, ScriptedChat
from tests.factories import make_bottom_records, make_neuron, make_records, make_subject
from worker.explaining.chat import CallFailed, ChatModel
from worker.explaining.shards import explain_shard

PRICED = ExplainerSettings(usd_per_million_prompt_tokens=10, usd_per_million_completion_tokens=100, seed=40)


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
        subject = make_subject(session, n_neurons_per_layer=n_neurons)
        neurons = [make_neuron(session, subject, index=index) for index in range(n_neurons)]
        for neuron in neurons:
            make_records(session, neuron, n_top=17, n_random=0)
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


def made(database: Database, batch_id: int, chat: ChatModel, shard: int = 0) -> None:
    asyncio.run(explain_shard(database, batch_id, shard, lambda explainer, settings: chat))


def stored(database: Database, batch_id: int) -> list[Explanation]:
    with database.reading() as session:
        query = sa.select(Explanation).where(Explanation.batch_id == batch_id).order_by(Explanation.id)
        return list(session.scalars(query))


def batch_status(database: Database, batch_id: int) -> tuple[str, str | None]:
    with database.reading() as session:
        batch = session.get_one(Batch, batch_id)
        return batch.status, batch.failure


def answering(text: str) -> ScriptedChat:
    return ScriptedChat(lambda _: text)


def test_stores_each_explanation_with_what_it_took(database: Database) -> None:
    batch_id = planned(database, ["summary", "tokens"], n_neurons=1)
    chat = answering(" words about cats")
    made(database, batch_id, chat)
    by_summary, by_tokens = stored(database, batch_id)
    assert (by_summary.status, by_summary.text, by_summary.text_received) == (
        "done",
        "Words about cats.",
        " words about cats",
    )
    assert (by_summary.n_prompt_tokens, by_summary.n_completion_tokens) == (100, 10)
    assert by_summary.cost_usd == pytest.approx(0.002)
    assert by_summary.seconds is not None
    assert by_summary.finished_at is not None
    assert (by_tokens.text, by_tokens.cost_usd, by_tokens.n_prompt_tokens) == ('The tokens "cat" and "mats".', 0.0, 0)
    assert batch_status(database, batch_id) == ("done", None)
    assert chat.is_closed


def test_shows_the_explaining_excerpts_of_this_neuron(database: Database) -> None:
    batch_id = planned(database, n_neurons=1)
    chat = answering("cats")
    made(database, batch_id, chat)
    question = chat.asked[0][-1].content
    first_tokens = [line.partition(" ")[0] for line in question.splitlines() if line.startswith("<start>")]
    assert first_tokens == ["<start>top0", "<start>top4", "<start>top8", "<start>top12", "<start>top16"]


def test_shows_the_most_negative_excerpts_with_their_sign_turned(database: Database) -> None:
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session, polarity="both"))
        make_records(session, neuron, n_top=17, n_random=0)
        make_bottom_records(session, neuron, n=17)
        batch = plan_batch(
            session,
            subject_name="toy",
            neurons=[neuron.id],
            methods=["original"],
            explainer="openai:gpt-x",
            settings=ExplainerSettings(side="negative"),
        )
        life.start_batch(session, batch.id)
    chat = answering("cats")
    made(database, batch.id, chat)
    question = chat.asked[0][-1].content
    assert re.findall(r"bottom\d+|top\d+", question)[:5] == ["bottom0", "bottom4", "bottom8", "bottom12", "bottom16"]
    assert re.search(r" cat\t10$", question, re.MULTILINE)
    (row,) = stored(database, batch.id)
    assert (row.side, row.status) == ("negative", "done")


def test_failures_are_statuses_without_text(database: Database) -> None:
    answers: list[Answer] = [CallFailed(failures.RATE_LIMIT, "slow down"), "I cannot say.", "words about cats"]
    batch_id = planned(database)
    made(database, batch_id, ScriptedChat(lambda _: answers.pop(0)))
    assert [(row.status, row.text, row.failure, row.text_received) for row in stored(database, batch_id)] == [
        ("failed", None, "rate limit", None),
        ("failed", None, "refusal", "I cannot say."),
        ("done", "Words about cats.", None, "words about cats"),
    ]
    assert batch_status(database, batch_id) == ("done", None)


def test_a_repeated_shard_asks_only_for_what_is_lacking(database: Database) -> None:
    batch_id = planned(database)
    dying = ScriptedChat(lambda _: "cats" if len(dying.asked) < 3 else _die())
    with pytest.raises(ExceptionGroup):
        made(database, batch_id, dying)
    assert [row.status for row in stored(database, batch_id)] == ["done", "done", "queued"]
    assert batch_status(database, batch_id) == ("running", None)
    chat = answering("dogs")
    made(database, batch_id, chat)
    assert len(chat.asked) == 1
    assert [row.text for row in stored(database, batch_id)] == ["Cats.", "Cats.", "Dogs."]
    assert batch_status(database, batch_id) == ("done", None)


def _die() -> Answer:
    raise ZeroDivisionError


def test_a_finished_shard_changes_nothing(database: Database) -> None:
    batch_id = planned(database)
    made(database, batch_id, answering("cats"))
    made(database, batch_id, answering("dogs"))
    assert {row.text for row in stored(database, batch_id)} == {"Cats."}


def test_stops_when_the_batch_is_cancelled_and_keeps_what_was_under_way(database: Database) -> None:
    batch_id = planned(database)

    def cancel_and_answer(_: Sequence[ChatMessage]) -> Answer:
        with database.writing() as session:
            life.cancel_batch(session, batch_id)
        return "cats"

    chat = ScriptedChat(cancel_and_answer)
    made(database, batch_id, chat)
    assert len(chat.asked) == 1
    assert [row.status for row in stored(database, batch_id)] == ["done", "queued", "queued"]
    assert batch_status(database, batch_id) == ("cancelled", None)


def test_an_answer_that_comes_after_a_later_batch_took_over_is_dropped(database: Database) -> None:
    batch_id = planned(database, n_neurons=1)

    def take_over_and_answer(_: Sequence[ChatMessage]) -> Answer:
        with database.writing() as session:
            life.cancel_batch(session, batch_id)
            neuron_id = session.scalars(sa.select(Explanation.neuron_id)).one()
            plan_batch(
                session,
                subject_name="toy",
                neurons=[neuron_id],
                methods=["summary"],
                explainer="openai:gpt-x",
                settings=PRICED,
            )
        return "cats"

    made(database, batch_id, ScriptedChat(take_over_and_answer))
    (taken_over,) = stored(database, batch_id + 1)
    assert taken_over.status == "queued"


def test_other_shards_and_other_batches_are_left_alone(database: Database) -> None:
    batch_id = planned(database, n_neurons=26)
    made(database, batch_id, answering("cats"), shard=1)
    assert [row.status for row in stored(database, batch_id)] == ["queued"] * 25 + ["done"]
    assert batch_status(database, batch_id) == ("running", None)


def test_an_explainer_that_cannot_be_had_fails_the_batch_and_no_explanation(database: Database) -> None:
    def no_key(explainer: Explainer, settings: ExplainerSettings) -> ChatModel:
        raise Unavailable("no key: set OPENAI_API_KEY")

    batch_id = planned(database)
    asyncio.run(explain_shard(database, batch_id, 0, no_key))
    assert batch_status(database, batch_id) == ("failed", "no key: set OPENAI_API_KEY")
    assert {row.status for row in stored(database, batch_id)} == {"queued"}


def test_tokens_alone_need_no_explainer(database: Database) -> None:
    def nobody(explainer: Explainer, settings: ExplainerSettings) -> ChatModel:
        raise Unavailable("nobody should be asked")

    batch_id = planned(database, ["tokens"])
    asyncio.run(explain_shard(database, batch_id, 0, nobody))
    assert {row.text for row in stored(database, batch_id)} == {'The tokens "cat" and "mats".'}


def test_as_many_calls_run_at_once_as_the_explainer_takes(database: Database) -> None:
    batch_id = planned(database, n_neurons=12)
    chat = ScriptedChat(lambda _: "cats", n_in_flight=4, seconds=0.05)
    made(database, batch_id, chat)
    assert 1 < chat.most_running <= 4
    assert len(chat.asked) == 12


def test_methods_come_one_after_another_and_samples_with_seeds_of_their_own(database: Database) -> None:
    batch_id = planned(database, ["original", "highlight"], n_neurons=2, samples=2)
    chat = answering("cats")
    made(database, batch_id, chat)
    assert ["Text excerpt" in prompt[-1].content for prompt in chat.asked] == [True] * 4 + [False] * 4
    assert chat.seeds == [40, 41] * 4
