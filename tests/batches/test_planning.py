"""Planning batches, on both databases."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.batches import life
from app.batches.models import Batch
from app.batches.planning import SetToSave, explanation_key, plan_batch
from app.batches.prices import Price, enter_price
from app.batches.progress import batch_progress
from app.database import Database, utc_now
from app.errors import Conflict, InvalidInput, UnknownName
from app.explanations.explainers import ExplainerSettings, explainer_settings, parse_explainer
from app.explanations.models import DONE, FAILED, Explanation
from app.explanations.prompt_packs.loading import load_pack
from app.neurons.sets import set_members
from tests.factories import make_neuron, make_subject

PACK = load_pack("default").identity


def make_neurons(session: Session, n: int, subject_name: str = "toy") -> list[int]:
    subject = make_subject(session, subject_name, n_neurons_per_layer=n)
    return [make_neuron(session, subject, index=index).id for index in range(n)]


def plan(session: Session, neurons: Sequence[int], **changes: Any) -> Batch:
    order: dict[str, Any] = {
        "subject_name": "toy",
        "neurons": neurons,
        "methods": ["summary"],
        "explainer": "local:toy",
        "settings": ExplainerSettings(),
    }
    return plan_batch(session, **(order | changes))


def rows(session: Session, batch: Batch) -> list[Explanation]:
    query = sa.select(Explanation).where(Explanation.batch_id == batch.id).order_by(Explanation.shard, Explanation.id)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def finish(session: Session, explanation: Explanation, **values: Any) -> None:
    done = {"status": DONE, "text": "Cats.", "n_prompt_tokens": 100, "n_completion_tokens": 10, "seconds": 0.5}
    for name, value in (done | values).items():
        setattr(explanation, name, value)
    session.flush()


def test_queues_neurons_by_methods_in_shards_of_25_method_by_method(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 20)
        batch = plan(session, neurons, methods=["tokens", "hs", "summary"])
        stored = rows(session, batch)
        assert batch.methods == ["summary", "hs", "tokens"]
        assert (batch.status, batch.n_explanations, batch.n_reused, batch.n_shards) == ("queued", 60, 0, 3)
        assert [row.shard for row in stored] == [0] * 25 + [1] * 25 + [2] * 10
        assert [row.method for row in stored] == ["summary"] * 20 + ["hs"] * 20 + ["tokens"] * 20
        assert {(row.method, row.explainer, row.prompt_pack) for row in stored} == {
            ("summary", "local:toy", PACK),
            ("hs", "local:toy", PACK),
            ("tokens", "none", "none"),
        }
        assert {row.status for row in stored} == {"queued"}


def test_a_batch_of_tokens_alone_has_no_explainer(database: Database) -> None:
    with database.writing() as session:
        batch = plan(session, make_neurons(session, 1), methods=["tokens"], explainer="openai:gpt-4")
        assert batch.explainer == "none"


def test_settings_are_stored_without_a_key(database: Database) -> None:
    with database.writing() as session:
        batch = plan(session, make_neurons(session, 1), settings=ExplainerSettings(temperature=0, seed=4))
        assert batch.settings == ExplainerSettings(temperature=0, seed=4).model_dump(mode="json")


def test_samples_are_numbered(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        stored = rows(session, plan(session, neurons, samples=3))
        numbered = [(row.neuron_id, row.sample_number) for row in stored]
        assert numbered == [(neuron, sample) for neuron in neurons for sample in range(3)]


def test_what_is_done_is_reused_and_the_rest_is_queued(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 3)
        first = plan(session, neurons[:2])
        for explanation in rows(session, first):
            finish(session, explanation)
        second = plan(session, neurons)
        assert (second.n_explanations, second.n_reused) == (1, 2)
        assert [row.neuron_id for row in rows(session, second)] == neurons[2:]
        assert len(rows(session, first)) == 2


def test_a_batch_without_anything_to_do_is_done_at_once(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 1)
        finish(session, rows(session, plan(session, neurons))[0])
        again = plan(session, neurons)
        assert (again.status, again.n_explanations, again.n_shards, again.n_reused) == ("done", 0, 0, 1)
        assert again.finished_at is not None


def test_what_another_batch_is_making_is_left_to_it(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 1)
        first = plan(session, neurons)
        second = plan(session, neurons)
        assert (second.status, second.n_reused) == ("done", 1)
        assert len(rows(session, first)) == 1


def test_failed_explanations_move_into_the_new_batch_as_if_new(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        first = plan(session, neurons)
        good, bad = rows(session, first)
        finish(session, good)
        finish(
            session,
            bad,
            status=FAILED,
            text=None,
            failure="refusal",
            failure_detail="x",
            finished_at=utc_now(),
            text_received="I cannot.",
            cost_usd=0.1,
        )
        second = plan(session, neurons)
        (moved,) = rows(session, second)
        assert (moved.id, moved.status, moved.shard) == (bad.id, "queued", 0)
        emptied = (
            moved.failure,
            moved.failure_detail,
            moved.text_received,
            moved.cost_usd,
            moved.finished_at,
            moved.seconds,
            moved.n_prompt_tokens,
            moved.n_completion_tokens,
        )
        assert emptied == (None,) * 8


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_what_an_ended_batch_left_queued_is_taken_over(database: Database, end: str) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        first = plan(session, neurons)
        finish(session, rows(session, first)[0])
        if end == "cancelled":
            life.cancel_batch(session, first.id)
        else:
            life.fail_batch(session, first.id, "no key")
        second = plan(session, neurons)
        assert (second.n_explanations, second.n_reused) == (1, 1)
        assert [row.neuron_id for row in rows(session, second)] == [neurons[1]]
        assert batch_progress(session, first.id).n_taken_over == 1


def test_another_explainer_pack_or_choice_of_excerpts_makes_another_explanation(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 1)
        finish(session, rows(session, plan(session, neurons))[0])
        assert plan(session, neurons, explainer="local:other").n_explanations == 1
        top5 = plan(session, neurons, settings=ExplainerSettings(excerpts="top5"), methods=["summary", "tokens"])
        assert [row.prompt_pack for row in rows(session, top5)] == [f"{PACK}+top5", "none+top5"]


@pytest.mark.parametrize(
    ("changes", "of_prompts", "of_tokens"),
    [
        ({"n_excerpts": 8}, "+8excerpts", "+8excerpts"),
        ({"n_excerpts": 1}, "+1excerpt", "+1excerpt"),
        ({"n_few_shots": 1}, "+1shot", ""),
        ({"n_few_shots": 0}, "+0shots", ""),
        ({"n_few_shots": 3}, "", ""),
        ({"cutoff": "q99"}, "+q99", "+q99"),
        ({"cutoff": "share:0.50"}, "+share:0.5", "+share:0.5"),
        (
            {"excerpts": "top5", "n_excerpts": 8, "n_few_shots": 1, "cutoff": "q99"},
            "+top5+8excerpts+1shot+q99",
            "+top5+8excerpts+q99",
        ),
    ],
)
def test_what_a_prompt_shows_is_part_of_what_an_explanation_is_stored_under(
    changes: dict[str, Any], of_prompts: str, of_tokens: str
) -> None:
    settings, explainer = ExplainerSettings(**changes), parse_explainer("local:toy")
    assert explanation_key("hs", explainer, settings) == ("local:toy", PACK + of_prompts)
    assert explanation_key("tokens", explainer, settings) == ("none", "none" + of_tokens)


def test_more_few_shot_neurons_than_the_pack_has_are_refused(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 1)
        with pytest.raises(InvalidInput, match="4 few-shot neurons; expected at most 3: default@"):
            plan(session, neurons, settings=ExplainerSettings(n_few_shots=4))


def test_what_failed_is_another_attempt_and_what_was_never_tried_is_not(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        first = plan(session, neurons)
        finish(session, rows(session, first)[0], status=FAILED, text=None, failure="refusal")
        life.cancel_batch(session, first.id)
        assert [row.attempt for row in rows(session, plan(session, neurons))] == [1, 0]


def test_a_batch_keeps_its_budget_and_the_price_of_its_day(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 1)
        with pytest.raises(InvalidInput, match="no price is known for openai:gpt-4; enter one under Prices"):
            plan(session, neurons, explainer="openai:gpt-4", budget_usd=5.0)
        enter_price(session, Price("openai:gpt-4", date(2020, 1, 1), 30.0, 60.0, "a list"))
        batch = plan(session, neurons, explainer="openai:gpt-4", budget_usd=5.0, budget_tokens=10_000)
        assert (batch.budget_usd, batch.budget_tokens) == (5.0, 10_000)
        kept = explainer_settings(batch.settings)
        assert (kept.usd_per_million_prompt_tokens, kept.usd_per_million_completion_tokens) == (30.0, 60.0)
        assert kept.price_as_of == date(2020, 1, 1)


def test_neurons_are_kept_as_a_set_even_when_nothing_is_lacking(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 3)
        plan(session, neurons[:2])
        plan(session, neurons[1::-1], save_as=SetToSave("mine", {"in_words": "some"}))
        assert set_members(session, "toy", "mine") == neurons[:2]


def test_a_name_that_is_taken_stores_neither_set_nor_batch(database: Database) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 2)
        plan(session, neurons, save_as=SetToSave("mine", {}))
    with pytest.raises(Conflict, match="a neuron set 'mine' of toy with other neurons"), database.writing() as session:
        plan(session, neurons[:1], methods=["hs"], save_as=SetToSave("mine", {}))
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 1


def test_a_neuron_named_twice_is_explained_once(database: Database) -> None:
    with database.writing() as session:
        (neuron,) = make_neurons(session, 1)
        assert plan(session, [neuron, neuron]).n_explanations == 1


def test_more_neurons_than_one_statement_takes(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, n_neurons_per_layer=1201)
        neurons = [make_neuron(session, subject, index=index).id for index in range(1201)]
        assert plan(session, neurons).n_shards == 49
        assert plan(session, neurons).n_reused == 1201


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"methods": ["summary", "chain"]}, UnknownName, "unknown method 'chain'; expected one of original, summary"),
        ({"methods": []}, InvalidInput, "no method"),
        ({"neurons": []}, InvalidInput, "no neurons"),
        ({"neurons": [99]}, UnknownName, "no neuron with id 99 in the subject model 'toy'"),
        ({"subject_name": "gpt9"}, UnknownName, "no recorded subject model 'gpt9'; recorded are: toy"),
        ({"explainer": "gpt-4"}, InvalidInput, "unknown explainer 'gpt-4'"),
        ({"explainer": "none"}, InvalidInput, "the explainer none makes only the method tokens"),
        ({"samples": 0}, InvalidInput, "samples=0; expected at least 1"),
        ({"settings": ExplainerSettings(prompt_pack="fancy")}, UnknownName, "no prompt pack 'fancy'"),
    ],
)
def test_a_wrong_order_is_refused_and_stores_nothing(
    database: Database, changes: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with database.writing() as session:
        neurons = make_neurons(session, 1)
    with pytest.raises(error, match=complaint), database.writing() as session:
        plan(session, changes.get("neurons", neurons), **{k: v for k, v in changes.items() if k != "neurons"})
    with database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Batch)) == 0


def test_neurons_of_another_subject_are_refused(database: Database) -> None:
    with database.writing() as session:
        make_neurons(session, 1)
        others = make_neurons(session, 1, "other")
        with pytest.raises(UnknownName, match="in the subject model 'toy'"):
            plan(session, others)


def test_a_subject_that_is_being_recorded_cannot_be_explained_yet(database: Database) -> None:
    with database.writing() as session:
        subject = make_subject(session, recording_status="writing")
        neuron = make_neuron(session, subject)
        with pytest.raises(UnknownName, match="no recorded subject model 'toy'; recorded are: none yet"):
            plan(session, [neuron.id])
