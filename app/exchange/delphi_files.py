"""What the files of a Delphi run say: whose explanation a file holds, the explanation, and what its scores come to.
Pure: takes names and parsed contents, knows no folder and no database.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.exchange.activations import check_place
from app.exchange.explained import ImportedScore
from app.explanations.methods import IMPORTED
from app.explanations.texts import as_shown

FAILED_TEXTS = ("Explanation could not be parsed.", "No explanation found")
"""What Delphi writes in the place of an explanation it did not get."""
METRIC_OF_SCORER = {"fuzz": "fuzzing"}
"""Scorers whose metric has another name here; all others keep theirs."""
_FILE_NAME = re.compile(r"(?P<hookpoint>.+)_latent(?P<index>[0-9]{1,10})\.txt", re.DOTALL)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.([0-9]{1,4})(?=\.|$)")


@dataclass(frozen=True)
class Latent:
    """Whose a file is. hookpoint: the module of the subject model, e.g. `layers.6.mlp`."""

    hookpoint: str
    layer: int
    index: int


@dataclass(frozen=True)
class Example:
    """An excerpt that a scorer was asked about. prediction: None where its answer could not be read."""

    is_activating: bool
    prediction: bool | None


def latent_of(file_name: str) -> Latent:
    """The neuron that the name of an explanation or score file stands for.

    Errors: InvalidInput when the name is none of Delphi's, or its hookpoint is no MLP of a numbered layer.
    """
    match = _FILE_NAME.fullmatch(file_name)
    if match is None:
        raise InvalidInput("not a file name of a Delphi run; expected HOOKPOINT_latentINDEX.txt")
    hookpoint = match["hookpoint"]
    layers = _LAYER.findall(hookpoint)
    if len(layers) != 1 or "mlp" not in hookpoint.split("."):
        raise InvalidInput(f"the hookpoint {hookpoint!r} is no MLP of a layer; expected one such as layers.6.mlp")
    latent = Latent(hookpoint, int(layers[0]), int(match["index"]))
    check_place(latent.layer, latent.index)
    return latent


def explanation_in(content: object) -> str:
    """The text of an explanation file, also one of FAILED_TEXTS. Errors: InvalidInput when it is no string."""
    if not isinstance(content, str):
        raise InvalidInput(f"a JSON {type(content).__name__}; expected a string")
    return content


def is_failed(text: str) -> bool:
    """Whether a text stands for a failure, or nothing is left of it when it is shown."""
    return text.strip() in FAILED_TEXTS or not as_shown(text)


def score_in(content: object, scorer: str) -> ImportedScore:
    """The score that a scorer's answers come to: balanced accuracy, the mean of the shares of activating and of other
    examples that it told rightly.

    Only examples with a prediction count; without one on either side there is no value but a reason.
    Errors: InvalidInput when the content is not what classifying scorers write.
    """
    if not isinstance(content, list):
        raise InvalidInput(f"a JSON {type(content).__name__}; expected a list of examples")
    examples = [_example(f"example {index}", fields) for index, fields in enumerate(content)]
    value, reason = _balanced_accuracy(examples)
    metric = METRIC_OF_SCORER.get(scorer, scorer)
    return ImportedScore(metric=metric, scorer=IMPORTED, value=value, reason=reason, details=_details(examples))


def _example(name: str, fields: object) -> Example:
    if not isinstance(fields, Mapping):
        raise InvalidInput(f"{name} is a JSON {type(fields).__name__}; expected an object")
    if "prediction" not in fields:
        raise InvalidInput(f"{name} has no prediction; expected the answers of a classifying scorer")
    activating, prediction, correct = (_truth(name, fields, field) for field in ("activating", "prediction", "correct"))
    if activating is None:
        raise InvalidInput(f"activating of {name} is missing; expected true or false")
    if prediction is not None and correct is not None and correct != (prediction == activating):
        raise InvalidInput(f"{name} contradicts itself: activating {activating}, prediction {prediction}, {correct=}")
    return Example(activating, prediction)


def _truth(name: str, fields: Mapping[str, Any], field: str) -> bool | None:
    value = fields.get(field)
    # NaN is how a table of answers writes a missing one.
    if value is None or value != value:
        return None
    if value not in (0, 1):
        raise InvalidInput(f"{field} of {name} is {str(value)[:60]!r}; expected true, false or null")
    return bool(value)


def _balanced_accuracy(examples: Sequence[Example]) -> tuple[float | None, str | None]:
    """The value, or the reason why there is none."""
    if not examples:
        return None, "no examples"
    shares = []
    for is_activating, side in ((True, "activating"), (False, "non-activating")):
        asked = [example for example in examples if example.is_activating == is_activating]
        predictions = [example.prediction for example in asked if example.prediction is not None]
        if not predictions:
            return None, f"no {side} example" + (" has a prediction" if asked else "")
        shares.append(predictions.count(is_activating) / len(predictions))
    return sum(shares) / len(shares), None


def _details(examples: Sequence[Example]) -> dict[str, Any]:
    """Counts of examples, and the plain accuracy over those with a prediction; null where there is none."""
    told = [example for example in examples if example.prediction is not None]
    n_correct = sum(example.prediction == example.is_activating for example in told)
    return {
        "n": len(examples),
        "n_activating": sum(example.is_activating for example in examples),
        "n_correct": n_correct,
        "n_unparsed": len(examples) - len(told),
        "accuracy": n_correct / len(told) if told else None,
    }
