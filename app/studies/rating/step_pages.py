"""What the pages around the judging show, as plain values. Nothing here knows a database id, a time or another rater.

A field added here reaches a rater's browser: tests/studies/test_blind_pages.py must stay green, unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from app.studies.protocol import Protocol
from app.studies.rating.entries import LONGEST_COMMENT, SCALE
from app.studies.rating.review import JudgedNeuron
from app.studies.rating.survey import GuessNeuron
from app.studies.rating.worked_example import WorkedExample, worked_example
from app.web.formatting import paragraphs
from app.web.templating import PageContext

CONSENT, INSTRUCTIONS, PRACTICE, NEURONS = "Consent", "Instructions", "Practice", "Neurons"
REVIEW, QUESTIONS = "Review", "Last questions"


@dataclass(frozen=True)
class StepMark:
    """Where a page lies on the way: step `number`, from 1, of `n`, called `name`."""

    number: int
    n: int
    name: str


def steps_of(protocol: Protocol) -> tuple[str, ...]:
    """The names of a rater's steps in this protocol, in order."""
    consent = (CONSENT,) if protocol.consent else ()
    practice = (PRACTICE,) if protocol.n_puzzles else ()
    return (*consent, INSTRUCTIONS, *practice, NEURONS, REVIEW, QUESTIONS)


def step_mark(protocol: Protocol, name: str) -> StepMark:
    steps = steps_of(protocol)
    return StepMark(steps.index(name) + 1, len(steps), name)


@dataclass(frozen=True)
class WelcomePage(PageContext):
    """What templates/rating/welcome.html shows where an invitation leads, before anything is stored.

    study_title: the study's title.
    n_neurons: how many neurons one rater judges.
    n_judged: how many of them this rater has judged already.
    has_begun: whether this rater came by before.
    has_practice: whether there are puzzles before the neurons.
    is_pressed: whether the button was pressed on a page of the time before this browser's session.
    is_signed_in: whether this browser is signed in to an account, which beginning would sign out.
    carried: (name, value) of the hidden fields: what a recruiting site added to the link.
    """

    template: ClassVar[str] = "rating/welcome.html"
    study_title: str
    n_neurons: int
    n_judged: int
    has_begun: bool
    has_practice: bool
    is_pressed: bool
    is_signed_in: bool
    carried: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ConsentPage(PageContext):
    """What templates/rating/consent.html shows.

    study_title: the study's title.
    step: where the page lies on the way.
    consent: what raters agree to, one entry per paragraph.
    """

    template: ClassVar[str] = "rating/consent.html"
    study_title: str
    step: StepMark
    consent: tuple[str, ...]


@dataclass(frozen=True)
class InstructionsPage(PageContext):
    """What templates/rating/instructions.html shows.

    study_title: the study's title.
    step: where the page lies on the way.
    instructions: what raters are asked to do, one entry per paragraph.
    example: the worked example.
    scale: (value, words) of the five ratings.
    n_puzzles: how many puzzles come next; 0: the first neuron.
    """

    template: ClassVar[str] = "rating/instructions.html"
    study_title: str
    step: StepMark
    instructions: tuple[str, ...]
    example: WorkedExample
    scale: tuple[tuple[int, str], ...]
    n_puzzles: int


@dataclass(frozen=True)
class ReviewPage(PageContext):
    """What templates/rating/review.html shows when every neuron is judged and the rater has not finished.

    study_title: the study's title.
    step: where the page lies on the way.
    judged: this rater's neurons in their order.
    n_given_away: how many neurons went to others while the rater was away.
    """

    template: ClassVar[str] = "rating/review.html"
    study_title: str
    step: StepMark
    judged: tuple[JudgedNeuron, ...]
    n_given_away: int


@dataclass(frozen=True)
class SurveyPage(PageContext):
    """What templates/rating/survey.html shows after the rater has finished.

    study_title: the study's title.
    step: where the page lies on the way.
    neurons: whose descriptions are asked about; none: only the comment is.
    labels: of the conditions, alphabetically.
    entered: card token -> what was ticked before something was wrong: an index of `labels` as text, or `none`.
    comment: as typed.
    longest_comment: how many characters it may have.
    problem: what was wrong, or None.
    """

    template: ClassVar[str] = "rating/survey.html"
    study_title: str
    step: StepMark
    neurons: tuple[GuessNeuron, ...]
    labels: tuple[str, ...]
    entered: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    longest_comment: int = LONGEST_COMMENT
    problem: str | None = None


@dataclass(frozen=True)
class DonePage(PageContext):
    """What templates/rating/done.html shows at the very end.

    study_title: the study's title.
    n_judged: how many neurons this rater judged.
    code: proves to whoever recruited this rater that they took part.
    completion_url: where the recruiting site waits for its people; empty: there is none.
    """

    template: ClassVar[str] = "rating/done.html"
    study_title: str
    n_judged: int
    code: str
    completion_url: str


@dataclass(frozen=True)
class ClosedPage(PageContext):
    """What templates/rating/closed.html shows when the study takes no judgements any more.

    study_title: the study's title.
    n_judged: how many neurons this rater judged.
    """

    template: ClassVar[str] = "rating/closed.html"
    study_title: str
    n_judged: int


def instructions_page(study_title: str, instructions: str, protocol: Protocol) -> InstructionsPage:
    return InstructionsPage(
        study_title=study_title,
        step=step_mark(protocol, INSTRUCTIONS),
        instructions=paragraphs(instructions),
        example=worked_example(),
        scale=tuple(SCALE.items()),
        n_puzzles=protocol.n_puzzles,
    )
