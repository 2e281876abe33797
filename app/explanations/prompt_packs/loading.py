"""Reads and checks a prompt pack. Knows the files, not what is done with them.

A pack is a folder, its name made of letters, digits and . _ - :
    pack.json            {"cue": ..., "zeros_left_out": ...}: the unfinished sentence that the explainer completes, and
                         the line above the repetition without zeros in prompts of the method `original`
    neuron-1.json        {"explanation": ..., "excerpts": [[token | [token, activation], ...], ...]}: a few-shot neuron
                         with two excerpts or more, best first; a bare token has the activation 0. The explanation
                         completes the cue, without a full stop
    neuron-2.json, ...   further few-shot neurons, numbered without a gap; nine at most
    system/METHOD.txt    the system message of each of the five prompt methods
All of it is UTF-8 text. The published wording can be put into this form by whoever holds it.
"""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.errors import InvalidInput, UnknownName
from app.explanations.methods import PROMPT_METHODS
from app.explanations.methods.prompt import FewShotNeuron, PromptPack
from app.neurons.records import ActivationRecord

DEFAULT_PACK = "default"
MOST_FEW_SHOTS = 9
HASH_LENGTH = 12
_FOLDER_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""The name becomes part of what every explanation is stored under."""
_NEURON_FILE_NAME = re.compile(rf"neuron-([1-{MOST_FEW_SHOTS}])\.json")
TOKEN_DEPTH = 3
"""A token of a neuron file lies at excerpts, excerpt index, token index."""
_SHIPPED_PACKS = Path(__file__).parent

_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=r"^[^\n]*$")]
_Token = Annotated[str, Field(min_length=1)]
_Activation = Annotated[float, Field(allow_inf_nan=False)]
_FileContent = TypeVar("_FileContent", bound=BaseModel)


def _without_full_stop(explanation: str) -> str:
    if explanation.endswith("."):
        raise ValueError("a full stop at the end; expected none, the prompt adds it")
    return explanation


class _PackFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    cue: _Line
    zeros_left_out: _Line


class _NeuronFile(BaseModel):
    model_config = ConfigDict(extra="forbid")
    explanation: Annotated[_Line, AfterValidator(_without_full_stop)]
    excerpts: Annotated[
        list[Annotated[list[_Token | tuple[_Token, _Activation]], Field(min_length=1)]], Field(min_length=2)
    ]


def load_pack(name: str) -> PromptPack:
    """The pack shipped under `name`, or the one in the folder of that path.

    Its identity is the folder's name and a hash of everything it says, so that a changed pack counts as another one.
    Errors: UnknownName when there is no such pack; InvalidInput, naming file and field, when it cannot be used.
    """
    folder = _pack_folder(name)
    words = _read_json(folder / "pack.json", _PackFile)
    neurons = [_read_json(path, _NeuronFile) for path in _neuron_files(folder)]
    system = {method: _read_text(folder / "system" / f"{method}.txt") for method in PROMPT_METHODS}
    return PromptPack(
        identity=f"{folder.name}@{_content_hash(words, neurons, system)}",
        cue=words.cue,
        zeros_left_out=words.zeros_left_out,
        system=system,
        few_shots=tuple(_few_shot_neuron(neuron) for neuron in neurons),
    )


def shipped_packs() -> tuple[str, ...]:
    """Names of the packs that come with the program."""
    return tuple(sorted(path.parent.name for path in _SHIPPED_PACKS.glob("*/pack.json")))


def with_few_shots(pack: PromptPack, n_few_shots: int | None) -> PromptPack:
    """The pack with its first few-shot neurons only; None: with all. Errors: InvalidInput when it has fewer."""
    n_there = len(pack.few_shots)
    if n_few_shots is None:
        return pack
    if n_few_shots > n_there:
        raise InvalidInput(f"{n_few_shots} few-shot neurons; expected at most {n_there}: {pack.identity} has no more")
    return replace(pack, few_shots=pack.few_shots[:n_few_shots])


def _pack_folder(name: str) -> Path:
    for folder in (_SHIPPED_PACKS / name, Path(name)):
        if (folder / "pack.json").is_file():
            folder = folder.resolve()
            if not _FOLDER_NAME.fullmatch(folder.name):
                raise InvalidInput(
                    f"prompt pack folder {folder.name!r}; expected a name of up to 40 letters, digits, dots, _ and -"
                )
            return folder
    shipped = ", ".join(shipped_packs())
    raise UnknownName(f"no prompt pack {name!r}; expected one of {shipped}, or a folder with a pack.json")


def _neuron_files(folder: Path) -> list[Path]:
    """neuron-1.json and those after it. Errors: InvalidInput for one that would be passed over without a word."""
    found = {path.name: path for path in folder.glob("neuron-*.json")}
    wanted = [f"neuron-{number}.json" for number in range(1, max(1, len(found)) + 1)]
    for name in sorted(found):
        if not _NEURON_FILE_NAME.fullmatch(name):
            raise InvalidInput(f"{found[name]}: expected neuron-1.json to neuron-{MOST_FEW_SHOTS}.json and no other")
    return [folder / name for name in wanted]


def _few_shot_neuron(neuron: _NeuronFile) -> FewShotNeuron:
    records = tuple(_record(excerpt) for excerpt in neuron.excerpts)
    return FewShotNeuron(records, neuron.explanation)


def _record(excerpt: list[str | tuple[str, float]]) -> ActivationRecord:
    pairs = [(token, 0.0) if isinstance(token, str) else token for token in excerpt]
    activations = np.array([activation for _, activation in pairs], dtype=np.float16)
    activations.setflags(write=False)
    return ActivationRecord(tuple(token for token, _ in pairs), activations)


def _content_hash(words: _PackFile, neurons: list[_NeuronFile], system: dict[str, str]) -> str:
    content = [words.model_dump(), [neuron.model_dump() for neuron in neurons], system]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:HASH_LENGTH]


def _read_json(path: Path, model: type[_FileContent]) -> _FileContent:
    try:
        return model.model_validate_json(_read_text(path))
    except ValidationError as error:
        raise InvalidInput(f"{path}: {_complaint(error)}") from error


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    place = first["loc"]
    if len(place) > TOKEN_DEPTH:
        field = ".".join(str(part) for part in place[:TOKEN_DEPTH])
        return f"{field}: expected a token, or a pair of token and activation"
    message = first["msg"].removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in place) or 'the whole file'}: {message}"


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise InvalidInput(f"{path}: the file is missing") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 at byte {error.start}") from error
    if not text:
        raise InvalidInput(f"{path}: the file is empty")
    return text
