"""The file of a study's design, `neuronjury study export-design`: everything another lab needs to run the same study.

JSON, format version 1. It holds the question, the texts and the evidence; never the key of the orders, an invitation
or an answer. Activations are written with the fewest digits that give the same float16 again. Pure.
"""

import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from app.errors import InvalidInput
from app.studies.protocol import Protocol

FORMAT_VERSION = 1
STORED_FLOAT = np.dtype("<f2")
LARGEST_FLOAT16 = 65504.0
LARGEST_NUMBER = 2**31 - 1


def _storable(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a character that no text can hold")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Count = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]
Activation = Annotated[FiniteFloat, Field(ge=-LARGEST_FLOAT16, le=LARGEST_FLOAT16)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileSubject(_Part):
    """The subject model, as in its table."""

    name: Annotated[Text, Field(min_length=1, max_length=100)]
    revision: Annotated[Text, Field(max_length=200)]
    architecture: Annotated[Text, Field(max_length=100)]
    n_layers: Count
    n_neurons_per_layer: Count
    dtype: Annotated[Text, Field(max_length=20)]
    tokenizer_hash: Annotated[Text, Field(max_length=64)]


class FileCondition(_Part):
    method: Annotated[Text, Field(min_length=1, max_length=50)]
    explainer: Annotated[Text, Field(min_length=1, max_length=200)]


class FileExcerpt(_Part):
    """token_texts: one or more. token_ids: one for each, or none where they are unknown."""

    token_ids: list[Annotated[int, Field(ge=-LARGEST_NUMBER - 1, le=LARGEST_NUMBER)]]
    token_texts: Annotated[list[Text], Field(min_length=1)]


class FileRecord(_Part):
    """excerpt: place in the file's list, from 0. activations: one for each of its tokens."""

    excerpt: Count
    activations: list[Activation]

    def stored_activations(self) -> bytes:
        return np.asarray(self.activations, dtype=STORED_FLOAT).tobytes()


class FileNeuron(_Part):
    """The statistics are the columns of Neuron, null where they are unknown.

    quota: raters who judge it, null for every rater.
    texts: as shown, one per condition, empty where a draft has none. evidence: by band, in the order of the ranks.
    """

    site: Annotated[Text, Field(min_length=1, max_length=50)]
    layer: Count
    index: Count
    quota: int | None
    maximum: FiniteFloat
    mean: FiniteFloat | None
    variance: FiniteFloat | None
    skewness: FiniteFloat | None
    kurtosis: FiniteFloat | None
    share_active: FiniteFloat | None
    q90: FiniteFloat | None
    texts: list[Text]
    evidence: dict[Annotated[Text, Field(min_length=1, max_length=10)], list[FileRecord]]

    @property
    def place(self) -> tuple[str, int, int]:
        return self.site, self.layer, self.index


class DesignFile(_Part):
    """design_hash: null for a draft. corpus: where the excerpts were cut from, for people to read."""

    format_version: Literal[1]
    app_version: Text
    design_hash: Annotated[Text, Field(max_length=64)] | None
    slug: Annotated[Text, Field(max_length=100)]
    title: Annotated[Text, Field(min_length=1, max_length=200)]
    instructions: Annotated[Text, Field(min_length=1, max_length=100_000)]
    protocol: Protocol
    seed: Count
    subject: FileSubject
    conditions: list[FileCondition]
    corpus: Annotated[Text, Field(max_length=200)]
    excerpts: list[FileExcerpt]
    neurons: Annotated[list[FileNeuron], Field(min_length=1)]

    @property
    def condition_pairs(self) -> list[tuple[str, str]]:
        return [(condition.method, condition.explainer) for condition in self.conditions]

    @model_validator(mode="after")
    def _fits_together(self) -> "DesignFile":
        for text in (*self.protocol.evidence, *self.protocol.model_dump().values()):
            _storable(text) if isinstance(text, str) else None
        if len({neuron.place for neuron in self.neurons}) < len(self.neurons):
            raise ValueError("a neuron is there twice; expected each once")
        for number, excerpt in enumerate(self.excerpts):
            if excerpt.token_ids and len(excerpt.token_ids) != len(excerpt.token_texts):
                raise ValueError(f"excerpt {number} has {len(excerpt.token_ids)} token ids; expected one for each text")
        for neuron in self.neurons:
            _check_neuron(self, neuron)
        return self


def _check_neuron(design: DesignFile, neuron: FileNeuron) -> None:
    name = f"neuron {neuron.layer}:{neuron.index}"
    if neuron.layer >= design.subject.n_layers or neuron.index >= design.subject.n_neurons_per_layer:
        raise ValueError(f"{name} is beyond the {design.subject.n_layers} layers of {design.subject.name}")
    if len(neuron.texts) != len(design.conditions):
        raise ValueError(f"{name} has {len(neuron.texts)} texts; expected one for each of the conditions")
    for record in (record for records in neuron.evidence.values() for record in records):
        if record.excerpt >= len(design.excerpts):
            raise ValueError(
                f"{name} has excerpt {record.excerpt}; expected one of the {len(design.excerpts)} there are"
            )
        if len(record.activations) != len(design.excerpts[record.excerpt].token_texts):
            raise ValueError(f"{name} has {len(record.activations)} activations; expected one for each token")


def written_design(values: dict[str, Any]) -> str:
    """The file's text, a line per field and per neuron, so that two designs can be compared by a text tool.

    Errors: InvalidInput for an activation or statistic that is no finite number.
    """
    try:
        lines = [f"{json.dumps(name)}: {_written(value)}" for name, value in values.items()]
    except ValueError:
        raise InvalidInput("a neuron has an activation that is no finite number; such a study has no file") from None
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _written(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + ",\n".join(_compact(each) for each in value) + "\n]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def plain_activations(stored: bytes) -> list[float]:
    """Numbers with the fewest digits that are the same float16 again."""
    return [float(text) for text in np.frombuffer(stored, STORED_FLOAT).astype("U")]


def read_design(text: str) -> DesignFile:
    """Errors: InvalidInput, which names the first place in the file that is wrong."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no design: not JSON ({error})") from None
    try:
        return DesignFile.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"this is no design: {place}: {what}" if place else f"this is no design: {what}") from None
