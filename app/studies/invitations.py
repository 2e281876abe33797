"""How raters get in: a code of 128 random bits in a link; only its hash is stored. Inviting also deals the cards."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, InvitationRefused, UnknownName
from app.studies.dealing import deal_assignments
from app.studies.models import CLOSED, OPEN, Rater, Study
from app.studies.queries import locked_study

CODE_BYTES = 16
MOST_RATERS_AT_ONCE = 1000


@dataclass(frozen=True)
class Invitation:
    """A rater's number and the only copy of the code: it goes into the link and is stored nowhere."""

    number: int
    code: str


def invite_raters(session: Session, slug: str, n: int, now: datetime, expires: datetime) -> list[Invitation]:
    """n new raters of an open study, each with every assignment dealt, in the order of their numbers.

    expires: when the link stops letting anybody in; a browser that came in before stays.
    Errors: UnknownName; Conflict unless the study is open; InvalidInput for n or expires.
    """
    if not 1 <= n <= MOST_RATERS_AT_ONCE:
        raise InvalidInput(f"{n} raters; expected 1 to {MOST_RATERS_AT_ONCE} at once")
    if expires <= now:
        raise InvalidInput(f"the invitation would expire at {expires.isoformat()}; expected a moment in the future")
    study = locked_study(session, slug)
    if study.status != OPEN:
        raise Conflict(f"study {slug} is {study.status}; raters are invited while it is open")
    first = _highest_number(session, study) + 1
    invitations = [Invitation(number, secrets.token_hex(CODE_BYTES)) for number in range(first, first + n)]
    raters = [_rater(study, invitation, now, expires) for invitation in invitations]
    session.add_all(raters)
    session.flush()
    deal_assignments(session, study, raters)
    return invitations


def _highest_number(session: Session, study: Study) -> int:
    return session.scalar(sa.select(sa.func.max(Rater.number)).where(Rater.study_id == study.id)) or 0


def _rater(study: Study, invitation: Invitation, now: datetime, expires: datetime) -> Rater:
    return Rater(
        study_id=study.id,
        number=invitation.number,
        invitation_hash=_hash(invitation.code),
        invited_at=now,
        expires_at=expires,
    )


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def redeem_invitation(session: Session, code: str, now: datetime) -> Rater:
    """The rater whom this code lets in; it may be used again, e.g. on another device, until it expires.

    Errors: InvitationRefused for an unknown, revoked or expired code; Conflict when the study has been closed.
    """
    rater = session.scalar(sa.select(Rater).where(Rater.invitation_hash == _hash(code)))
    if rater is None:
        raise InvitationRefused("this invitation is not known; check that the link is complete")
    if rater.revoked_at is not None:
        raise InvitationRefused("this invitation has been withdrawn")
    if rater.expires_at <= now:
        raise InvitationRefused(f"this invitation expired at {rater.expires_at:%Y-%m-%d %H:%M} UTC; ask for a new one")
    if rater.study.status == CLOSED:
        raise Conflict("this study is closed and takes no more judgements")
    return rater


def revoke_rater(session: Session, slug: str, number: int, now: datetime) -> None:
    """Lets this rater in no more, also where a browser is signed in already; what was judged stays.

    Revoking twice keeps the first moment. Errors: UnknownName.
    """
    study = locked_study(session, slug)
    rater = session.scalar(sa.select(Rater).where(Rater.study_id == study.id, Rater.number == number))
    if rater is None:
        raise UnknownName(f"study {slug} has no rater {number}")
    rater.revoked_at = rater.revoked_at or now
