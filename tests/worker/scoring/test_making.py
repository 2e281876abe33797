"""Batches of scores made from end to end: planned, their shards worked on, stored. On both databases."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
import sqlalchemy as sa

from app.batches import life
from app.batches.lacking_scores import ScoreOrder
from app.batches.models import Batch, PaidCall
from app.batches.score_planning import plan_scores
from app.database import Database
from app.explanations.models import Explanation, Score
from app.explanations.prompt_packs import loading
from app.explanations.scoring.settings import scorer_settings
from tests.factories import TOKENS, make_explanation, make_neuron, make_record, make_records, make_subject
from tests.fake_openai_server import FakeOpenAI, Reply, completion_reply, error_reply
from worker.batches.making import Maker
from worker.batches.open_batches import AskedBatch, OpenBatches
from worker.batches.shards import work_shard
from worker.explaining.chat_models import ChatModels
from worker.scoring.makers import score_maker


def planned(database: Database, metric: str, model: str, **settings: Any) -> int:
    """A running batch that scores one neuron's explanations, by two methods and of its reference; its id."""
    with database.writing() as session:
        neuron = make_neuron(session, make_subject(session))
        make_records(session, neuron, n_top=20, n_random=0)
        for rank in range(10):
            silent = [0.5, 1.0, 0.25, -0.25, 0.5]
            make_record(session, neuron, "random", rank, tokens=(f"random{rank}", *TOKENS[1:]), activations=silent)
        for method, text in (("original", "Cats."), ("summary", "Mats."), ("reference", "Felines.")):
            make_explanation(session, neuron, method, text=text)
    return planned_again(database, metric, model, **settings)


def planned_again(database: Database, metric: str, model: str, **settings: Any) -> int:
    with database.writing() as session:
        order = ScoreOrder("toy", model, scorer_settings({"metric": metric, "n_retries": 0, **settings}))
        batch = plan_scores(session, order)
        life.start_batch(session, batch.id)
        return batch.id


def worked(database: Database, batch_id: int, models_folder: Path) -> list[Score]:
    """Works on the batch's only shard; gives its scores."""
    models = ChatModels(models_folder)

    def maker_for(asked: AskedBatch) -> Maker:
        return score_maker(database, asked, models)

    async def work() -> None:
        open_batches = OpenBatches(maker_for)
        await work_shard(database, batch_id, 0, 0, open_batches)
        await open_batches.close_unused()

    asyncio.run(work())
    with database.reading() as session:
        query = sa.select(Score).where(Score.batch_id == batch_id).order_by(Score.explanation_id)
        return list(session.scalars(query))


def batch_of(database: Database, batch_id: int) -> Batch:
    with database.reading() as session:
        return session.get_one(Batch, batch_id)


class Answering(FakeOpenAI):
    """Answers each request by a function of what was asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], Reply]):
        super().__init__(Reply())
        self._answer = answer

    def next_reply(self, chat: dict[str, Any]) -> Reply:
        super().next_reply(chat)
        return self._answer(chat)


def yes_to_cats(chat: dict[str, Any]) -> Reply:
    """Finds everything to fit the description `Cats` and nothing the others."""
    return completion_reply("Yes." if "Description: Cats" in chat["messages"][-1]["content"] else "No.")


def embedding(chat: dict[str, Any]) -> Reply:
    vector = {"Cats.": [1.0, 0.0, 1.0], "Mats.": [0.0, 2.0, 0.0], "Felines.": [3.0, 0.0, 0.0]}[chat["input"]]
    return Reply(
        body={
            "object": "list",
            "model": "fake",
            "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        }
    )


def test_the_lexical_baseline_needs_no_model(database: Database, tmp_path: Path) -> None:
    batch_id = planned(database, "lexical", "none")
    cats, mats, felines = worked(database, batch_id, tmp_path)
    assert (cats.status, cats.scorer, cats.cost_usd) == ("done", "tf-idf", 0.0)
    assert cats.value is not None
    assert cats.value > (felines.value or 0.0)
    assert mats.value is not None
    assert cats.details == {"n_top_excerpts": 5, "n_random_excerpts": 5, "n_excerpts": 19, "n_background": 5}
    assert batch_of(database, batch_id).status == "done"


def test_detection_asks_a_server_and_stores_what_was_answered(database: Database, tmp_path: Path) -> None:
    with Answering(yes_to_cats).serving() as server:
        prices = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 10.0}
        batch_id = planned(database, "detection", "openai:gpt-x", base_url=server.base_url, **prices)
        cats, mats, _ = worked(database, batch_id, tmp_path)
    # Five activating excerpts and five silent ones: everything fits, or nothing does.
    assert (cats.value, mats.value) == (0.5, 0.5)
    assert (cats.details["n"], cats.details["n_true_positives"], cats.details["n_false_positives"]) == (10, 5, 5)
    assert (mats.details["n_true_negatives"], mats.details["n_false_negatives"]) == (5, 5)
    assert (cats.n_prompt_tokens, cats.n_completion_tokens) == (1200, 90)
    assert cats.cost_usd == pytest.approx((1200 * 1 + 90 * 10) / 1e6)
    assert (cats.metric, cats.scorer, cats.status) == ("detection", "openai:gpt-x", "done")
    batch = batch_of(database, batch_id)
    assert (batch.status, batch.n_calls, batch.spent_tokens) == ("done", 30, 30 * 129)
    assert {chat["temperature"] for chat in server.chats} == {0.0}


def test_fuzzing_shows_marked_tokens(database: Database, tmp_path: Path) -> None:
    with Answering(yes_to_cats).serving() as server:
        batch_id = planned(database, "fuzzing", "openai:gpt-x", base_url=server.base_url)
        cats, *_ = worked(database, batch_id, tmp_path)
    assert cats.value == 0.5
    asked = [chat["messages"][-1]["content"] for chat in server.chats]
    assert sum("[[cat]]" in question for question in asked) == 15
    assert len(asked) == 30


def test_no_excerpt_that_the_explainer_saw_is_asked_about(database: Database, tmp_path: Path) -> None:
    for metric in ("detection", "fuzzing"):
        with Answering(yes_to_cats).serving() as server:
            plan = planned if metric == "detection" else planned_again
            worked(database, plan(database, metric, "openai:gpt-x", base_url=server.base_url), tmp_path)
        asked = " ".join(chat["messages"][-1]["content"] for chat in server.chats)
        assert "top2 " in asked or "top2]] " in asked
        assert not [rank for rank in (0, 4, 8, 12, 16) if f"top{rank} " in asked or f"top{rank}]] " in asked]


def test_adacs_pays_for_each_text_once(database: Database, tmp_path: Path) -> None:
    with Answering(embedding).serving() as server:
        batch_id = planned(database, "adacs", "openai:embed-x", base_url=server.base_url)
        cats, mats, felines = worked(database, batch_id, tmp_path)
        assert sorted(chat["input"] for chat in server.chats) == ["Cats.", "Felines.", "Mats."]
        # The same texts again, for scores that were lost.
        with database.writing() as session:
            session.execute(sa.delete(Score))
        again = worked(database, planned_again(database, "adacs", "openai:embed-x", base_url=server.base_url), tmp_path)
    assert len(server.chats) == 3
    assert cats.value == pytest.approx(0.5**0.5)
    assert (mats.value, felines.value) == (0.0, pytest.approx(1.0))
    assert [score.value for score in again] == [cats.value, mats.value, felines.value]
    assert cats.details == {"reference": "Felines.", "reference_explainer": "local:toy"}
    assert cats.scorer == "openai:embed-x"
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(PaidCall)) == 3


def test_a_server_that_refuses_fails_the_scores_and_the_batch_goes_on(database: Database, tmp_path: Path) -> None:
    with FakeOpenAI(error_reply(404, "model_not_found", "no such model")).serving() as server:
        batch_id = planned(database, "adacs", "openai:embed-x", base_url=server.base_url)
        scores = worked(database, batch_id, tmp_path)
    assert {(score.status, score.failure, score.value) for score in scores} == {
        ("failed", "rejected by the explainer", None)
    }
    assert "no such model" in (scores[0].failure_detail or "")
    assert batch_of(database, batch_id).status == "done"


def test_a_reached_budget_pauses_the_batch(database: Database, tmp_path: Path) -> None:
    with Answering(yes_to_cats).serving() as server:
        batch_id = planned(database, "detection", "openai:gpt-x", base_url=server.base_url, n_in_flight=1)
        with database.writing() as session:
            session.get_one(Batch, batch_id).budget_tokens = 2000
        scores = worked(database, batch_id, tmp_path)
    batch = batch_of(database, batch_id)
    assert batch.status == "paused"
    assert "budget of 2,000 tokens does not cover another call" in (batch.failure or "")
    assert batch.spent_tokens <= 2000
    assert "queued" in {score.status for score in scores}


def test_without_a_reference_adacs_is_undefined(database: Database, tmp_path: Path) -> None:
    with FakeOpenAI(Reply()).serving() as server:
        batch_id = planned(
            database, "adacs", "openai:embed-x", base_url=server.base_url, reference_explainer="openai:nobody"
        )
        scores = worked(database, batch_id, tmp_path)
    assert server.chats == []
    assert {(score.status, score.value, score.reason) for score in scores} == {
        ("done", None, "no reference explanation of this neuron is stored")
    }
    assert scores[0].scorer == "openai:embed-x against openai:nobody"


def test_a_server_without_token_probabilities_leaves_a_simulation_undefined_never_zero(
    database: Database, tmp_path: Path
) -> None:
    with FakeOpenAI(completion_reply("7")).serving() as server:
        batch_id = planned(database, "simulation", "openai:gpt-x", simulator="one-at-a-time", base_url=server.base_url)
        scores = worked(database, batch_id, tmp_path)
    assert {score.value for score in scores} == {None}
    assert all("unsupported" in (score.reason or score.failure or "") for score in scores)


def test_an_explanation_that_lost_its_text_fails_alone(database: Database, tmp_path: Path) -> None:
    batch_id = planned(database, "lexical", "none")
    with database.writing() as session:
        explanation = session.scalars(sa.select(Explanation).where(Explanation.method == "original")).one()
        explanation.status, explanation.text = "queued", None
    lost, *others = worked(database, batch_id, tmp_path)
    assert (lost.status, lost.failure) == ("failed", "empty")
    assert "has no text any more" in (lost.failure_detail or "")
    assert {score.status for score in others} == {"done"}
    assert batch_of(database, batch_id).status == "done"


def test_a_missing_prompt_pack_fails_the_batch_with_a_sentence(database: Database, tmp_path: Path) -> None:
    pack = copytree(Path(loading.__file__).parent / "default", tmp_path / "mine")
    batch_id = planned(
        database,
        "simulation",
        "openai:gpt-x",
        simulator="logprob-free",
        base_url="http://127.0.0.1:9",
        prompt_pack=str(pack),
    )
    rmtree(pack)
    worked(database, batch_id, tmp_path)
    batch = batch_of(database, batch_id)
    assert (batch.status, "no prompt pack" in (batch.failure or "")) == ("failed", True)
