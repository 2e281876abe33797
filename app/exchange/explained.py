"""Imported explanations and scores as plain values, and what makes them storable. Knows no database."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

import numpy as np

from app.errors import InvalidInput
from app.exchange.activations import check_place
from app.exchange.excerpt_texts import ExcerptText, excerpt_text
from app.exchange.storable import finite, shown, storable_json, storable_text
from app.explanations.explainers import NONE
from app.explanations.failures import EMPTY
from app.explanations.methods import IMPORTED
from app.explanations.texts import as_shown
from app.neurons.records import Side

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
NO_VALUE = "the imported file gives no value"
MOST_SAMPLES = 10_000
SIDES = get_args(Side)
_METHOD = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LENGTHS = {"method": 50, "explainer": 200, "prompt_pack": 100, "failure": 30, "metric": 50, "scorer": 200}
"""The most characters of each name that the tables hold."""


class SimulatedSequence(NamedTuple):
    """What a simulator expected on one excerpt: one number per token; the correlation is None where undefined."""

    tokens: Sequence[str]
    expected: Sequence[float]
    correlation: float | None


@dataclass(frozen=True)
class ImportedScore:
    """A score of a foreign file. value: None or not finite where it is undefined, for the reason given."""

    metric: str
    scorer: str
    value: float | None
    reason: str | None
    details: Mapping[str, Any]
    simulated: Sequence[SimulatedSequence | tuple[Sequence[str], Sequence[float], float | None]] = ()


@dataclass(frozen=True)
class ImportedExplanation:
    """What a foreign file says about the neuron layer:index (from 0).

    text: as received; with a failure it is what came instead of an explanation, and is never shown. failure: a reason
    out of app.explanations.failures, None for an explanation. text_shown: the text that is shown, where it is another
    than the received one. side: what it describes. sample_number: from 0; None takes the next that is free.
    """

    layer: int
    index: int
    method: str
    explainer: str
    prompt_pack: str
    text: str | None
    failure: str | None
    scores: Sequence[ImportedScore] = ()
    text_shown: str | None = None
    side: Side = "positive"
    sample_number: int | None = None


@dataclass(frozen=True)
class CheckedSequence:
    """expected: float32, little endian, shape (tokens,)."""

    text: ExcerptText
    expected: bytes
    correlation: float | None


@dataclass(frozen=True)
class CheckedScore:
    """As stored: a value or a reason, never both."""

    metric: str
    scorer: str
    value: float | None
    reason: str | None
    details: Any
    simulated: Sequence[CheckedSequence]


@dataclass(frozen=True)
class CheckedExplanation:
    """As stored: a text or a failure, never both. sample_number: None for the next that is free."""

    layer: int
    index: int
    method: str
    explainer: str
    prompt_pack: str
    text_received: str | None
    text: str | None
    failure: str | None
    side: Side
    sample_number: int | None
    scores: Sequence[CheckedScore] = field(repr=False)

    @property
    def n_simulated_tokens(self) -> int:
        return sum(len(sequence.text.tokens) for score in self.scores for sequence in score.simulated)


def checked_explanation(imported: ImportedExplanation) -> CheckedExplanation:
    """The text as people see it; one of which nothing is left is a failure.

    Errors: InvalidInput, which names the value that cannot be stored and what was expected.
    """
    check_place(imported.layer, imported.index)
    received = None if imported.text is None else storable_text(_text(imported.text, "explanation"))
    to_show = received if imported.text_shown is None else storable_text(_text(imported.text_shown, "explanation"))
    text = as_shown(to_show or "") if imported.failure is None else ""
    failure = imported.failure or (None if text else EMPTY)
    return CheckedExplanation(
        layer=imported.layer,
        index=imported.index,
        method=checked_method(imported.method),
        explainer=checked_explainer(imported.explainer),
        prompt_pack=checked_name(imported.prompt_pack, "prompt_pack"),
        text_received=received,
        text=text or None,
        failure=None if failure is None else checked_name(failure, "failure"),
        side=_side(imported.side),
        sample_number=_sample_number(imported.sample_number),
        # Nothing said, nothing scored: what a scorer was given then is no explanation.
        scores=[] if failure else [_checked_score(score) for score in imported.scores],
    )


def _checked_score(score: ImportedScore) -> CheckedScore:
    value = finite(score.value)
    return CheckedScore(
        metric=checked_name(score.metric, "metric"),
        scorer=checked_name(score.scorer, "scorer"),
        value=value,
        reason=storable_text(score.reason or NO_VALUE) if value is None else None,
        details=storable_json(dict(score.details)),
        simulated=[_checked_sequence(rank, *sequence) for rank, sequence in enumerate(score.simulated)],
    )


def _checked_sequence(
    rank: int, tokens: Sequence[str], expected: Sequence[float], correlation: float | None
) -> CheckedSequence:
    name = f"scored sequence {rank}"
    text = excerpt_text(tokens, name)
    if not isinstance(expected, list | tuple) or len(expected) != len(text.tokens):
        raise InvalidInput(f"{name} has {len(text.tokens)} tokens; expected as many expected activations")
    return CheckedSequence(text, _as_stored(expected, name), finite(correlation))


def _as_stored(expected: Sequence[object], name: str) -> bytes:
    """Rounded to float32; what is too large for it becomes its largest number."""
    numbers = [finite(number) for number in expected]
    if None in numbers:
        index = numbers.index(None)
        raise InvalidInput(
            f"expected activation {index} of {name} is {shown(expected[index])}; expected a finite number"
        )
    return np.array(numbers, dtype=np.float64).clip(-LARGEST_FLOAT32, LARGEST_FLOAT32).astype("<f4").tobytes()


def _side(side: object) -> Side:
    if side not in SIDES:
        raise InvalidInput(f"the side is {shown(side)}; expected {' or '.join(SIDES)}")
    return "negative" if side == "negative" else "positive"


def _sample_number(number: object) -> int | None:
    if number is None:
        return None
    if type(number) is not int or not 0 <= number < MOST_SAMPLES:
        raise InvalidInput(f"the sample is {shown(number)}; expected a whole number from 0 to {MOST_SAMPLES - 1}")
    return number


def _text(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise InvalidInput(f"the {name} is {shown(text)}; expected a text")
    return text


def checked_method(name: str) -> str:
    """Errors: InvalidInput for a name that cannot stand in a condition, METHOD@EXPLAINER."""
    if not is_method_name(checked_name(name, "method")):
        raise InvalidInput(f"the method is {shown(name)}; expected a-z, 0-9, _ and -, such as hs or my-method")
    return name


def is_method_name(name: str) -> bool:
    return _METHOD.fullmatch(name) is not None


def checked_explainer(name: str) -> str:
    """An explainer as KIND:NAME, or `none`; a name without a kind is marked as imported. Errors: InvalidInput."""
    if not checked_name(name, "explainer").isprintable() or name != name.strip():
        raise InvalidInput(f"the explainer is {shown(name)}; expected printable characters without outer blanks")
    kind, _, model = name.partition(":")
    is_whole = name == NONE or (kind and model)
    return name if is_whole else checked_name(f"{IMPORTED}:{name.strip(':')}", "explainer")


def checked_name(name: str, what: str) -> str:
    """A name as it is stored. what: one of those with a length here.

    Errors: InvalidInput when it is no text, empty or too long.
    """
    storable = storable_text(_text(name, what))
    if not 0 < len(storable) <= _LENGTHS[what]:
        raise InvalidInput(f"the {what} {shown(storable)} has {len(storable)} characters; expected 1-{_LENGTHS[what]}")
    return storable
