"""A rater's way: which step comes when, and steps that are taken once, in order, whatever is clicked twice."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.accounts.models import BrowserSession
from app.accounts.sessions import start_session
from app.database import Database
from app.errors import Conflict
from app.settings import Settings
from app.studies.dealing.slots import reclaim_rater
from app.studies.models import CLOSED, DRAFT, OPEN, Rater, Study
from app.studies.protocol import Protocol
from app.studies.rating.stages import (
    NeuronCounts,
    Stage,
    current_stage,
    decline_consent,
    finish,
    give_consent,
    neuron_counts,
    read_instructions,
    stage_of,
)
from tests.studies.factories import NOW, PLAIN, OpenStudy, close, judge_everything, make_open_study, rater_of

LATER = NOW + timedelta(hours=1)
ALL_STEPS = Protocol(consent="I agree.", n_puzzles=3)


@dataclass
class Someone:
    """A rater of a study, put together by hand. Moments are named as the rater's columns."""

    protocol: Protocol = ALL_STEPS
    status: str = OPEN
    is_paused: bool = False
    n_open: int = 0
    n_judged: int = 0

    def stage(self, *moments: str, is_dry_run: bool = False) -> Stage:
        study = Study(status=self.status, protocol=self.protocol.as_json(), paused_at=NOW if self.is_paused else None)
        reached: dict[str, Any] = dict.fromkeys(moments, NOW)
        rater = Rater(number=1, is_dry_run=is_dry_run, **reached)
        return stage_of(rater, study, NeuronCounts(self.n_open, self.n_judged))


AGREED = ("consented_at",)
INSTRUCTED = (*AGREED, "instructed_at")
PRACTISED = (*INSTRUCTED, "passed_practice_at")
FINISHED = (*PRACTISED, "finished_at")


def test_the_steps_follow_each_other() -> None:
    assert Someone().stage() is Stage.CONSENT
    assert Someone().stage(*AGREED) is Stage.INSTRUCTIONS
    assert Someone().stage(*INSTRUCTED) is Stage.PRACTICE
    assert Someone().stage(*PRACTISED) is Stage.WAITING
    assert Someone(n_open=2).stage(*PRACTISED) is Stage.JUDGING
    assert Someone(n_open=1, n_judged=1).stage(*PRACTISED) is Stage.JUDGING
    assert Someone(n_judged=2).stage(*PRACTISED) is Stage.REVIEW
    assert Someone(n_judged=2).stage(*FINISHED) is Stage.SURVEY
    assert Someone(n_judged=2).stage(*FINISHED, "surveyed_at") is Stage.DONE


def test_a_protocol_without_consent_and_practice_skips_them() -> None:
    assert Someone(PLAIN).stage() is Stage.INSTRUCTIONS
    assert Someone(PLAIN, n_open=1).stage("instructed_at", "passed_practice_at") is Stage.JUDGING


def test_failed_practice_ends_the_way() -> None:
    assert Someone().stage(*INSTRUCTED, "failed_practice_at") is Stage.FAILED_PRACTICE
    assert Someone(is_paused=True).stage(*INSTRUCTED, "failed_practice_at") is Stage.FAILED_PRACTICE


@pytest.mark.parametrize("moments", [(), AGREED, INSTRUCTED, PRACTISED])
def test_a_pause_comes_before_every_step_but_not_for_a_dry_run(moments: tuple[str, ...]) -> None:
    running = Someone(n_open=1, n_judged=1)
    paused = Someone(is_paused=True, n_open=1, n_judged=1)
    assert paused.stage(*moments) is Stage.PAUSED
    assert paused.stage(*moments, is_dry_run=True) is running.stage(*moments)


@pytest.mark.parametrize("moments", [(), AGREED, INSTRUCTED, PRACTISED, (*INSTRUCTED, "failed_practice_at")])
def test_a_closed_study_takes_nothing_from_those_who_have_not_finished(moments: tuple[str, ...]) -> None:
    assert Someone(status=CLOSED, n_judged=1).stage(*moments) is Stage.CLOSED


def test_whoever_finished_gets_to_the_end_after_closing_and_in_a_pause() -> None:
    assert Someone(status=CLOSED).stage(*FINISHED) is Stage.DONE
    assert Someone(is_paused=True).stage(*FINISHED) is Stage.SURVEY
    assert Someone(is_paused=True).stage(*FINISHED, "surveyed_at") is Stage.DONE


@pytest.mark.parametrize("end", ["revoked_at", "deleted_at"])
@pytest.mark.parametrize("moments", [(), PRACTISED, FINISHED, (*FINISHED, "surveyed_at")])
def test_a_withdrawn_invitation_comes_before_everything(end: str, moments: tuple[str, ...]) -> None:
    assert Someone(is_paused=True, n_open=1).stage(*moments, end) is Stage.WITHDRAWN
    assert Someone(status=CLOSED).stage(*moments, end) is Stage.WITHDRAWN


def test_a_dry_run_of_a_draft_goes_its_way() -> None:
    assert Someone(status=DRAFT).stage(is_dry_run=True) is Stage.CONSENT


# The stored steps -----------------------------------------------------------------------------------------------------


def make_newcomers(database: Database, protocol: Protocol, n_raters: int = 1) -> OpenStudy:
    """An open study whose raters have only just been invited."""
    study = make_open_study(database, n_neurons=2, n_raters=n_raters, protocol=protocol)
    with database.writing() as session:
        session.execute(sa.update(Rater).values(consented_at=None, instructed_at=None, passed_practice_at=None))
    return study


def test_consent_is_given_once_and_only_first(database: Database) -> None:
    study = make_newcomers(database, ALL_STEPS)
    with database.writing() as session:
        rater = rater_of(session, study)
        with pytest.raises(Conflict, match="your next one is consent"):
            read_instructions(session, rater, NOW)
        give_consent(session, rater, NOW)
        give_consent(session, rater, LATER)
        assert rater.consented_at == NOW
        assert current_stage(session, rater) is Stage.INSTRUCTIONS


def test_instructions_lead_to_practice_or_where_there_is_none_past_it(database: Database) -> None:
    with_puzzles = make_newcomers(database, ALL_STEPS)
    with database.writing() as session:
        rater = rater_of(session, with_puzzles)
        give_consent(session, rater, NOW)
        read_instructions(session, rater, NOW)
        read_instructions(session, rater, LATER)
        assert (rater.instructed_at, rater.passed_practice_at) == (NOW, None)
        assert current_stage(session, rater) is Stage.PRACTICE


def test_without_practice_the_instructions_are_the_last_step_before_the_neurons(database: Database) -> None:
    study = make_newcomers(database, PLAIN)
    with database.writing() as session:
        rater = rater_of(session, study)
        with pytest.raises(Conflict):
            give_consent(session, rater, NOW)
        read_instructions(session, rater, NOW)
        assert (rater.instructed_at, rater.passed_practice_at) == (NOW, NOW)


def test_declining_signs_out_and_keeps_nothing_and_the_link_still_works(database: Database, settings: Settings) -> None:
    study = make_newcomers(database, ALL_STEPS, n_raters=2)
    with database.writing() as session:
        rater, other = rater_of(session, study, 1), rater_of(session, study, 2)
        for one in (rater, rater, other):
            start_session(session, settings, rater_id=one.id)
        decline_consent(session, rater)
        assert session.scalars(sa.select(BrowserSession.rater_id)).all() == [other.id]
        assert (rater.consented_at, rater.revoked_at) == (None, None)
        give_consent(session, rater_of(session, study, 1), LATER)
        with pytest.raises(Conflict):
            decline_consent(session, rater)


def test_finishing_waits_for_every_open_neuron(database: Database) -> None:
    study = make_open_study(database, n_neurons=2)
    with database.writing() as session, pytest.raises(Conflict, match="neurons left to judge"):
        finish(session, rater_of(session, study), NOW)
    judge_everything(database, study)
    with database.writing() as session:
        rater = rater_of(session, study)
        assert neuron_counts(session, rater) == NeuronCounts(n_open=0, n_judged=2)
        finish(session, rater, NOW)
        finish(session, rater, LATER)
        assert rater.finished_at == NOW
        assert rater_of(session, study, 2).finished_at is None


def test_finishing_without_any_judgement_is_refused(database: Database) -> None:
    study = make_open_study(database, n_neurons=2)
    with database.writing() as session:
        reclaim_rater(session, study.slug, 1, NOW, "ada")
        rater = rater_of(session, study)
        assert neuron_counts(session, rater) == NeuronCounts(n_open=0, n_judged=0)
        with pytest.raises(Conflict, match="judge at least one neuron"):
            finish(session, rater, NOW)


def test_a_pause_lets_a_rater_finish_and_a_closing_does_not(database: Database) -> None:
    study = make_open_study(database, n_neurons=2)
    for number in (1, 2):
        judge_everything(database, study, number)
    with database.writing() as session:
        session.execute(sa.update(Study).values(paused_at=NOW))
        finish(session, rater_of(session, study), NOW)
    with database.reading() as session:
        second = rater_of(session, study, 2)
    close(database, study)
    with database.writing() as session, pytest.raises(Conflict, match="closed"):
        finish(session, second, NOW)
    with database.reading() as session:
        assert session.scalars(sa.select(Rater.finished_at).order_by(Rater.number)).all() == [NOW, None]
