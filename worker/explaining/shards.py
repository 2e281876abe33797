"""Makes one shard of a batch: reads what it lacks, asks the explainer, stores each result by itself. Knows no job
engine.

Safe to repeat and to interrupt: what is stored is skipped, and at most the calls under way are lost.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from app.batches import life
from app.database import Database, utc_now
from app.errors import NeuronJuryError
from app.explanations.explainers import Explainer, ExplainerSettings, cost_usd, explainer_settings, parse_explainer
from app.explanations.methods import TOKENS, prompt_method
from app.explanations.methods.prompt import PromptPack, ShownNeuron
from app.explanations.methods.splits import explain_records
from app.explanations.models import DONE, FAILED, QUEUED, Explanation
from app.explanations.prompt_packs.loading import load_pack
from app.neurons.models import Neuron
from app.neurons.reading import load_records
from worker.explaining.chat import ChatModel
from worker.explaining.explainer import Outcome, explain, explain_by_tokens

ChatFor = Callable[[Explainer, ExplainerSettings], ChatModel]


@dataclass(frozen=True)
class _Wanted:
    """One explanation that the shard still lacks."""

    explanation_id: int
    neuron_id: int
    method: str
    sample_number: int


@dataclass(frozen=True)
class _Shard:
    """What a shard needs to be made. chat, pack: None when only the method `tokens` is lacking."""

    batch_id: int
    explainer: Explainer
    settings: ExplainerSettings
    wanted: list[_Wanted]
    chat: ChatModel | None = field(default=None)
    pack: PromptPack | None = field(default=None)


async def explain_shard(database: Database, batch_id: int, shard: int, chat_for: ChatFor) -> None:
    """Makes what the shard still lacks, and ends the batch when this was the last of it.

    chat_for: the chat model of an explainer. When there is none, or the prompt pack is unusable, the whole batch fails,
    with the reason. Stops between two explanations when the batch is no longer running.
    """
    try:
        work = await asyncio.to_thread(_read_shard, database, batch_id, shard, chat_for)
    except NeuronJuryError as error:
        with database.writing() as session:
            life.fail_batch(session, batch_id, str(error))
        return
    try:
        await _make_all(database, work)
    finally:
        if work.chat is not None:
            await work.chat.close()
    with database.writing() as session:
        life.finish_batch_if_complete(session, batch_id)


def _read_shard(database: Database, batch_id: int, shard: int, chat_for: ChatFor) -> _Shard:
    with database.reading() as session:
        batch = life.find_batch(session, batch_id)
        rows = life.queued_of_shard(session, batch_id, shard)
        wanted = [_Wanted(row.id, row.neuron_id, row.method, row.sample_number) for row in rows]
        explainer, settings = parse_explainer(batch.explainer), explainer_settings(batch.settings)
    if all(one.method == TOKENS for one in wanted):
        return _Shard(batch_id, explainer, settings, wanted)
    pack = load_pack(settings.prompt_pack)
    return _Shard(batch_id, explainer, settings, wanted, chat_for(explainer, settings), pack)


async def _make_all(database: Database, shard: _Shard) -> None:
    # Each runner takes the next explanation as soon as it has stored its last, so that a slow answer holds up one of
    # them.
    queue = iter(shard.wanted)
    n_runners = 1 if shard.chat is None else shard.chat.n_in_flight
    async with asyncio.TaskGroup() as runners:
        for _ in range(min(n_runners, len(shard.wanted))):
            runners.create_task(_run(database, shard, queue))


async def _run(database: Database, shard: _Shard, queue: Iterator[_Wanted]) -> None:
    for wanted in queue:
        shown = await asyncio.to_thread(_shown_neuron, database, shard, wanted)
        if shown is None:
            return
        outcome = await _explain(shard, wanted, shown)
        await asyncio.to_thread(_store, database, shard, wanted, outcome)


def _shown_neuron(database: Database, shard: _Shard, wanted: _Wanted) -> ShownNeuron | None:
    """The excerpts to explain; None when the batch is no longer running."""
    with database.reading() as session:
        if not life.is_running(session, shard.batch_id):
            return None
        records = load_records(session, session.get_one(Neuron, wanted.neuron_id), shard.settings.side)
    return ShownNeuron(explain_records(records.top, shard.settings.excerpts), records.cutoff)


async def _explain(shard: _Shard, wanted: _Wanted, shown: ShownNeuron) -> Outcome:
    if shard.chat is None or shard.pack is None or wanted.method == TOKENS:
        return explain_by_tokens(shown)
    # Samples of one neuron would all be the same with the same seed.
    seed = None if shard.settings.seed is None else shard.settings.seed + wanted.sample_number
    return await explain(shard.chat, prompt_method(wanted.method), shard.pack, shown, shard.settings, seed)


def _store(database: Database, shard: _Shard, wanted: _Wanted, outcome: Outcome) -> None:
    explainer = parse_explainer("none") if wanted.method == TOKENS else shard.explainer
    cost = cost_usd(explainer, shard.settings, outcome.n_prompt_tokens, outcome.n_completion_tokens)
    with database.writing() as session:
        session.execute(
            sa.update(Explanation)
            # A row that has been stored already, or that a later batch has taken over, stays as it is.
            .where(
                Explanation.id == wanted.explanation_id,
                Explanation.status == QUEUED,
                Explanation.batch_id == shard.batch_id,
            )
            .values(
                status=DONE if outcome.failure is None else FAILED,
                text=outcome.text,
                text_received=outcome.text_received,
                failure=outcome.failure,
                failure_detail=outcome.failure_detail,
                n_prompt_tokens=outcome.n_prompt_tokens,
                n_completion_tokens=outcome.n_completion_tokens,
                cost_usd=cost,
                seconds=outcome.seconds,
                finished_at=utc_now(),
            )
        )
