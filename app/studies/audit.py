"""The log of what admins did to a study: append-only, shown with its results for ever."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.studies.models import Study, StudyEvent

COMMAND_LINE = "command line"

CREATED, IMPORTED, WAIVED, LEFT_OUT, OPENED = "created", "imported", "waived", "left out", "opened"
INVITED, REVOKED, RECLAIMED, EXTENDED = "invited", "revoked", "reclaimed", "extended"
PAUSED, RESUMED, UNMASKED, DELETED, CLOSED = "paused", "resumed", "unmasked", "rater deleted", "closed"
JOINING = "joining link"


@dataclass(frozen=True)
class AuditLine:
    """who: an account's name or `command line`. details: named values for people to read."""

    at: datetime
    who: str
    kind: str
    details: dict[str, Any]


def record_event(session: Session, study: Study, who: str, kind: str, now: datetime, **details: Any) -> None:
    """Adds a line. details: plain JSON values; never a rating, a code or an outside name."""
    session.add(StudyEvent(study_id=study.id, at=now, who=who, kind=kind, details=details))


def audit_lines(session: Session, study: Study, *kinds: str) -> tuple[AuditLine, ...]:
    """The study's lines, oldest first; kinds: only these, none given: all."""
    query = sa.select(StudyEvent).where(StudyEvent.study_id == study.id).order_by(StudyEvent.id)
    chosen = query.where(StudyEvent.kind.in_(kinds)) if kinds else query
    return tuple(AuditLine(event.at, event.who, event.kind, event.details) for event in session.scalars(chosen))
