"""What the rows of a Neuronpedia export say, as plain values of ours. Pure: knows no file and no database."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from app.errors import InvalidInput
from app.exchange.activations import check_place
from app.exchange.explained import ImportedExplanation, is_method_name
from app.exchange.storable import first_wrong_number, shown
from app.explanations.explainers import LOCAL, NONE, OPENAI
from app.explanations.methods import IMPORTED
from app.explanations.methods.original import ORIGINAL
from app.explanations.texts import as_shown

OWN_TYPE = "neuronjury_"
"""With a method's name behind it: the type under which we export explanations."""
ORIGINAL_TYPE = "oai_token-act-pair"
# `6`, `6-mlp` and names such as `6-mlp-act-neurons`. `6-mlp-oai` and `6-res-jb` are sparse autoencoders.
_MLP_SOURCE = re.compile(r"([0-9]{1,4})(?:-mlp(?:-.*neurons)?)?", re.DOTALL)
_INDEX = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class BinnedRecord:
    """One activation row. tokens and activations have the same length, at least 1; no activation is NaN.

    bin_upper: the largest activation of the bin the excerpt was drawn from; None when it is one of the neuron's best.
    """

    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    bin_upper: float | None


def source_layer(source: object) -> int:
    """The layer of the MLP neurons that `layer` or a source's name stands for.

    Errors: InvalidInput for anything else, above all for features of a sparse autoencoder.
    """
    text = str(source) if isinstance(source, int) and not isinstance(source, bool) else source
    match = _MLP_SOURCE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInput(
            f"layer is {shown(source)}, no source of MLP neurons; expected e.g. 6, 6-mlp or 6-mlp-...neurons"
        )
    return int(match[1])


def place_of(fields: Mapping[str, Any]) -> tuple[int, int]:
    """Layer and index of the row's neuron. Errors: InvalidInput."""
    layer = source_layer(fields.get("layer"))
    index = fields.get("index")
    text = str(index) if isinstance(index, int) and not isinstance(index, bool) else index
    if not isinstance(text, str) or not _INDEX.fullmatch(text):
        raise InvalidInput(f"index is {shown(index)}; expected a whole number from 0")
    check_place(layer, int(text))
    return layer, int(text)


def model_of(fields: Mapping[str, Any]) -> str:
    """The subject model's name at Neuronpedia. Errors: InvalidInput."""
    model = fields.get("modelId")
    if not isinstance(model, str) or not model:
        raise InvalidInput(f"modelId is {shown(model)}; expected a name")
    return model


def record_of(fields: Mapping[str, Any]) -> BinnedRecord:
    """The excerpt of an activation row. Errors: InvalidInput, naming the first token that is wrong."""
    tokens, values = fields.get("tokens"), fields.get("values")
    if not isinstance(tokens, list) or not isinstance(values, list):
        raise InvalidInput("tokens and values are not both lists; expected one of each per token")
    if len(tokens) != len(values) or not tokens:
        raise InvalidInput(f"{len(tokens)} tokens and {len(values)} values; expected as many, and at least 1")
    if set(map(type, tokens)) != {str}:
        index, token = next((index, token) for index, token in enumerate(tokens) if not isinstance(token, str))
        raise InvalidInput(f"tokens[{index}] is {shown(token)}; expected a text")
    return BinnedRecord(tuple(tokens), _activations(values), _bin_upper(fields))


def share_active_of(fields: Mapping[str, Any]) -> float | None:
    """The share of tokens on which a feature row's neuron is active, None when it is missing. Errors: InvalidInput."""
    share = fields.get("frac_nonzero")
    if share is None or share != share:
        return None
    if not _is_number(share) or not 0 <= share <= 1:
        raise InvalidInput(f"frac_nonzero is {shown(share)}; expected a share from 0 to 1")
    return float(share)


def explanation_of(fields: Mapping[str, Any]) -> ImportedExplanation:
    """An explanation row. Errors: InvalidInput."""
    layer, index = place_of(fields)
    text = fields.get("description")
    if not isinstance(text, str) or not as_shown(text):
        raise InvalidInput(f"description is {shown(text)}; expected a text with words")
    type_name = _name(fields, "typeName")
    return ImportedExplanation(
        layer=layer,
        index=index,
        method=_method_of(type_name),
        explainer=_explainer(_name(fields, "explanationModelName")),
        prompt_pack=f"{IMPORTED}:{type_name}",
        text=text,
        failure=None,
    )


def type_of(method: str, prompt_pack: str) -> str:
    """The typeName under which an explanation is exported: the one it came with, else one that tells its method."""
    received = prompt_pack.removeprefix(f"{IMPORTED}:")
    if received != prompt_pack and _method_of(received) == method:
        return received
    return ORIGINAL_TYPE if method == ORIGINAL.name else OWN_TYPE + method


def _method_of(type_name: str) -> str:
    """Ours is behind OWN_TYPE, whether a method of this version or one that was imported here by its name."""
    if type_name == ORIGINAL_TYPE:
        return ORIGINAL.name
    method = type_name.removeprefix(OWN_TYPE)
    return method if method != type_name and is_method_name(method) else IMPORTED


def model_name_of(explainer: str) -> str:
    """The explanationModelName of an explainer: as Neuronpedia has it where the import leads back to our name."""
    model = explainer.partition(":")[2]
    return model if model and _explainer(model) == explainer else explainer


def _activations(values: list[Any]) -> tuple[float, ...]:
    if (wrong := first_wrong_number(values)) is not None:
        raise InvalidInput(f"values[{wrong}] is {shown(values[wrong])}; expected a number")
    return tuple(map(_as_float, values))


def _bin_upper(fields: Mapping[str, Any]) -> float | None:
    """Upper edge of the row's bin. The best rows have no bin, or one that contains a negative share of the tokens."""
    lower, upper, share = (fields.get(name) for name in ("binMin", "binMax", "binContains"))
    for name, value in (("binMin", lower), ("binMax", upper), ("binContains", share)):
        if value is not None and not _is_number(value):
            raise InvalidInput(f"{name} is {shown(value)}; expected a number or null")
    if not _is_number(lower) or not _is_number(upper) or upper != upper or (_is_number(share) and share < 0):
        return None
    return _as_float(upper)


def _name(fields: Mapping[str, Any], field: str) -> str:
    """A name out of a row, `unknown` where there is none."""
    name = fields.get(field)
    if name is None or name == "":
        return "unknown"
    if not isinstance(name, str):
        raise InvalidInput(f"{field} is {shown(name)}; expected a name")
    return name


def _explainer(model: str) -> str:
    """Our name of an explainer, which is the model's own where it is one of ours."""
    if model.startswith("gpt-"):
        return f"{OPENAI}:{model}"
    is_ours = model == NONE or model.startswith((f"{OPENAI}:", f"{LOCAL}:", f"{IMPORTED}:"))
    return model if is_ours else f"{IMPORTED}:{model}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        # A whole number beyond every float is as infinite as 1e999, which JSON gives as infinity.
        return math.inf if number > 0 else -math.inf
