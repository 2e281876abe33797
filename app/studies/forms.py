"""What people type into the pages of studies, turned into plain values. Knows forms, not the database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from app.batches.choosing import SavedSet
from app.errors import InvalidInput
from app.neurons.lists import ListedNeurons, layer_numbers, whole_number
from app.studies.conditions import parse_condition
from app.studies.drafting.neuron_sets import NeuronSet, PerLayer, Stratified
from app.studies.drafting.protocol_form import ProtocolForm, WrongField, protocol_form, sent_protocol
from app.studies.protocol import Protocol

MOST_INVITATIONS = 500
MOST_DAYS = 365
"""Bounds of one round of invitations, against slips of the keyboard."""


async def _sent_form(request: Request) -> AsyncIterator[FormData]:
    # Leaving the block closes uploaded files.
    async with request.form() as form:
        yield form


SentForm = Annotated[FormData, Depends(_sent_form)]


@dataclass(frozen=True)
class NewStudyForm:
    """The form of a new study as typed, so that it can be shown again beside what was wrong with it.

    conditions: each as "method@explainer".
    neuron_choice: "spread", "per_layer", "listed" or "saved". n_neurons: of a spread choice, a number.
    n_per_layer: a number. layers: "0-11, 14", or nothing for all layers. seed: a number. saved_set: a name.
    csv_name, csv_text: the list of neurons, uploaded or pasted. csv_problem: why an uploaded file could not be read.
    is_trial: only say what the study would be, make none.
    """

    title: str = ""
    slug: str = ""
    subject: str = ""
    conditions: tuple[str, ...] = ()
    neuron_choice: str = "spread"
    n_neurons: str = "48"
    n_per_layer: str = "1"
    layers: str = ""
    csv_name: str = "pasted list"
    csv_text: str = ""
    csv_problem: str = ""
    saved_set: str = ""
    seed: str = "1"
    instructions: str = ""
    protocol_form: ProtocolForm = field(default_factory=lambda: protocol_form(Protocol()))
    is_trial: bool = False

    @property
    def condition_pairs(self) -> list[tuple[str, str]]:
        return [parse_condition(condition) for condition in self.conditions]

    @property
    def seed_number(self) -> int:
        return _number("seed", self.seed, "seed", 0, 2**31 - 1)

    def neuron_set(self) -> NeuronSet:
        """Errors: InvalidInput that names the field."""
        if self.neuron_choice == "listed":
            if self.csv_problem:
                raise WrongField("csv_file", self.csv_problem)
            if not self.csv_text.strip():
                raise WrongField(
                    "csv_text", "the list of neurons is empty; upload or paste a CSV with the columns layer,neuron"
                )
            return ListedNeurons(self.csv_name, self.csv_text)
        if self.neuron_choice == "saved":
            if not self.saved_set:
                raise WrongField("saved_set", "no saved set is chosen; expected the name of one")
            return SavedSet(self.saved_set)
        if self.neuron_choice == "spread":
            return Stratified(_number("n_neurons", self.n_neurons, "number of neurons", 1, 100_000), self._layers())
        n = _number("n_per_layer", self.n_per_layer, "neurons per layer", 1, 10_000)
        return PerLayer(n, self._layers())

    def _layers(self) -> tuple[int, ...] | None:
        try:
            return layer_numbers(self.layers)
        except InvalidInput as error:
            raise WrongField("layers", str(error)) from None


def _number(name: str, text: str, label: str, smallest: int, largest: int) -> int:
    try:
        return whole_number(text, label, smallest, largest)
    except InvalidInput as error:
        raise WrongField(name, str(error)) from None


async def new_study_form(form: SentForm) -> NewStudyForm:
    """The sent form. An uploaded file wins over pasted text."""
    of_neurons = ("neuron_choice", "n_neurons", "n_per_layer", "layers", "saved_set", "seed")
    names = ("title", "slug", "subject", "instructions", *of_neurons)
    return NewStudyForm(
        conditions=_texts(form, "conditions"),
        protocol_form=sent_protocol({name: _texts(form, name) for name in form}),
        is_trial=_texts(form, "step") == ("try",),
        **await _csv(form),
        **{name: (_texts(form, name) or ("",))[0].strip() for name in names},
    )


SentNewStudy = Annotated[NewStudyForm, Depends(new_study_form)]


async def _csv(form: FormData) -> dict[str, str]:
    """The list of neurons as the three csv fields of NewStudyForm."""
    name, content = await _uploaded(form, "csv_file")
    if not name:
        return {"csv_text": (_texts(form, "csv_text") or ("",))[0]}
    try:
        return {"csv_name": name, "csv_text": content.decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        return {"csv_problem": f"{name} is not UTF-8 text (byte {error.start}); expected a CSV file"}


async def _uploaded(form: FormData, name: str) -> tuple[str, bytes]:
    """(file name, content); no name where no file was chosen."""
    file = form.get(name)
    if not isinstance(file, UploadFile) or not file.filename:
        return "", b""
    return file.filename, await file.read()


@dataclass(frozen=True)
class ImportForm:
    """A design's file as uploaded, and the slug that the study shall have; empty: the file's."""

    file_name: str
    content: bytes
    slug: str

    def design_text(self) -> str:
        """Errors: InvalidInput."""
        if not self.file_name:
            raise InvalidInput("no file was chosen; expected one made by export-design")
        try:
            return self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{self.file_name} is not UTF-8 text (byte {error.start}); expected a design") from None


async def import_form(form: SentForm) -> ImportForm:
    name, content = await _uploaded(form, "design")
    return ImportForm(name, content, (_texts(form, "slug") or ("",))[0].strip())


SentImport = Annotated[ImportForm, Depends(import_form)]


@dataclass(frozen=True)
class InviteForm:
    """How many raters to invite, and how long their links hold. Both as typed."""

    n_raters: str
    n_days: str

    @property
    def n(self) -> int:
        return whole_number(self.n_raters, "number of raters", 1, MOST_INVITATIONS)

    @property
    def days(self) -> int:
        return whole_number(self.n_days, "days", 1, MOST_DAYS)


def _texts(form: FormData, name: str) -> tuple[str, ...]:
    return tuple(value for value in form.getlist(name) if isinstance(value, str))
