"""The embargo: nobody sees results before the closing, unless an admin says why, by name and for ever on record."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.studies.audit import UNMASKED, record_event
from app.studies.models import OPEN, Assignment, Rater
from app.studies.queries import counted_raters, is_unmasked, locked_study

LONGEST_REASON = 500


def unmask(session: Session, slug: str, reason: str, now: datetime, who: str) -> None:
    """Lets the results of an open study be seen from now on; the log keeps who, why and after how many judgements.

    Errors: UnknownName; InvalidInput without a reason; Conflict unless the study is open and still masked.
    """
    stated = " ".join(reason.split())
    if not 1 <= len(stated) <= LONGEST_REASON:
        raise InvalidInput(f"a reason of {len(stated)} characters; expected 1 to {LONGEST_REASON}")
    study = locked_study(session, slug)
    if study.status != OPEN:
        raise Conflict(f"study {slug} is {study.status}; only the results of an open study can be unmasked")
    if is_unmasked(session, study):
        raise Conflict(f"the results of study {slug} are unmasked already")
    judged = sa.select(sa.func.count(Assignment.id)).join(Rater, Assignment.rater_id == Rater.id)
    n = session.scalar(judged.where(counted_raters(study.id), Assignment.submitted_at.is_not(None)))
    record_event(session, study, who, UNMASKED, now, reason=stated, n_judgements=n)
    session.flush()
