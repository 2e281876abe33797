"""Embeddings from a server that speaks OpenAI's format: each text paid for once, within the batch's budget."""

import base64
from typing import Any

import numpy as np

from app.database import Database
from app.explanations import failures
from app.explanations.explainers import cost_usd
from app.explanations.methods.prompt import ChatMessage
from app.explanations.token_counting import counter_for
from worker.explaining.chat import CallFailed
from worker.explaining.openai_server import OpenAIServer
from worker.explaining.paid_chat import BatchCalls, Estimate, call_key, paid
from worker.explaining.paid_chat import Spent as CallSpent
from worker.scoring.calls import Spent
from worker.scoring.embedders import Embedding, Vector

STORED_FLOAT = np.dtype("<f4")


class OpenAIEmbedder:
    """One model of a server's embeddings API.

    calls: the batch on whose behalf texts are embedded; its `explainer` is the model.
    """

    def __init__(self, server: OpenAIServer, database: Database, calls: BatchCalls):
        self._server = server
        self._database = database
        self._calls = calls
        self._model = calls.explainer.model
        self._counter = counter_for(calls.explainer)
        self._client = server.client(calls.settings)
        self.n_in_flight = calls.settings.n_in_flight

    async def embed(self, text: str, *, attempt: int) -> Embedding:
        """attempt: changes nothing, for a text has one embedding. Errors: CallFailed, BatchStopped, BudgetReached."""
        key = call_key(self._server.url, self._model, text, {"asked": "embedding"})
        message = [ChatMessage("user", text)]
        n_tokens, at_most = self._counter.n_tokens(message), self._counter.n_tokens_at_most(message)
        estimate = Estimate(at_most, self._cost(at_most))
        # Explanations of one neuron share their reference: the first asks for it, the others wait and find it paid for.
        answer, was_paid = await paid(
            self._database, self._calls, key, estimate, lambda: self._ask(text, n_tokens), self._settled
        )
        n_used = answer["n_tokens"]
        return Embedding(_vector(answer), Spent(n_used, 0, 0.0 if was_paid else self._cost(n_used)))

    async def _ask(self, text: str, n_tokens: int) -> dict[str, Any]:
        with self._server.asking(self._model, self._calls.settings, n_tokens):
            answer = await self._client.embeddings.create(model=self._model, input=text, encoding_format="float")
        if not answer.data or not answer.data[0].embedding:
            raise CallFailed(failures.EMPTY, f"the server sent no embedding of {self._model}")
        vector = np.asarray(answer.data[0].embedding, dtype=STORED_FLOAT)
        n_used = answer.usage.prompt_tokens if answer.usage else None
        if n_used is not None:
            self._server.count_used(self._model, self._calls.settings, n_tokens, n_used)
        return {"vector": base64.b64encode(vector.tobytes()).decode(), "n_tokens": n_used}

    def _settled(self, answer: dict[str, Any]) -> CallSpent:
        return CallSpent(answer["n_tokens"] or 0, self._cost(answer["n_tokens"]))

    def _cost(self, n_tokens: int | None) -> float | None:
        return cost_usd(self._calls.explainer, self._calls.settings, n_tokens, 0)

    async def close(self) -> None:
        await self._client.close()


def _vector(answer: dict[str, Any]) -> Vector:
    return np.frombuffer(base64.b64decode(answer["vector"]), STORED_FLOAT)
