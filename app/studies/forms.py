"""What people type into the pages of studies, turned into plain values. Knows forms, not the database."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from app.errors import InvalidInput
from app.neurons.lists import ListedNeurons, layer_numbers, whole_number
from app.studies.lifecycle import parse_condition
from app.studies.neuron_sets import NeuronSet, PerLayer

RATING_FIELD = "rating-"
"""A card's rating is sent as `rating-<card token>`, the best pick as `best` = card token."""

MOST_INVITATIONS = 500
MOST_DAYS = 365
"""Bounds of one round of invitations, against slips of the keyboard."""


async def _sent_form(request: Request) -> AsyncIterator[FormData]:
    # Leaving the block closes uploaded files.
    async with request.form() as form:
        yield form


SentForm = Annotated[FormData, Depends(_sent_form)]


@dataclass(frozen=True)
class JudgementForm:
    """A rater's entries exactly as they came in; `judging.record_judgement` says whether they are a judgement.

    ratings: card token -> what was sent for it; two values for one card arrive as "2, 4", which is no rating.
    best: every best pick that was sent; a judgement has exactly one.
    """

    ratings: Mapping[str, str]
    best: tuple[str, ...]


def judgement_form(form: FormData) -> JudgementForm:
    fields = [name for name in form if name.startswith(RATING_FIELD)]
    ratings = {field.removeprefix(RATING_FIELD): ", ".join(_texts(form, field)) for field in fields}
    return JudgementForm(ratings, _texts(form, "best"))


@dataclass(frozen=True)
class NewStudyForm:
    """The form of a new study as typed, so that it can be shown again beside what was wrong with it.

    conditions: each as "method@explainer".
    neuron_choice: "per_layer" or "listed".
    n_per_layer: a number. layers: "0-11, 14", or nothing for all layers. seed: a number.
    csv_name, csv_text: the list of neurons, uploaded or pasted. csv_problem: why an uploaded file could not be read.
    """

    title: str = ""
    slug: str = ""
    subject: str = ""
    conditions: tuple[str, ...] = ()
    neuron_choice: str = "per_layer"
    n_per_layer: str = "1"
    layers: str = ""
    csv_name: str = "pasted list"
    csv_text: str = ""
    csv_problem: str = ""
    seed: str = "1"
    instructions: str = ""

    @property
    def condition_pairs(self) -> list[tuple[str, str]]:
        return [parse_condition(condition) for condition in self.conditions]

    @property
    def seed_number(self) -> int:
        return whole_number(self.seed, "seed", 0, 2**31 - 1)

    def neuron_set(self) -> NeuronSet:
        """Errors: InvalidInput that names the field."""
        if self.neuron_choice == "listed":
            if self.csv_problem:
                raise InvalidInput(self.csv_problem)
            if not self.csv_text.strip():
                raise InvalidInput("the list of neurons is empty; upload or paste a CSV with the columns layer,neuron")
            return ListedNeurons(self.csv_name, self.csv_text)
        return PerLayer(whole_number(self.n_per_layer, "neurons per layer", 1, 10_000), layer_numbers(self.layers))


async def new_study_form(form: SentForm) -> NewStudyForm:
    """The sent form. An uploaded file wins over pasted text."""
    names = ("title", "slug", "subject", "neuron_choice", "n_per_layer", "layers", "seed", "instructions")
    return NewStudyForm(
        conditions=_texts(form, "conditions"),
        **await _csv(form),
        **{name: (_texts(form, name) or ("",))[0].strip() for name in names},
    )


SentNewStudy = Annotated[NewStudyForm, Depends(new_study_form)]


async def _csv(form: FormData) -> dict[str, str]:
    """The list of neurons as the three csv fields of NewStudyForm."""
    file = form.get("csv_file")
    if not isinstance(file, UploadFile) or not file.filename:
        return {"csv_text": (_texts(form, "csv_text") or ("",))[0]}
    try:
        return {"csv_name": file.filename, "csv_text": (await file.read()).decode("utf-8-sig")}
    except UnicodeDecodeError as error:
        return {"csv_problem": f"{file.filename} is not UTF-8 text (byte {error.start}); expected a CSV file"}


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
