"""Where a rater stands on the way through a study, and the steps of that way that are stored.

The order: consent, instructions, practice, neurons, review, last questions, done. What ended comes before all of it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload

from app.accounts.sessions import end_sessions_of
from app.errors import Conflict
from app.studies.dealing.slots import is_open
from app.studies.models import CLOSED, Assignment, Rater, Study
from app.studies.protocol import Protocol
from app.studies.queries import locked_study_of


class Stage(StrEnum):
    """What a rater's next page is. WAITING: every neuron is taken and there is nothing of one's own to finish."""

    WITHDRAWN = "withdrawn"
    CLOSED = "closed"
    PAUSED = "paused"
    CONSENT = "consent"
    INSTRUCTIONS = "instructions"
    PRACTICE = "practice"
    FAILED_PRACTICE = "failed practice"
    JUDGING = "judging"
    WAITING = "waiting"
    REVIEW = "review"
    SURVEY = "survey"
    DONE = "done"


@dataclass(frozen=True)
class NeuronCounts:
    """n_open: dealt to the rater and not judged yet. n_judged: submitted."""

    n_open: int
    n_judged: int


def neuron_counts(session: Session, rater: Rater) -> NeuronCounts:
    """Of this rater's assignments; those that were reclaimed are neither."""
    n_open = sa.func.count(sa.case((is_open(), 1)))
    query = sa.select(n_open, sa.func.count(Assignment.submitted_at)).where(Assignment.rater_id == rater.id)
    return NeuronCounts(*session.execute(query).one())


def stage_of(rater: Rater, study: Study, counts: NeuronCounts) -> Stage:
    """The stage at which this rater of this study is. A dry run goes on while the study is paused."""
    stage = _stage_while_running(rater, study, counts)
    ends = (Stage.WITHDRAWN, Stage.CLOSED, Stage.FAILED_PRACTICE, Stage.SURVEY, Stage.DONE)
    if study.paused_at is not None and not rater.is_dry_run and stage not in ends:
        return Stage.PAUSED
    return stage


def _stage_while_running(rater: Rater, study: Study, counts: NeuronCounts) -> Stage:
    if rater.revoked_at is not None or rater.deleted_at is not None:
        return Stage.WITHDRAWN
    if rater.finished_at is not None:
        # Whoever finished still gets to the completion code after the study was closed.
        is_over = rater.surveyed_at is not None or study.status == CLOSED
        return Stage.DONE if is_over else Stage.SURVEY
    if study.status == CLOSED:
        return Stage.CLOSED
    return _first_step_left(rater, Protocol.model_validate(study.protocol), counts)


def _first_step_left(rater: Rater, protocol: Protocol, counts: NeuronCounts) -> Stage:
    if protocol.consent and rater.consented_at is None:
        return Stage.CONSENT
    if rater.instructed_at is None:
        return Stage.INSTRUCTIONS
    if rater.failed_practice_at is not None:
        return Stage.FAILED_PRACTICE
    if protocol.n_puzzles and rater.passed_practice_at is None:
        return Stage.PRACTICE
    if counts.n_open:
        return Stage.JUDGING
    return Stage.REVIEW if counts.n_judged else Stage.WAITING


def current_stage(session: Session, rater: Rater) -> Stage:
    """The stage of this rater as stored, by what this session has read of rater and study."""
    return stage_of(rater, rater.study, neuron_counts(session, rater))


# The steps. Each may come twice, from a double click or a second tab: the second changes nothing. A pause refuses none
# of them, for what is on a rater's screen can still be saved. ---------------------------------------------------------


def give_consent(session: Session, rater: Rater, now: datetime) -> None:
    """The rater takes part. Errors: Conflict at another stage."""
    stored = _locked(session, rater)
    if stored.consented_at is None:
        _check_stage(session, stored, Stage.CONSENT)
        stored.consented_at = now


def decline_consent(session: Session, rater: Rater) -> None:
    """The rater does not take part: every browser of theirs is signed out. Nothing is stored, and the link still works.
    Errors: Conflict once the rater has agreed."""
    stored = _locked(session, rater)
    _check_stage(session, stored, Stage.CONSENT)
    end_sessions_of(session, rater_id=stored.id)


def read_instructions(session: Session, rater: Rater, now: datetime) -> None:
    """The rater knows what to do; without practice, neurons come next. Errors: Conflict at another stage."""
    stored = _locked(session, rater)
    if stored.instructed_at is not None:
        return
    _check_stage(session, stored, Stage.INSTRUCTIONS)
    stored.instructed_at = now
    if not Protocol.model_validate(stored.study.protocol).n_puzzles:
        stored.passed_practice_at = now


def finish(session: Session, rater: Rater, now: datetime) -> None:
    """The rater's word that the answers stand. Errors: Conflict unless all neurons are judged and at least one is."""
    # The study's lock, not only the rater's: judgements hold it shared, so that none which is being stored right now
    # slips in after this word, and no further neurons are dealt meanwhile.
    locked_study_of(session, rater.id)
    stored = _locked(session, rater)
    if stored.finished_at is None:
        _check_stage(session, stored, Stage.REVIEW)
        stored.finished_at = now


def _locked(session: Session, rater: Rater) -> Rater:
    """The rater as stored now, with the study, and nobody else changing the rater until the transaction ends."""
    mine = sa.select(Rater).options(joinedload(Rater.study)).where(Rater.id == rater.id)
    locked = mine.with_for_update(of=Rater, key_share=True)
    return session.scalars(locked.execution_options(populate_existing=True)).one()


_REFUSALS = {
    Stage.WITHDRAWN: "this invitation has been withdrawn",
    Stage.CLOSED: "this study is closed and takes no more answers",
    Stage.JUDGING: "there are neurons left to judge; judge them first",
    Stage.WAITING: "there is no judgement yet; judge at least one neuron first",
    Stage.DONE: "you have finished, and your answers stand",
}


def _check_stage(session: Session, rater: Rater, expected: Stage) -> None:
    stage = _stage_while_running(rater, rater.study, neuron_counts(session, rater))
    if stage is not expected:
        raise Conflict(_REFUSALS.get(stage, f"this page belongs to another step: your next one is {stage.value}"))
