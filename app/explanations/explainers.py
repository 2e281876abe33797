"""Explainers by name, and the settings of a batch's calls to one. Knows no key and calls nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.errors import InvalidInput
from app.explanations.methods.marking import DEFAULT_CUTOFF, parse_cutoff
from app.explanations.methods.splits import N_EXPLAIN_RECORDS, ExcerptChoice
from app.explanations.prompt_packs.loading import DEFAULT_PACK
from app.neurons.records import Side

ExplainerKind = Literal["openai", "local", "none"]

OPENAI: ExplainerKind = "openai"
LOCAL: ExplainerKind = "local"
NONE: ExplainerKind = "none"
TOKENS_PER_PRICE = 1_000_000


@dataclass(frozen=True)
class Explainer:
    """Who explains: `openai:gpt-4` (any server that speaks OpenAI's chat format), `local:smollm2`, or `none`."""

    kind: ExplainerKind
    model: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.model}" if self.model else self.kind


NO_EXPLAINER = Explainer(NONE, "")
"""The explainer of the method `tokens`, which needs none."""


def parse_explainer(name: str) -> Explainer:
    """Errors: InvalidInput when the name is none of `openai:MODEL`, `local:NAME-OR-PATH` and `none`."""
    kind, _, model = name.strip().partition(":")
    if name.strip() == NONE:
        return NO_EXPLAINER
    for known in (OPENAI, LOCAL):
        if kind == known and model.strip():
            return Explainer(known, model.strip())
    raise InvalidInput(f"unknown explainer {name!r}; expected openai:MODEL, local:NAME-OR-PATH or none")


class CallSettings(BaseModel):
    """How a batch calls a model. Stored with the batch and shown to people: there is never a key in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = Field(None, description="Server of an openai: model; default: OPENAI_BASE_URL or OpenAI.")
    local_path: str | None = Field(None, description="Folder of a local: model, where its name is not its path.")
    temperature: float = Field(1.0, ge=0, le=2, description="0 always takes the likeliest token.")
    top_p: float = Field(1.0, gt=0, le=1, description="Share of probability that sampling may choose from.")
    max_tokens: int = Field(60, ge=1, le=4096, description="Length of an answer at most, in tokens.")
    n_context: int = Field(4097, ge=256, description="Prompt and answer together fit into this many tokens.")
    usd_per_million_prompt_tokens: float | None = Field(None, ge=0, description="Price, to record what a batch cost.")
    usd_per_million_completion_tokens: float | None = Field(None, ge=0, description="Price of what the model writes.")
    price_as_of: date | None = Field(None, description="Day of that price in the price table.")
    seed: int | None = Field(None, ge=0, description="Makes sampling repeatable where the model can.")
    n_in_flight: int = Field(8, ge=1, le=256, description="Calls to a server at once; a local model takes one by one.")
    requests_per_minute: float | None = Field(None, gt=0, description="Of all workers together; None: no limit known.")
    tokens_per_minute: float | None = Field(None, gt=0, description="Prompt and answer, of all workers together.")
    timeout_seconds: float = Field(60, gt=0, le=3600, description="How long one call may wait for the server's answer.")
    n_retries: int = Field(6, ge=0, le=20, description="Further tries after a rate limit or a lost connection.")
    ordered_for: str | None = Field(None, max_length=500, description="The choice of neurons, for people to read.")

    @field_validator("base_url")
    @classmethod
    def _is_url_without_secret(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a URL that begins with http:// or https://")
        if parts.username or parts.password or parts.query:
            raise ValueError("expected a URL without user, password or query: keys come from the environment only")
        return value


class ExplainerSettings(CallSettings):
    """How a batch of explanations is made: what prompts show, and how their explainer is called."""

    prompt_pack: str = Field(DEFAULT_PACK, description="Name or folder of the prompt pack.")
    excerpts: ExcerptChoice = Field("every4th", description="The excerpts a prompt shows: every4th of 20, or top5.")
    n_excerpts: int = Field(N_EXPLAIN_RECORDS, ge=1, le=100, description="How many, as far as there are records.")
    n_few_shots: int | None = Field(None, ge=0, description="Few-shot neurons of the pack to show; None: all it has.")
    cutoff: str = Field(
        DEFAULT_CUTOFF,
        description="Above which tokens of the neuron count as highly activating: q90, q50, q99, q999 or share:0.5.",
    )
    side: Side = Field("positive", description="What is explained: large activations, or very negative ones.")

    @field_validator("cutoff")
    @classmethod
    def _is_a_known_rule(cls, value: str) -> str:
        try:
            return str(parse_cutoff(value.strip()))
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _has_a_quantile_of_that_side(self) -> "ExplainerSettings":
        if self.side == "negative" and self.cutoff in ("q50", "q99", "q999"):
            raise ValueError(f"cutoff {self.cutoff} with side negative; expected q90 or share:X, no other is recorded")
        return self


def explainer_settings(values: Mapping[str, Any]) -> ExplainerSettings:
    """Settings out of a form, a command line or a stored batch.

    Errors: InvalidInput, one sentence that names the first wrong setting, its value and what was expected.
    """
    try:
        return ExplainerSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        complaint = first["msg"].removeprefix("Value error, ")
        if not name or name == "cutoff":
            raise InvalidInput(complaint) from None
        # What came under an unknown name or as a URL may hold a key, and messages end up in logs.
        is_public = name in ExplainerSettings.model_fields and name != "base_url"
        shown = f"{name}={first['input']!r}" if is_public else name
        raise InvalidInput(f"explainer setting {shown}: {complaint}") from None


def cost_usd(
    explainer: Explainer, settings: CallSettings, n_prompt_tokens: int | None, n_completion_tokens: int | None
) -> float | None:
    """What a call cost: 0 for what runs on this machine, None where a price or a token count is unknown."""
    if explainer.kind != OPENAI:
        return 0.0
    prompt_price, completion_price = settings.usd_per_million_prompt_tokens, settings.usd_per_million_completion_tokens
    if None in (prompt_price, completion_price, n_prompt_tokens, n_completion_tokens):
        return None
    return ((n_prompt_tokens or 0) * (prompt_price or 0.0) + (n_completion_tokens or 0) * (completion_price or 0.0)) / (
        TOKENS_PER_PRICE
    )
