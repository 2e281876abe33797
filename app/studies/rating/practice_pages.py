"""What the practice pages show, as plain values: a puzzle to solve, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.neurons.heatmap import HeatmapSpan, heatmap_spans
from app.neurons.records import ActivationRecord
from app.puzzles.loading import Puzzle
from app.studies.models import Study
from app.studies.protocol import Protocol
from app.studies.rating.entries import SCALE
from app.studies.rating.forms import JudgementForm
from app.studies.rating.pages import CardEntry
from app.studies.rating.practice import PracticeCard
from app.studies.rating.practising import PracticeFeedback, PracticeStep
from app.studies.rating.step_pages import PRACTICE, StepMark, step_mark
from app.web.templating import PageContext

Heatmap = Sequence[HeatmapSpan]


@dataclass(frozen=True)
class PracticePage(PageContext):
    """What templates/rating/practice.html shows: one puzzle to solve.

    study_title: the study's title.
    step: where the page lies on the way.
    token: names the puzzle in the form.
    attempt: from 1.
    n_attempts: how many there are.
    number: place in the attempt, from 1.
    n_puzzles: how many an attempt has.
    n_right_to_pass: how many of them must be right.
    maximum: the activation that has the strongest colour.
    top: heatmaps of the strongest excerpts, best first.
    random: heatmaps of excerpts drawn by chance.
    scale: (value, words) of the five ratings.
    cards: the descriptions, with what was entered.
    best_problem: what is wrong with the best pick, or None.
    problem: one line above everything when the entries were not accepted, or None.
    """

    template: ClassVar[str] = "rating/practice.html"
    study_title: str
    step: StepMark
    token: str
    attempt: int
    n_attempts: int
    number: int
    n_puzzles: int
    n_right_to_pass: int
    maximum: float
    top: tuple[Heatmap, ...]
    random: tuple[Heatmap, ...]
    scale: tuple[tuple[int, str], ...]
    cards: tuple[CardEntry, ...]
    best_problem: str | None
    problem: str | None


@dataclass(frozen=True)
class FeedbackPage(PageContext):
    """What templates/rating/feedback.html shows after a puzzle.

    study_title: the study's title.
    step: where the page lies on the way.
    is_right: whether the best pick was the true description.
    truth: the true description.
    picked: the best pick.
    why: what in the excerpts decides, one sentence.
    n_right: of this attempt so far.
    number: the puzzle's place in the attempt, from 1.
    n_puzzles: how many an attempt has.
    n_right_to_pass: how many of them must be right.
    attempt: from 1.
    n_attempts: how many there are.
    has_passed, begins_again, has_failed: what follows the attempt's last puzzle; all false before that.
    maximum: the activation that has the strongest colour.
    top: heatmaps of the strongest excerpts, best first.
    """

    template: ClassVar[str] = "rating/feedback.html"
    study_title: str
    step: StepMark
    is_right: bool
    truth: str
    picked: str
    why: str
    n_right: int
    number: int
    n_puzzles: int
    n_right_to_pass: int
    attempt: int
    n_attempts: int
    has_passed: bool
    begins_again: bool
    has_failed: bool
    maximum: float
    top: tuple[Heatmap, ...]


def practice_page(study: Study, puzzle_step: PracticeStep, entered: JudgementForm | None = None) -> PracticePage:
    """The puzzle's page, or with what was just entered and not accepted."""
    cards = tuple(_card(card, entered) for card in puzzle_step.cards)
    has_best = entered is None or any(card.is_best for card in cards)
    puzzle = puzzle_step.puzzle
    return PracticePage(
        study_title=study.title,
        step=_mark(study),
        token=puzzle_step.token,
        attempt=puzzle_step.attempt,
        n_attempts=puzzle_step.n_attempts,
        number=puzzle_step.number,
        n_puzzles=puzzle_step.n_puzzles,
        n_right_to_pass=puzzle_step.n_right_to_pass,
        maximum=puzzle.maximum,
        top=_heatmaps(puzzle, puzzle.records.top),
        random=_heatmaps(puzzle, puzzle.records.random),
        scale=tuple(SCALE.items()),
        cards=cards,
        best_problem=None if has_best else "There is no best pick yet. Choose exactly one.",
        problem=None if entered is None else "Rate every description from 1 to 5, and pick the best one.",
    )


def feedback_page(study: Study, feedback: PracticeFeedback) -> FeedbackPage:
    puzzle_step = feedback.step
    puzzle = puzzle_step.puzzle
    return FeedbackPage(
        study_title=study.title,
        step=_mark(study),
        is_right=feedback.is_right,
        truth=feedback.truth,
        picked=feedback.picked,
        why=feedback.why,
        n_right=feedback.n_right,
        number=puzzle_step.number,
        n_puzzles=puzzle_step.n_puzzles,
        n_right_to_pass=puzzle_step.n_right_to_pass,
        attempt=puzzle_step.attempt,
        n_attempts=puzzle_step.n_attempts,
        has_passed=feedback.has_passed,
        begins_again=feedback.begins_again,
        has_failed=feedback.has_failed,
        maximum=puzzle.maximum,
        top=_heatmaps(puzzle, puzzle.records.top),
    )


def _mark(study: Study) -> StepMark:
    return step_mark(Protocol.model_validate(study.protocol), PRACTICE)


def _heatmaps(puzzle: Puzzle, records: Sequence[ActivationRecord]) -> tuple[Heatmap, ...]:
    return tuple(heatmap_spans(record, puzzle.maximum) for record in records)


def _card(card: PracticeCard, entered: JudgementForm | None) -> CardEntry:
    if entered is None:
        return CardEntry(card.token, card.letter, card.text, rating=None, is_best=False)
    rating = next((value for value in SCALE if entered.ratings.get(card.token) == str(value)), None)
    problem = None if rating else "No rating yet. Choose 1 to 5."
    return CardEntry(card.token, card.letter, card.text, rating, entered.best == (card.token,), problem)
