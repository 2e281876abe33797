"""The part of the new study's form that is its protocol, as typed, turned into a Protocol. Knows forms, no database.

Bounds are those of Protocol itself; names are the ones that stand beside the fields on the page.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInput
from app.neurons.lists import whole_number
from app.neurons.records import RANDOM, TOP
from app.studies.protocol import Protocol, protocol_from

NUMBERS = {
    "n_raters": "Raters planned",
    "raters_per_neuron": "Raters per neuron",
    "shared_percent": "Shared neurons, %",
    "neurons_per_rater": "Neurons per rater",
    "lease_hours": "Hours until a stopped rater’s neurons go to others",
    "n_puzzles": "Puzzles",
    "n_right_to_pass": "Right answers to pass",
    "n_attempts": "Attempts",
    "check_percent": "Neurons with a check, %",
    "exclude_failed_checks_percent": "Failed checks, %",
    "exclude_too_fast_percent": "Too fast judgements, %",
    "exclude_straight_line_percent": "All ratings equal, %",
}
"""Whole numbers, by field. Those that may be null in Protocol may be left empty."""
EVIDENCE = {"evidence_top": ("Top excerpts", TOP), "evidence_random": ("Random excerpts", RANDOM)}
TEXTS = ("sharing", "check_source", "consent", "completion_code", "completion_url", "too_fast_seconds")
CHECKBOXES = ("shows_explained", "names_neurons", "asks_for_guesses")
LABELS = (
    NUMBERS
    | {name: label for name, (label, _) in EVIDENCE.items()}
    | {
        "too_fast_seconds": "Too fast below, seconds",
        "completion_code": "Completion code",
        "completion_url": "Completion address",
    }
)
_FIELDS: dict[str, dict[str, Any]] = Protocol.model_json_schema()["properties"]


class WrongField(InvalidInput):
    """field: the name of the field that was filled in wrongly."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class ProtocolForm:
    """values: every field as typed, by name; a ticked box is "on", an unticked one ""."""

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def labels(self) -> Mapping[str, str]:
        return LABELS

    def protocol(self) -> Protocol:
        """Errors: InvalidInput, WrongField where it lies in one field."""
        numbers = {name: self._number(name) for name in NUMBERS}
        evidence = {band: _whole(name, self[name], label, 0, 100) for name, (label, band) in EVIDENCE.items()}
        boxes = {name: bool(self[name]) for name in CHECKBOXES}
        texts = {name: self[name].strip() for name in TEXTS if name != "too_fast_seconds"}
        seconds = {"too_fast_seconds": self._seconds()}
        return protocol_from({**numbers, **boxes, **texts, **seconds, "evidence": evidence})

    def _number(self, name: str) -> int | None:
        schema = _FIELDS[name]
        if "anyOf" not in schema:
            return _whole(name, self[name], NUMBERS[name], schema["minimum"], schema["maximum"])
        if not self[name].strip():
            return None
        bounds = schema["anyOf"][0]
        return _whole(name, self[name], NUMBERS[name], bounds["minimum"], bounds["maximum"])

    def _seconds(self) -> float:
        typed = self["too_fast_seconds"].strip().replace(",", ".")
        if not re.fullmatch(r"\d{1,4}(\.\d{1,2})?", typed, re.ASCII):
            label = LABELS["too_fast_seconds"]
            raise WrongField("too_fast_seconds", f"{label} is {typed!r}; expected a number of seconds such as 5 or 2.5")
        return float(typed)


def _whole(field: str, text: str, label: str, smallest: int, largest: int) -> int:
    try:
        return whole_number(text, label, smallest, largest)
    except InvalidInput as error:
        raise WrongField(field, str(error)) from None


def protocol_form(protocol: Protocol) -> ProtocolForm:
    """The form filled in with this protocol."""
    plain = protocol.as_json()
    values = {name: "" if plain[name] is None else str(plain[name]) for name in (*NUMBERS, *TEXTS)}
    values |= {"too_fast_seconds": f"{protocol.too_fast_seconds:g}"}
    values |= {name: str(protocol.evidence.get(band, 0)) for name, (_, band) in EVIDENCE.items()}
    return ProtocolForm(values | {name: "on" if plain[name] else "" for name in CHECKBOXES})


def sent_protocol(sent: Mapping[str, Sequence[str]]) -> ProtocolForm:
    """The form as sent; one without these fields at all means the usual protocol."""
    if "sharing" not in sent:
        return protocol_form(Protocol())
    names = (*NUMBERS, *EVIDENCE, *TEXTS, *CHECKBOXES)
    return ProtocolForm({name: sent[name][0] if sent.get(name) else "" for name in names})
