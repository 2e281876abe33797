"""Finds who scores a batch: the metric's scorer on the model that its settings name. Knows every metric; scores
nothing."""

from app.database import Database
from app.errors import InvalidInput
from app.explanations.explainers import LOCAL, Explainer
from app.explanations.prompt_packs.loading import load_pack
from app.explanations.scoring.settings import (
    ADACS,
    ALL_AT_ONCE,
    DETECTION,
    LEXICAL,
    MINILM,
    SIMULATION,
    ScorerSettings,
    scorer_settings,
    scoring_model,
)
from worker.batches.open_batches import AskedBatch
from worker.explaining.chat_models import ChatModels
from worker.explaining.local_chat import LocalChat
from worker.explaining.paid_chat import BatchCalls, PaidChat
from worker.scoring.adacs import adacs
from worker.scoring.embedders import Embedder, MiniLM
from worker.scoring.lexical import LexicalScorer
from worker.scoring.making import AskedScore, ScoreMaker
from worker.scoring.openai_embedder import OpenAIEmbedder
from worker.scoring.questioning import detection_scorer, fuzzing_scorer
from worker.scoring.scored import Result, Scorer
from worker.scoring.simulating.scorer import SimulatorCalls, simulation_scorer


def score_maker(database: Database, asked: AskedBatch, models: ChatModels) -> ScoreMaker:
    """Who makes the scores of a batch. Called in a thread, for it may load a model.

    Errors: InvalidInput, UnknownName, Unavailable when there is no key, no such model, no such prompt pack.
    """
    settings, who = scorer_settings(asked.settings), scoring_model(asked.explainer)
    if settings.metric == LEXICAL:
        return _maker(database, settings, LexicalScorer())
    if settings.metric == ADACS:
        return _adacs_maker(database, settings, _embedder(database, asked, settings, models))
    if who is None:
        raise InvalidInput(f"the metric {settings.metric} cannot be measured by {asked.explainer!r}")
    if settings.metric == SIMULATION and settings.simulator == ALL_AT_ONCE:
        return _maker(database, settings, _all_at_once(settings, who, models))
    calls = BatchCalls(asked.batch_id, asked.submission, who, settings)
    chat = PaidChat(models.chat_for(who, settings), database, calls)
    return _maker(database, settings, _by_chat(settings, chat), chat)


def _maker(database: Database, settings: ScorerSettings, scorer: Scorer, chat: PaidChat | None = None) -> ScoreMaker:
    async def measure(asked: AskedScore) -> Result:
        return await scorer.score(asked.text, asked.evidence, attempt=asked.attempt)

    n_in_flight, close = (1, None) if chat is None else (chat.n_in_flight, chat.close)
    return ScoreMaker(database, settings.metric, measure, n_in_flight=n_in_flight, close=close)


def _adacs_maker(database: Database, settings: ScorerSettings, embedder: Embedder) -> ScoreMaker:
    async def measure(asked: AskedScore) -> Result:
        return await adacs(embedder, asked.text, asked.reference, attempt=asked.attempt)

    return ScoreMaker(
        database,
        settings.metric,
        measure,
        reference_explainer=settings.reference_explainer,
        n_in_flight=embedder.n_in_flight,
        close=embedder.close,
    )


def _embedder(database: Database, asked: AskedBatch, settings: ScorerSettings, models: ChatModels) -> Embedder:
    if asked.explainer == MINILM:
        return MiniLM.load()
    who = scoring_model(asked.explainer)
    if who is None:
        raise InvalidInput(f"the metric adacs cannot be measured by {asked.explainer!r}")
    calls = BatchCalls(asked.batch_id, asked.submission, who, settings)
    return OpenAIEmbedder(models.server_for(settings), database, calls)


def _all_at_once(settings: ScorerSettings, who: Explainer, models: ChatModels) -> Scorer:
    local = models.chat_for(who, settings) if who.kind == LOCAL else None
    if not isinstance(local, LocalChat):
        raise InvalidInput(f"the simulator all-at-once reads a local model from within, not {str(who)!r}")
    return simulation_scorer(settings, SimulatorCalls(load_pack(settings.prompt_pack).few_shots, local=local))


def _by_chat(settings: ScorerSettings, chat: PaidChat) -> Scorer:
    if settings.metric == SIMULATION:
        return simulation_scorer(settings, SimulatorCalls(load_pack(settings.prompt_pack).few_shots, chat=chat))
    return detection_scorer(chat, settings) if settings.metric == DETECTION else fuzzing_scorer(chat, settings)
