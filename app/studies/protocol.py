"""A study's protocol: who judges what, beside which evidence, through which steps, and what is declared beforehand.

Pure values with their bounds. What a field does is said where it is used: dealing, practice, quality, exclusion.
"""

from math import ceil
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import InvalidInput

Percent = Annotated[int, Field(ge=0, le=100)]
Sharing = Literal["split", "crossed", "overlap", "mixed"]


class Protocol(BaseModel):
    """Everything about a study but its conditions, neurons and texts. Frozen at opening, part of the design hash."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    # Who judges what
    sharing: Sharing = "mixed"
    """`split`: each neuron by one rater. `crossed`: every neuron by every rater. `overlap`: each neuron by
    `raters_per_neuron`. `mixed`: `shared_percent` of the neurons by every rater, the others by one."""
    n_raters: int = Field(5, ge=1, le=10_000)
    """How many raters are planned: what each one's share and the power are computed from."""
    raters_per_neuron: int = Field(3, ge=1, le=1_000)
    shared_percent: Percent = 20
    neurons_per_rater: int | None = Field(None, ge=1, le=100_000)
    """Null: the number that the planned raters need, `share_of_each`."""
    lease_hours: int = Field(48, ge=1, le=24 * 365)
    """How long a rater who has stopped keeps the neurons that are open."""

    # What raters see
    evidence: dict[str, Annotated[int, Field(ge=0, le=100)]] = Field(default_factory=lambda: {"top": 20, "random": 10})
    """Band -> how many of its excerpts."""
    shows_explained: bool = True
    """Whether the excerpts that the explainer saw are among the top ones."""
    names_neurons: bool = True
    """False: raters see `Neuron 3 of 24` and cannot look the neuron up elsewhere."""

    # The rater's way
    consent: str = Field("", max_length=20_000)
    """What raters agree to before anything else; empty: nothing is asked."""
    n_puzzles: int = Field(3, ge=0, le=10)
    """Puzzles to practise on; 0: no practice."""
    n_right_to_pass: int = Field(2, ge=0, le=10)
    n_attempts: int = Field(2, ge=1, le=5)
    asks_for_guesses: bool = True
    """Whether raters are asked at the end which description came from which condition."""
    completion_code: str = Field("", max_length=100)
    """The same for all raters; empty: each gets a code of their own."""
    completion_url: str = Field("", max_length=500)

    # Attention, and what is left out of the analysis: null means that the rule is not applied
    check_percent: Percent = 10
    """Of a rater's neurons that have one false explanation among the cards."""
    check_source: Literal["neurons", "puzzles"] = "neurons"
    too_fast_seconds: float = Field(5.0, ge=0, le=3600)
    """A judgement below this is flagged, never refused."""
    exclude_failed_checks_percent: Percent | None = 50
    """Raters who failed more than this share of their checks."""
    exclude_too_fast_percent: Percent | None = 50
    """Raters of whose judgements more than this share was too fast."""
    exclude_straight_line_percent: Percent | None = None
    """Raters who gave all cards the same rating in more than this share of their judgements."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Protocol":
        if self.n_right_to_pass > self.n_puzzles:
            raise ValueError(f"{self.n_right_to_pass} puzzles right to pass of {self.n_puzzles}; expected at most all")
        if sum(self.evidence.values()) == 0:
            raise ValueError("no excerpts to show; expected one or more in some band")
        if self.completion_url and not self.completion_url.startswith("https://"):
            raise ValueError(f"completion address {self.completion_url!r}; expected one that begins with https://")
        return self

    def n_shared(self, n_neurons: int) -> int:
        """How many of the study's neurons every rater judges."""
        if self.sharing == "crossed":
            return n_neurons
        return ceil(n_neurons * self.shared_percent / 100) if self.sharing == "mixed" else 0

    def quota_of_others(self) -> int:
        """How many raters judge a neuron that not every rater judges."""
        return self.raters_per_neuron if self.sharing == "overlap" else 1

    def share_of_each(self, n_neurons: int) -> int:
        """How many neurons one rater judges."""
        if self.neurons_per_rater is not None:
            return min(self.neurons_per_rater, n_neurons)
        n_shared = self.n_shared(n_neurons)
        return min(n_neurons, n_shared + ceil((n_neurons - n_shared) * self.quota_of_others() / self.n_raters))

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


CROSSED = Protocol(sharing="crossed")


def protocol_from(values: dict[str, Any]) -> Protocol:
    """The protocol of these field values. Errors: InvalidInput that names the first field that is wrong."""
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"{field} {first['input']!r}: {what}" if field else what) from None
