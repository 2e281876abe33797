"""Where each rater is, as the admin sees it."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.database import Database
from app.errors import UnknownName
from app.studies.dealing.slots import reclaim_rater
from app.studies.invitations import dry_run, invite_raters, revoke_rater
from app.studies.models import PracticeAnswer, Rater
from app.studies.queries import study_named
from app.studies.running.raters import (
    DELETED,
    EXPIRED,
    FAILED,
    FINISHED,
    INVITED,
    JUDGING,
    PRACTISING,
    REVOKED,
    STALLED,
    PracticeAttempt,
    RaterLine,
    rater_lines,
    rater_record,
    raters_by_stage,
    stage_of,
)
from tests.studies.careful_raters import judge
from tests.studies.factories import NOW, make_open_study

HOUR = timedelta(hours=1)


def rater(**changes: Any) -> Rater:
    return Rater(number=1, invited_at=NOW, expires_at=NOW + HOUR, is_dry_run=False, **changes)


@pytest.mark.parametrize(
    ("changes", "counts", "stage"),
    [
        ({}, (0, 0, 0), INVITED),
        ({"seen_at": NOW}, (0, 0, 0), PRACTISING),
        ({"seen_at": NOW, "lease_until": NOW + HOUR}, (0, 0, 0), PRACTISING),
        ({"seen_at": NOW, "lease_until": NOW - HOUR}, (0, 0, 0), STALLED),
        ({"passed_practice_at": NOW}, (0, 0, 0), JUDGING),
        ({"lease_until": NOW + HOUR}, (2, 4, 0), JUDGING),
        ({"lease_until": NOW - HOUR}, (2, 4, 0), STALLED),
        ({"lease_until": NOW - HOUR}, (2, 2, 2), STALLED),
        ({"lease_until": NOW - HOUR}, (4, 4, 0), JUDGING),
        ({"finished_at": NOW, "lease_until": NOW - HOUR}, (2, 4, 0), FINISHED),
        ({"failed_practice_at": NOW}, (0, 0, 0), FAILED),
        ({"finished_at": NOW, "revoked_at": NOW}, (4, 4, 0), REVOKED),
        ({"revoked_at": NOW, "deleted_at": NOW}, (0, 0, 0), DELETED),
    ],
)
def test_the_stage_of_a_rater(changes: dict[str, Any], counts: tuple[int, int, int], stage: str) -> None:
    assert stage_of(rater(**changes), *counts, now=NOW) == stage


def test_a_link_that_nobody_used_expires() -> None:
    assert stage_of(rater(), 0, 0, 0, now=NOW + HOUR) == EXPIRED


def test_the_lines_of_a_study_count_what_each_rater_holds(database: Database) -> None:
    study = make_open_study(database, n_neurons=4, n_raters=3)
    judge(database, make_open_study(database, slug="other", n_neurons=4, n_raters=1))
    judge(database, study, 1, n=3)
    judge(database, study, 2, n=1)
    with database.writing() as session:
        reclaim_rater(session, "demo", 2, NOW + HOUR, "ada")
        revoke_rater(session, "demo", 3, NOW, "ada")
        dry_run(session, "demo", NOW, "ada")
        invite_raters(session, "demo", 1, NOW, NOW + HOUR)
    with database.reading() as session:
        lines = rater_lines(session, study_named(session, "demo"), NOW + 2 * HOUR)
    shown = [(line.name, line.stage, line.n_judged, line.n_held, line.n_open) for line in lines]
    assert shown == [
        ("rater-1", JUDGING, 3, 4, 1),
        ("rater-2", STALLED, 1, 1, 0),
        ("rater-3", REVOKED, 0, 0, 0),
        ("rater-4", EXPIRED, 0, 0, 0),
    ]


def line(stage: str) -> RaterLine:
    return RaterLine(1, "rater-1", stage, 0, 0, NOW, NOW, None)


def test_seldom_stages_are_counted_only_where_somebody_is_at_them() -> None:
    common = ((INVITED, 0), (PRACTISING, 0), (JUDGING, 0), (STALLED, 0), (FINISHED, 0))
    assert raters_by_stage([]) == common
    counted = dict(raters_by_stage([line(JUDGING), line(FAILED), line(JUDGING), line(DELETED)]))
    assert counted == dict(common) | {JUDGING: 2, FAILED: 1, DELETED: 1}


def test_everything_about_one_rater_but_the_answers(database: Database) -> None:
    study = make_open_study(database, n_neurons=2, n_raters=2)
    judge(database, study, 1, n=1, seconds=8.0)
    with database.writing() as session:
        first = session.scalars(sa.select(Rater).where(Rater.number == 1)).one()
        first.external_id, first.external_session, first.comment = "5f-person", "s-1", "nice"
        for place, is_right in enumerate((True, False, True)):
            answer = {"attempt": 1 + place // 2, "position": place % 2, "puzzle": "p", "judgement": {}}
            session.add(PracticeAnswer(rater_id=first.id, is_right=is_right, at=NOW, **answer))
    with database.reading() as session:
        record = rater_record(session, study_named(session, "demo"), 1, NOW)
        with pytest.raises(UnknownName, match="study demo has no rater 7"):
            rater_record(session, study_named(session, "demo"), 7, NOW)
    assert record.external == (("Person", "5f-person"), ("Session there", "s-1"))
    assert record.attempts == (PracticeAttempt(1, 1, 2), PracticeAttempt(2, 1, 1))
    assert [(each.position, each.submitted_at is not None, each.seconds) for each in record.neurons] == [
        (1, True, 8.0),
        (2, False, None),
    ]
    assert (record.comment, record.line.n_judged, record.passed_practice_at) == ("nice", 1, NOW)
