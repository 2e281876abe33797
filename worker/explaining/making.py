"""Makes the explanations of a batch, one at a time: reads the neuron, asks the explainer, judges the answer. Stores
nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from app.database import Database
from app.explanations.explainers import NONE, Explainer, ExplainerSettings, explainer_settings, parse_explainer
from app.explanations.methods import TOKENS, prompt_method
from app.explanations.methods.prompt import PromptPack, ShownNeuron
from app.explanations.models import Explanation
from app.explanations.showing import pack_of, shown_neuron
from app.neurons.models import Neuron
from worker.batches.making import Made
from worker.batches.open_batches import AskedBatch
from worker.explaining.chat import ChatModel
from worker.explaining.explainer import Asking, Outcome, explain, explain_by_tokens
from worker.explaining.paid_chat import BatchCalls, PaidChat

ChatFor = Callable[[Explainer, ExplainerSettings], ChatModel]
_WITH_NEURON = (
    sa.select(Explanation.method, Explanation.sample_number, Explanation.attempt, Neuron)
    .join(Explanation.neuron)
    .where(Explanation.id == sa.bindparam("row_id"))
)
SEEDS_PER_ATTEMPT = 1000
"""An explanation that is asked for again must not be sampled the same way; samples are numbered below this."""


@dataclass(frozen=True)
class _Wanted:
    """One explanation to make. shown: what its prompt shows of the neuron."""

    method: str
    sample_number: int
    attempt: int
    shown: ShownNeuron


class ExplanationMaker:
    """The maker of a batch of explanations. chat, pack: None when the batch has no explainer, only `tokens`."""

    def __init__(
        self,
        database: Database,
        settings: ExplainerSettings,
        chat: PaidChat | None = None,
        pack: PromptPack | None = None,
    ):
        self._database = database
        self._settings = settings
        self._chat = chat
        self._pack = pack
        self.n_in_flight = 1 if chat is None else chat.n_in_flight
        self.looks_before_calls = chat is not None

    @classmethod
    def of_batch(cls, database: Database, batch: AskedBatch, chat_for: ChatFor) -> "ExplanationMaker":
        """chat_for: the chat model of an explainer.

        Errors: those of chat_for; UnknownName, InvalidInput when the prompt pack is unusable.
        """
        explainer, settings = parse_explainer(batch.explainer), explainer_settings(batch.settings)
        if explainer.kind == NONE:
            return cls(database, settings)
        pack = pack_of(settings)
        calls = BatchCalls(batch.batch_id, batch.submission, explainer, settings)
        return cls(database, settings, PaidChat(chat_for(explainer, settings), database, calls), pack)

    async def make(self, row_id: int) -> Made:
        """row_id: of an Explanation. Errors: BatchStopped, BudgetReached."""
        wanted = await asyncio.to_thread(self._read, row_id)
        outcome = await self._explain(wanted)
        return Made(
            values={"text": outcome.text, "text_received": outcome.text_received},
            failure=outcome.failure,
            failure_detail=outcome.failure_detail,
            n_prompt_tokens=outcome.n_prompt_tokens,
            n_completion_tokens=outcome.n_completion_tokens,
            cost_usd=outcome.cost_usd,
            seconds=outcome.seconds,
        )

    def _read(self, row_id: int) -> _Wanted:
        with self._database.reading() as session:
            row = session.execute(_WITH_NEURON, {"row_id": row_id}).one()
            shown = shown_neuron(session, row.Neuron, self._settings)
            return _Wanted(row.method, row.sample_number, row.attempt, shown)

    async def _explain(self, wanted: _Wanted) -> Outcome:
        if self._chat is None or self._pack is None or wanted.method == TOKENS:
            return explain_by_tokens(wanted.shown)
        asked = Asking(wanted.sample_number, wanted.attempt, self._seed(wanted))
        return await explain(self._chat, prompt_method(wanted.method), self._pack, wanted.shown, self._settings, asked)

    def _seed(self, wanted: _Wanted) -> int | None:
        # Samples of one neuron would all be the same with the same seed.
        if self._settings.seed is None:
            return None
        return self._settings.seed + wanted.sample_number + SEEDS_PER_ATTEMPT * wanted.attempt

    async def close(self) -> None:
        if self._chat is not None:
            await self._chat.close()
