"""What pages show admins of single raters: their links, how each is doing, and what deleting one would change."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from sqlalchemy.orm import Session

from app.studies.dealing.slots import numbered_rater
from app.studies.invitations import completion_code
from app.studies.queries import StudyStatus, study_named, study_status
from app.studies.results.exclusion import exclusion_reason
from app.studies.results.judgements import qualities
from app.studies.results.quality import NOTHING_JUDGED, RaterQuality
from app.studies.running.deletion import DeletionEffect, effect_of_deletion
from app.studies.running.raters import RaterLine, RaterRecord, rater_record
from app.studies.wording import ago
from app.web.templating import PageContext


@dataclass(frozen=True)
class InvitationsPage(PageContext):
    """What templates/studies/invitations.html shows, once: only hashes of the codes are kept.

    slug, title: the study's.
    links: (name of the rater, whole address), one per rater.
    n_days: for how many days they hold.
    """

    template: ClassVar[str] = "studies/invitations.html"
    slug: str
    title: str
    links: tuple[tuple[str, str], ...]
    n_days: int


@dataclass(frozen=True)
class JoiningPage(PageContext):
    """What templates/studies/joining.html shows, once.

    slug, title: the study's.
    joining_address: the joining link.
    prolific_address: the same with the placeholders that Prolific fills in.
    most: how many raters may join by it.
    """

    template: ClassVar[str] = "studies/joining.html"
    slug: str
    title: str
    joining_address: str
    prolific_address: str
    most: int


@dataclass(frozen=True)
class RaterPage(PageContext):
    """What templates/studies/rater.html shows: everything about one rater but the answers.

    study: the rater's study.
    rater: steps, times and neurons.
    quality: pace, straight lines, checks.
    seen: when the rater was last there, in relative words.
    excluded: why the declared rules would leave the rater out, or None.
    times: (step, when it was taken), those that were.
    code: the completion code of a rater who has finished, or None.
    """

    template: ClassVar[str] = "studies/rater.html"
    study: StudyStatus
    rater: RaterRecord
    quality: RaterQuality
    seen: str
    excluded: str | None
    times: tuple[tuple[str, datetime], ...]
    code: str | None


@dataclass(frozen=True)
class DeletingPage(PageContext):
    """What templates/studies/delete.html shows: the question before a rater's answers go for good.

    study: the rater's study.
    rater: the rater's name and number.
    effect: what would go, and the totals before and after.
    """

    template: ClassVar[str] = "studies/delete.html"
    study: StudyStatus
    rater: RaterLine
    effect: DeletionEffect


def rater_page(session: Session, slug: str, number: int, now: datetime) -> RaterPage:
    """Errors: UnknownName."""
    study, status = study_named(session, slug), study_status(session, slug)
    record = rater_record(session, study, number, now)
    quality = qualities(session, study).get(number, NOTHING_JUDGED)
    steps = (
        ("Invited", record.line.invited_at),
        ("Consented", record.consented_at),
        ("Read the instructions", record.instructed_at),
        ("Passed practice", record.passed_practice_at),
        ("Failed practice", record.failed_practice_at),
        ("Finished", record.finished_at),
        ("Answered the last questions", record.surveyed_at),
        ("Revoked", record.revoked_at),
        ("Deleted", record.deleted_at),
    )
    code = completion_code(study, numbered_rater(session, study, number)) if record.finished_at is not None else None
    return RaterPage(
        study=status,
        rater=record,
        quality=quality,
        seen=ago(record.line.seen_at, now),
        excluded=exclusion_reason(quality, status.protocol),
        times=tuple((name, at) for name, at in steps if at is not None),
        code=code,
    )


def deleting_page(session: Session, slug: str, number: int, now: datetime) -> DeletingPage:
    """Errors: UnknownName."""
    line = rater_record(session, study_named(session, slug), number, now).line
    return DeletingPage(study_status(session, slug), line, effect_of_deletion(session, slug, number))
