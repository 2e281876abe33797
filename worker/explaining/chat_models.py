"""Finds the chat model that an explainer's name means. A local model stays loaded for the next shard."""

from pathlib import Path

from app.database import Database
from app.errors import InvalidInput
from app.explanations.explainers import LOCAL, OPENAI, CallSettings, Explainer
from worker.explaining.chat import ChatModel
from worker.explaining.limits import blocks_of, blocks_of_this_process
from worker.explaining.local_chat import LocalChat
from worker.explaining.openai_chat import OpenAIChat
from worker.explaining.openai_server import OpenAIServer, server_url
from worker.subjects.model_files import find_model, transformers_folder


class ChatModels:
    """The chat models of one worker process.

    models_folder: where converted models are kept. n_threads: CPU threads of a local model; None leaves torch's choice.
    """

    def __init__(self, models_folder: Path, n_threads: int | None = None):
        self._models_folder = models_folder
        self._n_threads = n_threads
        self._take = blocks_of_this_process()
        self._servers: dict[str, OpenAIServer] = {}
        self._local: tuple[str, LocalChat] | None = None

    def share_rates(self, database: Database) -> None:
        """From now on a server's allowed rate is shared with all workers on that database."""
        self._take = blocks_of(database)
        self._servers.clear()

    def chat_for(self, explainer: Explainer, settings: CallSettings) -> ChatModel:
        """The model of an explainer; a local one by a name or path that the subject models are found by, too.

        Errors: InvalidInput, UnknownName, Unavailable when there is no key or no such model; InvalidInput when the
        explainer is `none`.
        """
        if explainer.kind == OPENAI:
            return OpenAIChat(explainer.model, settings, self.server_for(settings))
        if explainer.kind == LOCAL:
            return self._local_chat(settings.local_path or explainer.model)
        raise InvalidInput("the explainer none completes no prompt; expected openai:MODEL or local:NAME-OR-PATH")

    def server_for(self, settings: CallSettings) -> OpenAIServer:
        """The server that these settings mean, one for all batches of this worker that ask it.

        Errors: Unavailable when there is neither a key nor a server of one's own.
        """
        url = server_url(settings)
        if url not in self._servers:
            self._servers[url] = OpenAIServer(settings, self._take)
        return self._servers[url]

    async def check(self, explainer: Explainer, settings: CallSettings) -> None:
        """Whether the explainer can answer now. Errors: as chat_for; Unavailable, said in one sentence."""
        chat = self.chat_for(explainer, settings)
        try:
            await chat.check()
        finally:
            await chat.close()

    def _local_chat(self, source: str) -> LocalChat:
        # Only one model is kept: two at once may not fit into memory.
        if self._local is None or self._local[0] != source:
            self._local = None
            folder = transformers_folder(find_model(source), self._models_folder)
            self._local = (source, LocalChat.load(str(folder), self._n_threads))
        return self._local[1]
