"""A rater's way through the practice as it is stored: the next puzzle, an answer taken in once, what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from app.errors import Conflict, UnknownName
from app.puzzles.loading import Puzzle, load_puzzles
from app.studies.dealing.blinding import shown_text
from app.studies.models import PracticeAnswer, Rater
from app.studies.protocol import Protocol
from app.studies.rating.entries import Entries, check_complete, checked_entries
from app.studies.rating.practice import (
    PracticeCard,
    has_passed,
    is_right,
    practice_cards,
    practice_puzzles,
    puzzle_token,
)
from app.studies.rating.stages import Stage, current_stage


@dataclass(frozen=True)
class PracticeStep:
    """One puzzle to solve.

    token: names this page among the rater's puzzles. attempt: from 1, of n_attempts. number: in the attempt, from 1, of
    n_puzzles. n_right_to_pass: of those. puzzle: its records are what to show; its truth is not. cards: in page order.
    """

    token: str
    attempt: int
    n_attempts: int
    number: int
    n_puzzles: int
    n_right_to_pass: int
    puzzle: Puzzle
    cards: tuple[PracticeCard, ...]


@dataclass(frozen=True)
class PracticeFeedback:
    """What came of one puzzle's answer, the same whenever it is looked at.

    step: what was answered. ratings: by card token, 1-5. truth, picked: the true description and the best pick, as
    shown. why: what in the excerpts decides, one sentence. n_right: of this attempt up to and with this puzzle.
    has_passed, begins_again, has_failed: what follows the attempt's last puzzle; all False: its next puzzle.
    """

    step: PracticeStep
    ratings: Mapping[str, int]
    is_right: bool
    truth: str
    picked: str
    why: str
    n_right: int
    has_passed: bool
    begins_again: bool
    has_failed: bool


def next_puzzle(session: Session, rater: Rater) -> PracticeStep | None:
    """The puzzle that this rater has to solve next; None when practice is over or the study has none."""
    protocol = Protocol.model_validate(rater.study.protocol)
    is_over = rater.passed_practice_at is not None or rater.failed_practice_at is not None
    if is_over or not protocol.n_puzzles:
        return None
    answered = _answers(session, rater)
    if not answered:
        return _step(rater, protocol, 1, 0)
    last = answered[-1]
    if last.position + 1 < protocol.n_puzzles:
        return _step(rater, protocol, last.attempt, last.position + 1)
    return _step(rater, protocol, last.attempt + 1, 0)


def answer_puzzle(
    session: Session, rater: Rater, token: str, ratings: Mapping[str, int | str], best: Sequence[str], now: datetime
) -> PracticeFeedback:
    """Stores the answer to one puzzle, and what the last one of an attempt leads to.

    token: the step's. ratings, best: as in `Entries`. A puzzle that is answered already keeps its first answer, and
    gives the feedback on that one, whatever is sent.
    Errors: InvalidJudgement unless every card has a rating of 1-5 and exactly one is best; UnknownName for a token that
    is not this rater's next or answered puzzle; Conflict at another stage. Nothing is stored when it raises.
    """
    locked = _locked(session, rater)
    if (earlier := feedback_on(session, locked, token)) is not None:
        return earlier
    # Paused: what is on a rater's screen can still be saved.
    if current_stage(session, locked) not in (Stage.PRACTICE, Stage.PAUSED):
        raise Conflict("this page belongs to the practice, which is over or has not begun; go on to your next step")
    step = next_puzzle(session, locked)
    if step is None or step.token != token:
        raise UnknownName("there is no such puzzle among yours")
    session.add(_checked_answer(locked, step, Entries(ratings, best), now))
    session.flush()
    feedback = _feedback(session, locked, step)
    if feedback.has_passed:
        locked.passed_practice_at = now
    elif feedback.has_failed:
        locked.failed_practice_at = now
    session.flush()
    return feedback


def feedback_on(session: Session, rater: Rater, token: str) -> PracticeFeedback | None:
    """The feedback on a puzzle that this rater answered; None for every other token."""
    protocol = Protocol.model_validate(rater.study.protocol)
    key = rater.study.order_key
    for answer in _answers(session, rater):
        if puzzle_token(key, rater.number, answer.attempt, answer.position) == token:
            return _feedback(session, rater, _step(rater, protocol, answer.attempt, answer.position, answer.puzzle))
    return None


def _locked(session: Session, rater: Rater) -> Rater:
    """The rater as stored now, with the study, and nobody else changing the rater until the transaction ends: the same
    answer sent ten times at once is stored once."""
    mine = sa.select(Rater).options(joinedload(Rater.study)).where(Rater.id == rater.id)
    locked = mine.with_for_update(of=Rater, key_share=True)
    return session.scalars(locked.execution_options(populate_existing=True)).one()


def _answers(session: Session, rater: Rater) -> Sequence[PracticeAnswer]:
    mine = sa.select(PracticeAnswer).where(PracticeAnswer.rater_id == rater.id)
    return session.scalars(mine.order_by(PracticeAnswer.attempt, PracticeAnswer.position)).all()


def _step(rater: Rater, protocol: Protocol, attempt: int, position: int, name: str | None = None) -> PracticeStep:
    """name: of the puzzle that was answered there, which is kept even if it would be another one by now."""
    key, puzzles = rater.study.order_key, load_puzzles()
    planned = practice_puzzles(key, rater.number, attempt, protocol.n_puzzles, puzzles)[position]
    puzzle = next((known for known in puzzles if known.name == name), planned)
    return PracticeStep(
        token=puzzle_token(key, rater.number, attempt, position),
        attempt=attempt,
        n_attempts=protocol.n_attempts,
        number=position + 1,
        n_puzzles=protocol.n_puzzles,
        n_right_to_pass=protocol.n_right_to_pass,
        puzzle=puzzle,
        cards=practice_cards(key, rater.number, puzzle),
    )


def _checked_answer(rater: Rater, step: PracticeStep, entries: Entries, now: datetime) -> PracticeAnswer:
    """The row of a complete answer. Errors: InvalidJudgement."""
    tokens = [card.token for card in step.cards]
    judgement = checked_entries(tokens, entries)
    check_complete(tokens, judgement)
    best = next(card.text for position, card in enumerate(step.cards) if position == judgement.best)
    return PracticeAnswer(
        rater_id=rater.id,
        attempt=step.attempt,
        position=step.number - 1,
        puzzle=step.puzzle.name,
        judgement={"ratings": {step.cards[i].text: value for i, value in judgement.ratings.items()}, "best": best},
        is_right=is_right(step.puzzle, best),
        at=now,
    )


def _feedback(session: Session, rater: Rater, step: PracticeStep) -> PracticeFeedback:
    """On a step whose answer is stored."""
    answer = session.get_one(PracticeAnswer, (rater.id, step.attempt, step.number - 1))
    so_far = [one for one in _answers(session, rater) if one.attempt == step.attempt and one.position < step.number]
    n_right = sum(one.is_right for one in so_far)
    is_last = step.number == step.n_puzzles
    passed = is_last and has_passed(n_right, Protocol.model_validate(rater.study.protocol))
    values = answer.judgement["ratings"]
    return PracticeFeedback(
        step=step,
        ratings={card.token: values[card.text] for card in step.cards if card.text in values},
        is_right=answer.is_right,
        truth=shown_text(step.puzzle.truth),
        picked=answer.judgement["best"],
        why=step.puzzle.why,
        n_right=n_right,
        has_passed=passed,
        begins_again=is_last and not passed and step.attempt < step.n_attempts,
        has_failed=is_last and not passed and step.attempt >= step.n_attempts,
    )
